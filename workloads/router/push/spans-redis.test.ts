// A long list over a real Redis and two whole routers: each expands a part of it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DeviceId, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { openAt } from '../../store/redis/contract-setup.ts';
import { TestRedis, VOLATILE, redisMissing } from '../../store/redis/test-server.ts';
import type { Store } from '../../store/port.ts';
import { eventually, someDevices } from '../api/api-fixtures.ts';
import { SHOP, aRouter } from '../fixtures.ts';
import { SPAN_CHUNKS } from './spans.ts';

const SPANS = 5;
const SPAN_NAMES = SPAN_CHUNKS * LIMITS.chunkRecipientsMax;
/** Every so many names there is a device: the others never registered, which costs an append as well. */
const EVERY = 10;

describe('a list of 50,000 on Redis', { skip: redisMissing() ?? false }, () => {
  let redis: TestRedis;
  let stores: readonly [Store, Store];
  before(async () => {
    redis = await TestRedis.start(VOLATILE);
    stores = [await openAt(redis.url), await openAt(redis.url)];
  });
  after(async () => {
    for (const store of stores) await store.close();
    await redis.remove();
  });

  test('is expanded by two routers side by side', async (t) => {
    const devices = await someDevices(stores[0], 'd', (SPANS * SPAN_NAMES) / EVERY);
    const names = devices.flatMap((device, i) => [
      device,
      ...Array.from({ length: EVERY - 1 }, (_, j) => `x-${i}-${j}`),
    ]);
    const routers = [await aRouter(t, { store: stores[0] }), await aRouter(t, { store: stores[1] })] as const;
    const [first, second] = routers;
    const each = async (line: string) =>
      (await Promise.all(routers.map((router) => router.metric(`pushcluster_router_${line}`)))) as [number, number];
    const { body } = await first.push({ target: { devices: names as DeviceId[] }, text: 'sale' });
    await eventually(async () => (await each('jobs_total{kind="expand",outcome="done"}')).includes(1));
    const other = await second.push({ target: { devices: ['d-0'] }, text: 'has it look for jobs at once' });
    await eventually(async () => {
      const rows = await stores[0].messages(SHOP, [body['id'] as MessageId, other.body['id'] as MessageId]);
      return rows.every((row) => row?.state === 'expanded');
    });
    const { expansion } = (await second.ask(`/v1/messages/${String(body['id'])}`)).body;
    assert.deepEqual(expansion, { chunks: SPANS * SPAN_CHUNKS, done: SPANS * SPAN_CHUNKS });
    const shares = await each('expanded_recipients_total{outcome="unknown"}');
    t.diagnostic(`unknown names met by each: ${shares.join(', ')}`);
    assert.equal(shares[0] + shares[1], names.length - devices.length);
    assert.ok(Math.min(...shares) >= SPAN_NAMES * (1 - 1 / EVERY), shares.join(' and '));
    assert.equal((await stores[0].ledger(SHOP)).accepted, devices.length + 1);
  });
});
