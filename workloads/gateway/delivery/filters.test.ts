import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Filter, Filters, parseAttributes } from './filter.ts';
import { RECORD_DEFAULTS } from '../../protocol/record.ts';
import type { MessageRecord } from '../../protocol/record.ts';
import type { MessageId } from '../../protocol/ids.ts';
import type { TopicFilter } from '../../protocol/frames.ts';
import { withOperation } from '../../store/with-operation.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { APP, World } from '../fixtures.ts';
import { turns } from '../test-client.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());
const bodies = (frames: readonly { body?: unknown }[]): unknown[] => frames.map(({ body }) => body);

describe('a filter', () => {
  const aRecord = (level: number | null, attributes: object | null): MessageRecord => ({
    ...RECORD_DEFAULTS,
    id: '0'.repeat(26) as MessageId,
    publishedAtMs: 0,
    expiresAtMs: 0,
    content: 'json',
    attributes: attributes === null ? new Uint8Array(0) : Buffer.from(JSON.stringify(attributes)),
    body: new Uint8Array(0),
    level,
  });
  const cases: readonly [
    title: string,
    filter: TopicFilter,
    level: number | null,
    attributes: object | null,
    passes: boolean,
  ][] = [
    ['of nothing passes anything', {}, null, null, true],
    ['passes the least level', { levelMin: 3 }, 3, null, true],
    ['stops a lower level', { levelMin: 3 }, 2, null, false],
    ['takes a message without level as 0', { levelMin: 1 }, null, null, false],
    ['passes a type it names', { types: ['a', 'b'] }, null, { type: 'b' }, true],
    ['stops another type', { types: ['a', 'b'] }, null, { type: 'c' }, false],
    ['stops a message without type', { types: ['a'] }, null, null, false],
    [
      'passes a field with a value it names',
      { fields: { region: ['eu', 'us'] } },
      null,
      { fields: { region: 'us' } },
      true,
    ],
    ['stops another value', { fields: { region: ['eu'] } }, null, { fields: { region: 'us' } }, false],
    ['stops a message without the field', { fields: { region: ['eu'] } }, null, { fields: {} }, false],
    ['tells a number from its text', { fields: { n: [1] } }, null, { fields: { n: '1' } }, false],
    ['knows booleans', { fields: { vip: [true] } }, null, { fields: { vip: true } }, true],
    ['wants every field', { fields: { a: [1], b: [2] } }, null, { fields: { a: 1, b: 3 } }, false],
    ['wants every part', { levelMin: 5, types: ['a'] }, 4, { type: 'a' }, false],
    ['does not look at inherited names', { fields: { constructor: ['x'] } }, null, { fields: {} }, false],
  ];
  for (const [title, filter, level, attributes, passes] of cases)
    test(title, () => {
      const record = aRecord(level, attributes);
      assert.equal(
        new Filter(JSON.stringify(filter)).passes(record, () => parseAttributes(record)),
        passes,
      );
    });
  test('of the same text is the same one', () => {
    const filters = new Filters();
    assert.equal(filters.of('{"levelMin":1}'), filters.of('{"levelMin":1}'));
    assert.notEqual(filters.of('{"levelMin":1}'), filters.of('{"levelMin":2}'));
    assert.equal(filters.of(null), null);
  });
});

