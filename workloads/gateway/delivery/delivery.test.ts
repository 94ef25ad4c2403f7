import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { CLOSE } from '../../protocol/codes.ts';
import { withOperation } from '../../store/with-operation.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { World } from '../fixtures.ts';
import { turns, until } from '../test-client.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());
const bodies = (frames: readonly { body?: unknown }[]): unknown[] => frames.map(({ body }) => body);
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('a durable message', () => {
  test('that is acked late is not written again, and attempts start over', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 1000 });
    const token = await world.device('d');
    await world.appendTo('d', 1);
    await world.appendTo('d', 2);
    const client = await gateway.connect({ token });
    await client.nextMessages(2);
    await world.pass(1100);
    await client.nextMessages(2);
    client.ack('@normal', 2);
    await turns();
    await world.pass(5000);
    assert.deepEqual(client.unread, []);
    assert.equal((await gateway.state()).unacked, 0);
  });

  test('that is acked is settled in the store, all of a tick in one call', async () => {
    const watched = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: watched.store });
    const token = await world.device('d');
    for (const n of numbers(1, 5)) await world.appendTo('d', n);
    const client = await gateway.connect({ token });
    await client.nextMessages(5);
    for (const n of numbers(1, 5)) client.ack('@normal', n);
    await turns();
    assert.ok(watched.calls.get('settle')! <= 2, `${watched.calls.get('settle')} calls`);
    const again = await gateway.connect({ token });
    assert.deepEqual(again.welcome().streams.find(({ stream }) => stream === '@normal')?.offset, 5);
  });

  test('waits in the stream while the window is full, and follows the ack', async () => {
    const gateway = await world.gateway({ windowMessagesMax: 4 });
    const token = await world.device('d');
    for (const n of numbers(1, 10)) await world.appendTo('d', n);
    const client = await gateway.connect({ token });
    assert.deepEqual(bodies(await client.nextMessages(4)), numbers(1, 4));
    await world.pass(200);
    assert.deepEqual(client.unread, []);
    client.ack('@normal', 3);
    assert.deepEqual(bodies(await client.nextMessages(3)), [5, 6, 7]);
    client.ack('@normal', 7);
    assert.deepEqual(bodies(await client.nextMessages(3)), [8, 9, 10]);
  });

  test('is read in pages when much is waiting, each once and in order', async () => {
    const gateway = await world.gateway({ windowMessagesMax: 1000, backlogThreshold: 1000 });
    const token = await world.device('d');
    for (const n of numbers(1, 600)) await world.appendTo('d', n);
    const client = await gateway.connect({ token });
    assert.deepEqual(bodies(await client.nextMessages(600)), numbers(1, 600));
  });
});

