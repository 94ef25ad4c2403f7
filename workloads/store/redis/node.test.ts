// The batching of a node, on a real Redis: a lone command goes at the end of its tick, many go before; what is under way is bounded.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { BATCH_ITEMS_MAX } from './batch.ts';
import type { Item } from './batch.ts';
import { RedisNode } from './node.ts';
import { aScript, COMMON } from './scripts/script.ts';
import { redisMissing, TestRedis, VOLATILE } from './test-server.ts';
import { Trip } from './trip.ts';
import { StoreUnavailableError } from '../port.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';

const LENGTH = aScript(
  'length',
  { flags: 'no-writes', itemsMax: 64 },
  COMMON,
  'return for_each(1, function(key, a) return #ARGV[a] end)',
);

describe('redis node', { skip: redisMissing() ?? false }, () => {
  let server: TestRedis;
  before(async () => {
    server = await TestRedis.start(VOLATILE);
  });
  after(() => server.remove());

  /** A node that is ready, and how many calls it has sent. */
  async function aNode(more: { bytesMax?: number } = {}) {
    const redis = new Redis({ host: '127.0.0.1', port: server.port, enableOfflineQueue: false, lazyConnect: true });
    await redis.connect();
    const node = new RedisNode(redis, {
      name: 'test',
      clustered: false,
      homeBucket: () => 0,
      onMoved: () => assert.fail('moved'),
      scripts: [LENGTH],
      timeoutMs: 5000,
      itemsMax: 100_000,
      bytesMax: more.bytesMax ?? 1e9,
      clock: systemClock,
      log: silentLog,
    });
    await node.settled(5000);
    let calls = 0;
    const send = redis.sendCommand.bind(redis);
    redis.sendCommand = (...args) => {
      if (args[0].name === 'evalsha') calls++;
      return send(...args);
    };
    return { node, calls: () => calls };
  }
  const ask = (node: RedisNode, items: number, text: string): Trip => {
    const trip = new Trip(items);
    for (let index = 0; index < items; index++) {
      const item: Item = { script: LENGTH, bucket: 0, key: '{0}k', args: [text], trip, index, moves: 0 };
      node.ask(item);
    }
    return trip;
  };
  const endOfTick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('a lone command is sent at the end of its tick, without a timer', async () => {
    const { node, calls } = await aNode();
    const trip = ask(node, 1, 'four');
    assert.equal(calls(), 0);
    await endOfTick();
    assert.equal(calls(), 1);
    assert.deepEqual(await trip.promise, [4]);
    node.close();
  });

  test('what fills a batch by its items or its bytes is sent within the tick, the rest at its end', async () => {
    const { node, calls } = await aNode();
    const many = [ask(node, BATCH_ITEMS_MAX - 1, '')];
    assert.equal(calls(), 0);
    many.push(ask(node, 1, ''));
    assert.equal(calls(), BATCH_ITEMS_MAX / LENGTH.itemsMax);
    many.push(ask(node, 5, 'x'.repeat(256 * 1024)));
    assert.equal(calls(), BATCH_ITEMS_MAX / LENGTH.itemsMax + 4, 'four of a quarter of a MiB fill one');
    await endOfTick();
    assert.equal(calls(), BATCH_ITEMS_MAX / LENGTH.itemsMax + 5);
    const replies = await Promise.all(many.map((trip) => trip.promise));
    assert.deepEqual(
      replies.map((reply) => reply.length),
      [BATCH_ITEMS_MAX - 1, 1, 5],
    );
    node.close();
  });

  test('bytes under way are taken up to the limit; one more item is rejected at once, and taken again later', async () => {
    const { node } = await aNode({ bytesMax: 20 });
    const taken = ask(node, 1, 'x'.repeat(16));
    await assert.rejects(
      ask(node, 1, '').promise,
      (error) => error instanceof StoreUnavailableError && /at most 20 bytes under way/.test(error.message),
    );
    assert.deepEqual(await taken.promise, [16]);
    assert.deepEqual(await ask(node, 1, 'x').promise, [1]);
    node.close();
  });
});
