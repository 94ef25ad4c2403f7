import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BootId, GatewayName } from '../protocol/ids.ts';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import type { GatewayLease } from '../store/port.ts';
import { LiveGateways } from './live-gateways.ts';

const lease = (name: string, boot = name): GatewayLease => ({
  gateway: name as GatewayName,
  bootId: boot as BootId,
  linkAddress: `${name}:1`,
  connections: 0,
  startedAtMs: 0,
});

test('there is one for each life with a lease; those known stay while the store is away', async () => {
  const clock = aManualClock();
  const told: string[] = [];
  let leases: readonly GatewayLease[] | null = [lease('a'), lease('bad')];
  const gateways = new LiveGateways<string>({
    store: { leases: () => (leases === null ? Promise.reject(new Error('away')) : Promise.resolve(leases)) },
    pollMs: 100,
    clock,
    log: silentLog,
    open({ bootId }) {
      if (bootId === 'bad') throw new RangeError('no address');
      told.push(`open ${bootId}`);
      return bootId;
    },
    close: (held) => told.push(`close ${held}`),
  });
  const poll = async (next: readonly GatewayLease[] | null): Promise<string[]> => {
    leases = next;
    clock.advance(100);
    await gateways.refresh();
    return told.splice(0);
  };
  await gateways.start();
  assert.deepEqual([told.splice(0), gateways.isKnown], [['open a'], true]);
  assert.deepEqual(await poll([lease('a'), lease('b')]), ['open b']);
  assert.deepEqual(await poll(null), []);
  assert.deepEqual([...gateways.all()], ['a', 'b']);
  assert.deepEqual(await poll([lease('a', 'a2'), lease('b')]), ['close a', 'open a2']);
  gateways.stop();
  assert.deepEqual([told, gateways.size], [['close b', 'close a2'], 0]);
});
