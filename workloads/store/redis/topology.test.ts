import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Item } from './batch.ts';
import { BUCKETS } from './keys.ts';
import type { RedisNode } from './node.ts';
import { COUNT_ROUTES } from './scripts/sessions.ts';
import { WALK_BUCKETS, walkBuckets } from './topology.ts';
import type { Topology } from './topology.ts';

/** Nodes that keep what they are asked until told to answer: each bucket of an item, with its own number. */
function theNodes(count: number) {
  const asked: Item[][] = Array.from({ length: count }, () => []);
  const nodes = asked.map((items) => ({ ask: (item: Item) => void items.push(item) }) as unknown as RedisNode);
  const topology: Topology = {
    nodeFor: (bucket) => nodes[bucket % count]!,
    nodes: () => nodes,
    settled: () => Promise.resolve(),
    trouble: () => null,
    close() {},
  };
  const answer = (): void => {
    for (const items of asked)
      for (const { trip, index, args } of items.splice(0))
        trip.answer(
          index,
          String(args[0])
            .split(' ')
            .flatMap((bucket) => [Number(bucket), Number(bucket)]),
        );
  };
  return { topology, asked, answer };
}

describe('a walk over the buckets', () => {
  test('asks each node one item at a time, so that others are served in between', async () => {
    const { topology, asked, answer } = theNodes(3);
    const walk = walkBuckets(topology, COUNT_ROUTES);
    let items = 0;
    while (asked.some(({ length }) => length > 0)) {
      assert.ok(asked.every(({ length }) => length <= 1));
      items += asked.filter(({ length }) => length > 0).length;
      answer();
      await new Promise(setImmediate);
    }
    const found = await walk;
    assert.equal(items, 3 * Math.ceil(BUCKETS / 3 / WALK_BUCKETS));
    assert.equal(found.size, BUCKETS);
    assert.ok([...found].every(([bucket, reply]) => reply === bucket));
  });
  test('asks about the buckets named only', async () => {
    const { topology, asked, answer } = theNodes(1);
    const walk = walkBuckets(topology, COUNT_ROUTES, { buckets: [7, 9], args: ['app'] });
    assert.deepEqual(
      asked[0]!.map(({ args }) => args),
      [['7 9', 'app']],
    );
    answer();
    assert.deepEqual([...(await walk).keys()], [7, 9]);
  });
});