describe('a topic', () => {
  test('is read once for all sessions that miss the same', async () => {
    const watched = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: watched.store });
    const router = await gateway.router();
    const clients = await Promise.all(
      numbers(1, 20).map(async (n) => gateway.connect({ token: await world.device(`d${n}`) })),
    );
    await router.toTopic('$all', await world.publish('$all', 1));
    const before = watched.calls.get('read') ?? 0;
    await world.publish('$all', 2); // its hint is lost
    await router.toTopic('$all', await world.publish('$all', 3));
    await world.pass(100);
    for (const client of clients) {
      await client.next('stream');
      assert.deepEqual(bodies(await client.nextMessages(3)), [1, 2, 3]);
    }
    assert.equal((watched.calls.get('read') ?? 0) - before, 1);
  });

  test('R11: serves by a read only sessions that the page covers: one further back that wants it meanwhile is read for anew', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({ windowMessagesMax: 2 }, { store: failing.store });
    const router = await gateway.router();
    const [quick, late] = [
      await gateway.connect({ token: await world.device('quick') }),
      await gateway.connect({ token: await world.device('late') }),
    ];
    for (const n of [1, 2, 3, 4]) {
      await router.toTopic('$all', await world.publish('$all', n));
      if (n === 1) await quick.next('stream');
      await quick.next('message');
      quick.ack('$all', n);
      await turns(5);
    }
    const real = world.store;
    const gate = Promise.withResolvers<void>();
    failing.behind = withOperation(real, {
      async read(reads) {
        if (reads.some(({ after }) => after?.offset === 4)) await gate.promise; // it is under way for a while
        return real.read(reads);
      },
    });
    await world.publish('$all', 5); // its hint is lost
    await router.toTopic('$all', await world.publish('$all', 6));
    await world.pass(100);
    await late.next('stream');
    await late.nextMessages(2);
    late.ack('$all', 2);
    await turns();
    gate.resolve();
    assert.deepEqual(bodies(await quick.nextMessages(2)), [5, 6]);
    assert.deepEqual(bodies(await late.nextMessages(2)), [3, 4]);
  });

  test('goes on at the saved cursor for a session that claims nothing, after a disconnect', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    first.send({ type: 'subscribe', id: 1, topics: [{ topic: 'news' as never }] });
    await first.next('subscribed');
    for (const n of [1, 2, 3]) await router.toTopic('news', await world.publish('news', n));
    await first.next('stream');
    await first.nextMessages(3);
    first.ack('news', 2);
    first.send({ type: 'bye' });
    await first.end();
    await turns();
    const second = await gateway.connect({ token });
    assert.equal(second.welcome().streams.find(({ stream }) => stream === 'news')?.offset, 2);
    assert.deepEqual(bodies(await second.nextMessages(1)), [3]);
  });

  test('R5: saves cursors on the flush budget, not with each ack', async () => {
    const watched = aStoreThatFails(world.store);
    const gateway = await world.gateway({ cursorFlushMs: 1000 }, { store: watched.store });
    const router = await gateway.router();
    const client = await gateway.connect({ token: await world.device('d') });
    for (const n of numbers(1, 5)) await router.toTopic('$all', await world.publish('$all', n));
    await client.next('stream');
    await client.nextMessages(5);
    for (const n of numbers(1, 5)) client.ack('$all', n);
    await turns();
    assert.equal(watched.calls.get('saveCursors') ?? 0, 0);
    await world.pass(1100);
    assert.equal(watched.calls.get('saveCursors'), 1);
    await world.pass(3000);
    assert.equal(watched.calls.get('saveCursors'), 1, 'nothing has moved since');
  });

  test('is heard from where a newcomer came, and what came while it was away is kept for it', async () => {
    const gateway = await world.gateway();
    await world.publish('$all', 'before');
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    assert.equal(first.welcome().streams.find(({ stream }) => stream === '$all')?.offset, 1);
    first.send({ type: 'bye' });
    await first.end();
    await turns();
    await world.publish('$all', 'meanwhile');
    const second = await gateway.connect({ token });
    assert.deepEqual(bodies(await second.nextMessages(1)), ['meanwhile']);
  });

  test('is kept as well for who was here before anybody had written it, however the connection ended', async () => {
    const gateway = await world.gateway();
    const first = await gateway.connect({ token: await world.device('d') });
    const { ticket, streams } = first.welcome();
    assert.deepEqual(streams, []);
    gateway.kill();
    await first.end();
    await world.publish('$all', 'the very first');
    const second = await (await world.gateway()).connect({ ticket });
    assert.deepEqual(bodies(await second.nextMessages(1)), ['the very first']);
  });
  test('costs the store a row once for each device, not for each session', async () => {
    const watched = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: watched.store });
    const token = await world.device('d');
    for (let i = 0; i < 3; i++) await gateway.connect({ token });
    assert.equal(watched.calls.get('subscribe'), 1);
  });
});

describe('a slow client', () => {
  /** More than a loopback socket and both its buffers hold. */
  const BIG = 'x'.repeat(30_000);
  const MANY = 400;

  test('misses live messages, which are counted, and nobody else does', async () => {
    const gateway = await world.gateway({ outboxBytesMax: 100_000 });
    const router = await gateway.router();
    const slow = await gateway.connect({ token: await world.device('slow') });
    const quick = await gateway.connect({ token: await world.device('quick') });
    slow.socket.pause();
    for (let i = 0; i < MANY; i++) await router.toTopic('$all', { record: world.record(BIG).record }, i + 1);
    await quick.nextMessages(MANY);
    const metrics = await (await gateway.admin('GET', '/metrics')).text();
    assert.ok(Number(/live_dropped_total (\d+)/.exec(metrics)?.[1]) > 0);
    slow.socket.resume();
    await turns(50);
    assert.equal(slow.closed, null);
  });

  test('gets durable ones later, each once and in order', async () => {
    const gateway = await world.gateway({ outboxBytesMax: 100_000, windowMessagesMax: 1000 });
    const router = await gateway.router();
    const slow = await gateway.connect({ token: await world.device('slow') });
    slow.socket.pause();
    for (let i = 1; i <= MANY; i++) await router.toTopic('$all', await world.publish('$all', { i, BIG }));
    const metrics = await (await gateway.admin('GET', '/metrics')).text();
    assert.ok(Number(/held_back_total (\d+)/.exec(metrics)?.[1]) > 0);
    slow.socket.resume();
    await slow.next('stream');
    for (let i = 1; i <= MANY; i++) {
      while (slow.unread.length === 0) await world.pass(50);
      assert.equal(((await slow.next('message')).body as { i: number }).i, i);
    }
  });
});

