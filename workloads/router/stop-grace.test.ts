import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openInProcessBus } from '../bus/in-process.ts';
import type { Bus } from '../bus/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { parseSettings } from '../settings/setting.ts';
import { routerSettings } from '../settings/router.ts';
import { aDevice, aRouter, aStore } from './fixtures.ts';
import { STOP_GRACE_MS_MAX, stopGraceMs } from './stop-grace.ts';

const { busTimeoutMs } = parseSettings(
  routerSettings,
  { PUSHCLUSTER_CLUSTER: 'demo', PUSHCLUSTER_STORE: 'sqlite::memory:', PUSHCLUSTER_KEYS_DIR: '/nowhere' },
  () => '',
);

test('is longer than a publish may take, within what a pod is given', () => {
  assert.ok(stopGraceMs(busTimeoutMs) >= busTimeoutMs + 5000);
  assert.equal(stopGraceMs(120_000), STOP_GRACE_MS_MAX);
});

test('a push that waits for the journal is answered when the router stops, though the bus takes all of its time', async (t) => {
  const { store, failing } = await aStore(t);
  const inner = openInProcessBus({ clock: systemClock, log: silentLog });
  t.after(() => inner.close());
  const [asked, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const bus: Bus = {
    publish: async (...args) => {
      asked.resolve();
      await held.promise;
      await inner.publish(...args);
    },
    consume: (options) => inner.consume(options),
    lag: (...args) => inner.lag(...args),
    health: () => inner.health(),
    close: () => inner.close(),
  };
  const { role, push } = await aRouter(t, { store, bus });
  await aDevice(store, 'phone-1');
  for (const operation of ['append', 'claimKey', 'routes', 'health'] as const) failing.set(operation, 'before');
  const answer = push({ target: { device: 'phone-1' }, text: 'x' });
  await asked.promise;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stopped = role.stop();
  for (let ms = 0; ms < busTimeoutMs; ms += 100) {
    for (let i = 0; i < 10; i++) await new Promise(setImmediate);
    t.mock.timers.tick(100);
  }
  held.resolve();
  assert.deepEqual([(await answer).status, (await answer).body['state']], [202, 'journalled']);
  t.mock.timers.reset();
  await stopped;
});
