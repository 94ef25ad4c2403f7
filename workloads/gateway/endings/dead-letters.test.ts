import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { LIMITS } from '../../protocol/limits.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import type { Notice } from '../../protocol/notices.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { APP, World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';
import { turns } from '../test-client.ts';
import { BURIALS_MAX } from './dead-letters.ts';
import { withOperation } from '../../store/with-operation.ts';

const TIMEOUT_MS = 1000;
let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

const letters = async () => (await world.store.deadLetters(APP, { cursor: null, limit: 10 })).letters;
const bodies = (frames: readonly { body?: unknown }[]): unknown[] => frames.map(({ body }) => body);
const unacked = async (gateway: TestGateway): Promise<number> => (await gateway.state()).unacked;

/** Lets time pass until a message came, counting how long. */
async function untilMessage(client: TestClient, maxMs: number): Promise<number> {
  for (let waited = 0; waited <= maxMs; waited += 100) {
    if (client.unread.length > 0) return waited;
    await world.pass(100);
  }
  throw new Error(`no message in ${maxMs} ms`);
}

describe('R9: a delivery that is not acked', () => {
  test('comes again after the ack timeout, then after twice as long each time, and says which delivery it is', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: TIMEOUT_MS });
    const token = await world.device('d');
    await world.appendTo('d', 'x');
    const client = await gateway.connect({ token });
    assert.equal((await client.next('message')).attempt, undefined);
    const waits: number[] = [];
    for (let attempt = 2; attempt <= LIMITS.attemptsMax; attempt++) {
      waits.push(await untilMessage(client, 20_000));
      const again = await client.next('message');
      assert.deepEqual([again.offset, again.body, again.attempt], [1, 'x', attempt]);
      assert.equal(await unacked(gateway), 1, 'it is one delivery, however often it is written');
    }
    waits.forEach((wait, i) => assert.ok(Math.abs(wait - TIMEOUT_MS * 2 ** i) <= 200, `${waits.join(' ')} ms`));
  });

  test('becomes a dead letter with why after its attempts, the app is told, and the next one goes on', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: TIMEOUT_MS });
    const token = await world.device('d');
    const first = await world.appendTo('d', 'poison', 'normal', { attemptsMax: 2 });
    await world.appendTo('d', 'next');
    const client = await gateway.connect({ token });
    await client.nextMessages(2);
    await untilMessage(client, 2000);
    assert.deepEqual(bodies(await client.nextMessages(2)), ['poison', 'next'], 'what follows comes with it');
    await world.pass(2200);
    const [letter] = await letters();
    const { device, messageId, stream, offset, reason, attempts, state } = letter!;
    assert.deepEqual(
      { device, messageId, stream, offset, reason, attempts, state },
      {
        device: 'd',
        messageId: first.id,
        stream: '@normal',
        offset: 1,
        reason: 'no ack after 2 deliveries',
        attempts: 2,
        state: 'dead',
      },
    );
    const [job] = await world.store.claimJobs(10, 1000, 'notices');
    const notice = JSON.parse(Buffer.from(job!.payload).toString()) as Notice;
    assert.equal(notice.event === 'dead-letter' ? notice.messageId : null, first.id);
    assert.equal(await unacked(gateway), 1);
    client.ack('@normal', 2);
    await turns();
    const { accepted, acked, dead } = await world.store.ledger(APP);
    assert.deepEqual([accepted, acked, dead, await world.store.countWaiting(APP)], [2, 1, 1, 0]);
  });

  test('has the attempts and the ack timeout that its message names', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 10_000 });
    const token = await world.device('d');
    await world.appendTo('d', 'x', 'normal', { attemptsMax: 1, ackTimeoutMs: 300 });
    const client = await gateway.connect({ token });
    await client.next('message');
    await world.pass(500);
    assert.equal((await letters())[0]?.reason, 'no ack after 1 delivery');
    assert.equal(await unacked(gateway), 0);
  });

  test('that crashes its client is counted over connections, and the client gets what is behind it', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 60_000 });
    const token = await world.device('d');
    await world.appendTo('d', 'crashes');
    await world.appendTo('d', 'fine');
    for (let i = 1; i <= LIMITS.attemptsMax; i++) {
      const client = await gateway.connect({ token });
      const [first] = await client.nextMessages(2);
      assert.deepEqual([first!.body, first!.attempt ?? 1], ['crashes', i]);
      client.socket.terminate();
      await client.end();
      await turns();
    }
    const client = await gateway.connect({ token });
    assert.deepEqual(bodies(await client.nextMessages(1)), ['fine']);
    assert.equal((await letters())[0]?.attempts, LIMITS.attemptsMax);
  });

  test('counts only deliveries: a client that is away or reads nothing has its messages expire, not die', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 300, outboxBytesMax: 20_000, heartbeatIntervalMs: 3_600_000 });
    const router = await gateway.router();
    const token = await world.device('d');
    const client = await gateway.connect({ token });
    client.socket.pause();
    const big = 'x'.repeat(30_000);
    for (let i = 0; i < 400; i++) await router.toTopic('$all', { record: world.record(big).record });
    const waiting = await world.appendTo('d', 'waits', 'normal', { attemptsMax: 1 });
    await router.toDevice('d', waiting);
    await world.pass(3000);
    assert.deepEqual(await letters(), []);
  });

  test('of a stream that nobody acks costs one dead letter at a time, and nobody is closed', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 100, heartbeatIntervalMs: 3_600_000 });
    const token = await world.device('d');
    for (let n = 1; n <= 20; n++) await world.appendTo('d', n);
    const client = await gateway.connect({ token });
    await client.nextMessages(20);
    await world.pass(100 * (2 ** LIMITS.attemptsMax - 1) + 400);
    assert.equal(client.closed, null);
    assert.deepEqual(
      (await letters()).map(({ offset }) => offset),
      [1],
    );
    assert.equal(await unacked(gateway), 19);
  });

  test('waits while the store is away, and dies when it is back', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({ ackTimeoutMs: 200 }, { store: failing.store });
    const token = await world.device('d');
    await world.appendTo('d', 'x', 'normal', { attemptsMax: 1 });
    const client = await gateway.connect({ token });
    await client.next('message');
    failing.away = true;
    await world.pass(3000);
    assert.equal(await unacked(gateway), 1);
    failing.away = false;
    await world.pass(3000);
    assert.equal((await letters()).length, 1);
    assert.equal(await unacked(gateway), 0);
  });
});