describe('while the store is away', () => {
  test('clients stay, live traffic goes on, acks are kept and stored when it is back', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: failing.store });
    const router = await gateway.router();
    const token = await world.device('d');
    await world.appendTo('d', 1);
    const client = await gateway.connect({ token });
    await client.nextMessages(1);
    failing.away = true;
    client.ack('@normal', 1);
    await router.toTopic('$all', { record: world.record('live').record }, 1);
    assert.deepEqual(bodies(await client.nextMessages(1)), ['live']);
    await world.pass(7000);
    assert.equal(client.closed, null);
    assert.equal((await gateway.admin('GET', '/readyz')).status, 200, 'readiness never depends on it');
    failing.away = false;
    await world.pass(1100);
    const again = await gateway.connect({ token });
    assert.equal(again.welcome().streams.find(({ stream }) => stream === '@normal')?.offset, 1);
  });

  test('a new session is closed with 4003 where a setting says so, and a subscribe is answered store-unavailable', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({ failOpen: 'no' }, { store: failing.store });
    const client = await gateway.connect({ token: await world.device('d1') });
    const token = await world.device('d2');
    failing.away = true;
    const late = await gateway.socket();
    late.send({ type: 'hello', version: 1, token });
    assert.equal((await late.end()).code, CLOSE.storeUnavailable.code);
    client.send({ type: 'subscribe', id: 1, topics: [{ topic: 'news' as never }] });
    assert.equal((await client.next('error')).code, 'store-unavailable');
    failing.away = false;
    client.send({ type: 'subscribe', id: 2, topics: [{ topic: 'news' as never }] });
    assert.equal((await client.next('subscribed')).id, 2);
  });

  test('a gap is read once it is back', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: failing.store });
    const router = await gateway.router();
    const client = await gateway.connect({ token: await world.device('d') });
    await world.appendTo('d', 1);
    const second = await world.appendTo('d', 2);
    failing.away = true;
    await router.toDevice('d', second);
    await world.pass(1000);
    failing.away = false;
    await world.pass(600);
    await client.next('stream');
    assert.deepEqual(bodies(await client.nextMessages(2)), [1, 2]);
  });
});

describe('sessions over several gateways', () => {
  test('a ticket resumes at another gateway, which tells the first to close the old connection', async () => {
    const [first, second] = [await world.gateway(), await world.gateway()];
    const old = await first.connect({ token: await world.device('d') });
    const fresh = await second.connect({ ticket: old.welcome().ticket });
    assert.equal(fresh.welcome().gateway, 'gateway-1');
    await until('the old connection was closed', () => old.closed !== null);
    assert.equal(old.closed?.code, CLOSE.superseded.code);
    const info = await world.store.device('shop' as never, 'd' as never);
    assert.equal(info?.route?.gateway, 'gateway-1', 'the old life did not take the new route along');
  });

  test('nothing is lost when a gateway is killed between hint and ack', async () => {
    const [first, second] = [await world.gateway(), await world.gateway()];
    const router = await first.router();
    const client = await first.connect({ token: await world.device('d') });
    for (const n of [1, 2, 3]) await router.toDevice('d', await world.appendTo('d', n));
    const { state } = await client.next('stream');
    await client.nextMessages(3);
    first.kill();
    await client.end();
    await world.appendTo('d', 4);
    const positions = [{ stream: '@normal' as const, epoch: state.epoch, offset: 2 }];
    const again = await second.connect({ ticket: client.welcome().ticket, positions });
    assert.deepEqual(bodies(await again.nextMessages(2)), [3, 4]);
  });
});
