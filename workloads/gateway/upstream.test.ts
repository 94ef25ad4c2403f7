import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { openInProcessBus } from '../bus/in-process.ts';
import { BUS_TOPICS, BusUnavailableError } from '../bus/port.ts';
import type { Bus, ReceivedRecord } from '../bus/port.ts';
import { silentLog } from '../runtime/log.ts';
import { World } from './fixtures.ts';
import { until } from './test-client.ts';

let world: World;
let bus: Bus;
beforeEach(() => {
  world = new World();
  bus = openInProcessBus({ clock: world.clock, log: silentLog });
});
afterEach(async () => {
  await bus.close();
  await world.end();
});

describe('an upstream frame', () => {
  test('reaches the bus in order with who sent it, and is answered taken', async () => {
    const gateway = await world.gateway({}, { bus });
    const got: ReceivedRecord[] = [];
    await bus.consume({
      topics: [BUS_TOPICS.upstream],
      group: 'test',
      handler: async (batch) => {
        got.push(...batch);
      },
    });
    const client = await gateway.connect({ token: await world.device('d') });
    for (const id of [1, 2, 3])
      client.send({ type: 'upstream', id, kind: 'order', key: `k${id}`, body: { id, t: 'ä' } });
    for (const id of [1, 2, 3]) assert.equal((await client.next('taken')).id, id);
    await until('the handler had them', () => got.length === 3);
    assert.deepEqual(
      got.map(({ value }) => JSON.parse(Buffer.from(value).toString())),
      [1, 2, 3].map((id) => ({ id, t: 'ä' })),
    );
    const { headers, key } = got[0]!;
    assert.equal(key, 'shop/d');
    const { app, account, device, kind, key: dedup } = headers;
    assert.deepEqual(
      { app, account, device, kind, dedup },
      { app: 'shop', account: 'ann', device: 'd', kind: 'order', dedup: 'k1' },
    );
  });

  test('is answered upstream-unavailable with a time to come back when the bus does not take it', async () => {
    const away: Bus = { ...bus, publish: () => Promise.reject(new BusUnavailableError('away')) };
    const gateway = await world.gateway({}, { bus: away });
    const client = await gateway.connect({ token: await world.device('d') });
    client.send({ type: 'upstream', id: 4, kind: 'order', key: 'k', body: null });
    const { id, code, retryAfterMs } = await client.next('error');
    assert.deepEqual([id, code, retryAfterMs], [4, 'upstream-unavailable', 1000]);
  });
});