describe('burials under way', () => {
  const SLOW_MS = 5000;
  /** A store that keeps no dead letter until it may; `asked` are those it was asked for. */
  function aSlowGrave() {
    const { promise: may, resolve: go } = Promise.withResolvers<void>();
    const grave = { asked: 0, go };
    const store = withOperation(world.store, {
      async settleEntries(settles) {
        grave.asked += settles.length;
        await may;
        return await world.store.settleEntries(settles);
      },
    });
    return { grave, store };
  }
  /** As many clients as have this many messages in their lanes, each of which dies with the first timeout; the last one's own beside them. */
  async function dying(gateway: TestGateway, count: number): Promise<TestClient[]> {
    const lanes = ['high', 'normal', 'low'] as const;
    const clients: TestClient[] = [];
    for (let n = 0; n < count; n += lanes.length) {
      const token = await world.device(`d${n}`, { account: `a${n}` });
      for (const lane of lanes.slice(0, count - n)) await world.appendTo(`d${n}`, n, lane, { attemptsMax: 1 });
      await world.pass(10); // sessions open at a rate
      clients.push(await gateway.connect({ token }));
    }
    return clients;
  }

  test(`are ${BURIALS_MAX} at most; what comes beside them is buried with its next timeout`, async () => {
    const { grave, store } = aSlowGrave();
    const gateway = await world.gateway({ ackTimeoutMs: SLOW_MS, heartbeatIntervalMs: 3_600_000 }, { store });
    await dying(gateway, BURIALS_MAX);
    await world.pass(SLOW_MS + 100);
    assert.equal(grave.asked, BURIALS_MAX);
    const token = await world.device('late');
    await world.appendTo('late', 'no ack', 'high', { attemptsMax: 1 });
    await world.appendTo('late', 'nacked', 'normal');
    const late = await gateway.connect({ token });
    await late.nextMessages(2);
    late.nack('@normal', 1, { final: 'person', reason: 'never' });
    await world.pass(SLOW_MS + 100);
    assert.equal(grave.asked, BURIALS_MAX, 'no more than that');
    const again = await late.next('message');
    assert.deepEqual([again.stream, again.attempt], ['@normal', 2], 'the client is asked again');
    late.nack('@normal', 1, { final: 'person', reason: 'never again' });
    await world.pass(2 * SLOW_MS);
    assert.deepEqual([grave.asked, (await late.next('message')).attempt], [BURIALS_MAX, 3]);
    assert.equal(await unacked(gateway), BURIALS_MAX + 2);
    grave.go();
    await world.turns(3);
    late.nack('@normal', 1, { final: 'person', reason: 'at last' });
    await world.pass(3 * SLOW_MS);
    assert.equal(await unacked(gateway), 0);
    const of = await world.store.deadLetters(APP, { cursor: null, limit: 9, device: 'late' as DeviceId });
    assert.deepEqual(of.letters.map(({ stream, state, reason }) => `${stream} ${state}: ${reason}`).toSorted(), [
      '@high dead: no ack after 1 delivery',
      '@normal held: at last',
    ]);
    assert.equal((await world.store.ledger(APP)).dead, BURIALS_MAX + 2);
  });

  test('at their most, an entry that had its attempts before is buried with the next position check', async () => {
    const { grave, store } = aSlowGrave();
    const gateway = await world.gateway({ ackTimeoutMs: SLOW_MS, heartbeatIntervalMs: 3_600_000 }, { store });
    const token = await world.device('crashes');
    await world.appendTo('crashes', 'poison', 'normal', { attemptsMax: 1 });
    const before = await gateway.connect({ token });
    await before.next('message');
    before.socket.terminate();
    await world.turns(3);
    await dying(gateway, BURIALS_MAX);
    await world.pass(SLOW_MS + 100);
    await world.appendTo('crashes', 'fine');
    const client = await gateway.connect({ token });
    await world.pass(SLOW_MS);
    assert.equal(grave.asked, BURIALS_MAX);
    assert.deepEqual(client.unread, []);
    grave.go();
    await world.pass(40_000);
    assert.deepEqual(bodies(await client.nextMessages(1)), ['fine']);
  });
});

