import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../runtime/log.ts';
import { aDoor } from './api-fixtures.ts';
import { API_ROUTES } from './api.ts';
import { aDevice, aStore, anApp } from '../fixtures.ts';

test('every route of HTTP is a command of the table, and every command has a route', async (t) => {
  const { store } = await aStore(t);
  const { parts } = await aDoor(t, { store });
  const routed = [...API_ROUTES.map(([, , op]) => op), 'push'];
  assert.deepEqual([...parts.api.commands.ops].toSorted(), routed.toSorted());
});

test('a door gets what HTTP would answer, refusals and bugs too', async (t) => {
  const { store, failing } = await aStore(t);
  await aDevice(store, 'phone-1');
  const { parts, run } = await aDoor(t, { store });
  assert.equal((await run('device', { device: 'phone-1' })).body['account'], 'ada');
  const unknown = await run('dance', {});
  assert.deepEqual(
    [unknown.status, unknown.body.error?.['code'], unknown.body.error?.['field']],
    [404, 'not-found', 'op'],
  );
  const wrong = await run('device', { device: 'a b' });
  assert.deepEqual([wrong.status, wrong.body.error?.['field']], [400, 'device']);
  failing.set('device', 'before');
  const down = await run('device', { device: 'phone-1' });
  assert.deepEqual([down.status, down.body.error?.['retryAfterMs']], [503, 1000]);
  store.ledger = () => Promise.reject(new TypeError('a bug'));
  const bug = await run('ledger', {});
  assert.deepEqual([bug.status, bug.body.error?.['code']], [500, 'internal']);
  for (const bytes of [Buffer.from('{'), Buffer.from([0xff])]) {
    const answer = await parts.api.commands.run({ app: anApp(), op: 'device', bytes, origin: null, log: silentLog });
    assert.equal(answer.status, 400);
  }
  const empty = await parts.api.commands.run({
    app: anApp(),
    op: 'dead-letters',
    bytes: Buffer.alloc(0),
    origin: null,
    log: silentLog,
  });
  assert.deepEqual(empty, { status: 200, body: { letters: [], next: null } });
});