describe('a subscription with a filter', () => {
  test('hears of live messages what it wants, and others hear all', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const [some, all] = [
      await gateway.connect({ token: await world.device('some') }),
      await gateway.connect({ token: await world.device('all') }),
    ];
    some.subscribe(1, 'news', { levelMin: 5 });
    all.subscribe(1, 'news');
    await some.next('subscribed');
    await all.next('subscribed');
    const live = (n: number) => router.toTopic('news', world.record(n, { level: n }));
    assert.deepEqual([(await live(3)).sessions, (await live(6)).sessions], [1, 2]);
    assert.deepEqual(bodies(await all.nextMessages(2)), [3, 6]);
    assert.deepEqual(bodies(await some.nextMessages(1)), [6]);
  });

  test('R4: moves on over durable ones it does not want: prev says so, and the ledger has them as filtered (R12)', async () => {
    const gateway = await world.gateway({ cursorFlushMs: 500 });
    const router = await gateway.router();
    const client = await gateway.connect({ token: await world.device('d') });
    client.subscribe(1, 'news', { types: ['a'] });
    await client.next('subscribed');
    for (const [n, type] of ['a', 'b', 'b', 'a', 'b'].entries())
      await router.toTopic('news', await world.publish('news', n + 1, { attributes: { type } }));
    await client.next('stream');
    const frames = await client.nextMessages(2);
    assert.deepEqual(
      frames.map(({ body, prev, offset }) => [body, prev ?? offset! - 1]),
      [
        [1, 0],
        [4, 1],
      ],
    );
    client.ack('news', 4);
    await turns();
    await world.pass(600);
    const { accepted, acked, filtered } = await world.store.ledger(APP);
    assert.deepEqual([accepted, acked, filtered, await world.store.countWaiting(APP)], [5, 2, 3, 0]);
    assert.equal((await gateway.state()).unacked, 0);
  });

  test('asks for the same of what it missed, over connections, without naming the filter again', async () => {
    const gateway = await world.gateway();
    const token = await world.device('d');
    const client = await gateway.connect({ token });
    client.subscribe(1, 'news', { levelMin: 5 });
    await client.next('subscribed');
    client.send({ type: 'bye' });
    await client.end();
    for (const level of [1, 5, 2, 9]) await world.publish('news', level, { level });
    const again = await gateway.connect({ token });
    assert.deepEqual(bodies(await again.nextMessages(2)), [5, 9]);
    again.ack('news', 4);
    await turns();
    again.subscribe(2, 'news');
    await again.next('subscribed');
    const router = await gateway.router();
    await router.toTopic('news', world.record('low', { level: 1 }));
    await router.toTopic('news', world.record('high', { level: 7 }));
    assert.deepEqual(bodies(await again.nextMessages(1)), ['high']);
  });

  test('can be changed while it is heard, and be taken off', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const client = await gateway.connect({ token: await world.device('d') });
    const live = (level: number) => router.toTopic('news', world.record(level, { level }));
    client.subscribe(1, 'news', { levelMin: 5 });
    await client.next('subscribed');
    await live(4);
    client.subscribe(2, 'news', { levelMin: 3 });
    await client.next('subscribed');
    await live(4);
    await live(2);
    assert.deepEqual(bodies(await client.nextMessages(1)), [4]);
    client.subscribe(3, 'news', null);
    await client.next('subscribed');
    await live(1);
    assert.deepEqual(bodies(await client.nextMessages(1)), [1]);
  });
});

describe('R12: a flush of cursors', () => {
  test('whose outcome is unknown goes out again unchanged before the next one, so that nothing is counted twice or as something else', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({ cursorFlushMs: 500 }, { store: failing.store });
    const router = await gateway.router();
    const client = await gateway.connect({ token: await world.device('d') });
    client.subscribe(1, 'news', { levelMin: 5 });
    await client.next('subscribed');
    const say = async (level: number) => router.toTopic('news', await world.publish('news', level, { level }));
    for (const level of [1, 6, 2]) await say(level);
    await client.next('stream');
    await client.next('message');
    client.ack('news', 2);
    await turns();
    const real = world.store;
    // The row arrives, the answer does not.
    failing.behind = withOperation(real, {
      async saveCursors(moves) {
        await real.saveCursors(moves);
        throw new Error('cut');
      },
    });
    await world.pass(600);
    for (const level of [7, 3]) await say(level);
    await client.next('message');
    client.ack('news', 4);
    await turns();
    failing.behind = real;
    await world.pass(1500);
    const { accepted, acked, filtered } = await world.store.ledger(APP);
    assert.deepEqual([accepted, acked, filtered, await world.store.countWaiting(APP)], [5, 2, 3, 0]);
  });

  test('comes before an unsubscribe, which cancels only what was not acked', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const client = await gateway.connect({ token: await world.device('d') });
    client.subscribe(1, 'news');
    await client.next('subscribed');
    for (const n of [1, 2, 3]) await router.toTopic('news', await world.publish('news', n));
    await client.next('stream');
    await client.nextMessages(3);
    client.ack('news', 2);
    client.send({ type: 'unsubscribe', id: 2, topics: ['news' as never] });
    await client.next('unsubscribed');
    const { accepted, acked, cancelled } = await world.store.ledger(APP);
    assert.deepEqual([accepted, acked, cancelled], [3, 2, 1]);
  });

  test('tells expired and cancelled entries from acked ones', async () => {
    const gateway = await world.gateway({ cursorFlushMs: 500 });
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    first.subscribe(1, 'news');
    await first.next('subscribed');
    first.send({ type: 'bye' });
    await first.end();
    await world.publish('news', 1);
    await world.publish('news', 2, { expiresAtMs: world.clock.nowMs() + 1000 });
    const { id } = await world.publish('news', 3);
    await world.publish('news', 4);
    await world.pass(1500);
    assert.equal(await world.store.cancelTopicEntry(APP, 'news' as never, id), true);
    const client = await gateway.connect({ token });
    assert.deepEqual(bodies(await client.nextMessages(2)), [1, 4]);
    client.ack('news', 4);
    await turns();
    await world.pass(600);
    const { accepted, acked, expired, cancelled } = await world.store.ledger(APP);
    assert.deepEqual([accepted, acked, expired, cancelled], [4, 2, 1, 1]);
    assert.equal(await world.store.countWaiting(APP), 0);
  });
});