describe('a negative ack', () => {
  test('brings the message again at once, then with backoff, and what follows it comes with it', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: TIMEOUT_MS });
    const token = await world.device('d');
    for (const n of [1, 2, 3]) await world.appendTo('d', n);
    const client = await gateway.connect({ token });
    await client.nextMessages(3);
    client.ack('@normal', 1);
    client.nack('@normal', 2);
    const again = await client.nextMessages(2);
    assert.deepEqual(
      again.map(({ body, attempt, prev, offset }) => [body, attempt, prev ?? offset! - 1]),
      [
        [2, 2, 1],
        [3, 2, 2],
      ],
    );
    client.nack('@normal', 2);
    await turns();
    assert.deepEqual(client.unread, []);
    const waited = await untilMessage(client, 5000);
    assert.ok(waited >= TIMEOUT_MS - 100 && waited <= TIMEOUT_MS + 200, `${waited} ms`);
  });

  test('that names a time is kept to', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: TIMEOUT_MS });
    const token = await world.device('d');
    await world.appendTo('d', 'x');
    const client = await gateway.connect({ token });
    await client.next('message');
    client.nack('@normal', 1, { retryAfterMs: 5000 });
    await turns();
    const waited = await untilMessage(client, 10_000);
    assert.ok(waited >= 4900 && waited <= 5300, `${waited} ms`);
  });

  test('said as often as there are attempts makes a dead letter with its reason', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 100 });
    const token = await world.device('d');
    await world.appendTo('d', 'x', 'normal', { attemptsMax: 3 });
    const client = await gateway.connect({ token });
    for (let i = 0; i < 3; i++) {
      await untilMessage(client, 1000);
      await client.next('message');
      client.nack('@normal', 1, { reason: `failure ${i + 1}` });
      await turns();
    }
    const [letter] = await letters();
    assert.deepEqual([letter?.reason, letter?.attempts], ['failure 3', 3]);
    assert.equal(await unacked(gateway), 0);
  });

  for (const [final, state] of [
    ['dead', 'dead'],
    ['person', 'held'],
  ] as const)
    test(`that is final (${final}) makes a dead letter at once: ${state}, and the next message is the lowest`, async () => {
      const gateway = await world.gateway({ ackTimeoutMs: TIMEOUT_MS });
      const token = await world.device('d');
      for (const n of [1, 2]) await world.appendTo('d', n);
      const client = await gateway.connect({ token });
      await client.nextMessages(2);
      client.nack('@normal', 1, { final, reason: 'never' });
      await turns();
      const [letter] = await letters();
      assert.deepEqual([letter?.state, letter?.reason, letter?.offset], [state, 'never', 1]);
      client.ack('@normal', 2);
      await turns();
      assert.equal(await unacked(gateway), 0);
      assert.equal((await world.store.ledger(APP)).dead, 1);
    });

  test('that makes a dead letter brings what follows at once, for a client that forgot it and stands before the letter', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: TIMEOUT_MS });
    const token = await world.device('d');
    for (const n of [1, 2]) await world.appendTo('d', n);
    const router = await gateway.router();
    const client = await gateway.connect({ token });
    await client.nextMessages(2);
    client.nack('@normal', 1, { final: 'dead' });
    const again = await client.next('message');
    assert.deepEqual([again.offset, again.prev], [2, 0], 'no ack timeout had to pass');
    client.nack('@normal', 2, { final: 'dead' });
    await turns();
    await router.toDevice('d', await world.appendTo('d', 3));
    const next = await client.next('message');
    assert.deepEqual([next.offset, next.prev], [3, 0], 'nor for what came after the letter');
  });

  test('that is final brings what follows at once, since the client gave it back too; it starts over', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 60_000 });
    const token = await world.device('d');
    await world.appendTo('d', 'poison');
    for (const n of [2, 3]) await world.appendTo('d', n, 'normal', { attemptsMax: 1 });
    const client = await gateway.connect({ token });
    await client.nextMessages(3);
    client.nack('@normal', 1, { final: 'dead', reason: 'never' });
    assert.deepEqual(bodies(await client.nextMessages(2)), [2, 3]);
    assert.equal(await unacked(gateway), 2);
    client.ack('@normal', 3);
    await turns();
    const { acked, dead } = await world.store.ledger(APP);
    assert.deepEqual([acked, dead, await unacked(gateway)], [2, 1, 0]);
  });

  test('that is final of a message within the window leaves those before it alone', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 60_000 });
    const token = await world.device('d');
    for (const n of [1, 2, 3]) await world.appendTo('d', n);
    const client = await gateway.connect({ token });
    await client.nextMessages(3);
    client.nack('@normal', 2, { final: 'dead', reason: 'never' });
    assert.deepEqual(bodies(await client.nextMessages(1)), [3]);
    await turns();
    assert.deepEqual(client.unread, []);
    client.ack('@normal', 3);
    await turns();
    assert.deepEqual([(await world.store.ledger(APP)).dead, await unacked(gateway)], [1, 0]);
  });

  test('of what was never sent is an error, of what has ended and of another epoch nothing', async () => {
    const gateway = await world.gateway();
    const token = await world.device('d');
    const { epoch } = await world.appendTo('d', 1);
    const client = await gateway.connect({ token });
    await client.next('message');
    client.nack('@normal', 1, { epoch: `${epoch}x` as typeof epoch });
    client.nack('@normal', 2);
    assert.equal((await client.next('error')).code, 'invalid-request');
    client.ack('@normal', 1);
    client.nack('@normal', 1);
    await turns();
    await world.pass(200);
    assert.deepEqual(client.unread, []);
  });
});

test('R9: a delivery of a topic that dies is kept first, then the cursor moves on and the ledger has it as dead (R12)', async () => {
  const watched = aStoreThatFails(world.store);
  const gateway = await world.gateway({ ackTimeoutMs: 200, cursorFlushMs: 500 }, { store: watched.store });
  const router = await gateway.router();
  const token = await world.device('d');
  const client = await gateway.connect({ token });
  client.subscribe(1, 'news');
  await client.next('subscribed');
  const entry = await world.publish('news', 'poison', { attemptsMax: 1 });
  await router.toTopic('news', entry);
  await router.toTopic('news', await world.publish('news', 'fine'));
  await client.next('stream');
  await client.nextMessages(2);
  await world.pass(400);
  const [letter] = await letters();
  assert.deepEqual([letter?.stream, letter?.offset, letter?.messageId], ['news', 1, entry.id]);
  client.ack('news', 2);
  await turns();
  await world.pass(700);
  const { accepted, acked, dead } = await world.store.ledger(APP);
  assert.deepEqual([accepted, acked, dead, await world.store.countWaiting(APP)], [2, 1, 1, 0]);
});

test('R4: a topic’s message that died above the lowest one stays ended while those before it are written again', async () => {
  const gateway = await world.gateway({ ackTimeoutMs: 1000 });
  const router = await gateway.router();
  const client = await gateway.connect({ token: await world.device('d') });
  client.subscribe(1, 'news');
  await client.next('subscribed');
  for (const n of [1, 2, 3]) await router.toTopic('news', await world.publish('news', n));
  await client.next('stream');
  await client.nextMessages(3);
  client.nack('news', 2, { final: 'dead', reason: 'never' });
  assert.deepEqual(bodies(await client.nextMessages(1)), [3]);
  await untilMessage(client, 2000);
  assert.deepEqual(bodies(await client.nextMessages(2)), [1, 3], 'the topic has 2 still, this client is done with it');
  client.ack('news', 3);
  await turns();
  assert.equal(await unacked(gateway), 0);
  assert.equal((await letters()).length, 1);
});
