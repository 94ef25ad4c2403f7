import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CLOSE } from '../protocol/codes.ts';
import { World } from './fixtures.ts';
import type { TestGateway, TestRouter } from './fixtures.ts';
import { turns } from './test-client.ts';

let world: World;
let gateway: TestGateway;
let router: TestRouter;
const bodies = (frames: readonly { body?: unknown }[]): unknown[] => frames.map(({ body }) => body);

describe('a gateway', () => {
  before(async () => {
    world = new World();
    gateway = await world.gateway();
    router = await gateway.router();
  });
  after(() => world.end());

  test('welcomes a device with its token and delivers what waits for it', async () => {
    const token = await world.device('d1');
    await world.appendTo('d1', 'one');
    await world.appendTo('d1', 'two');
    const client = await gateway.connect({ token });
    const state = client.welcome().streams.find(({ stream }) => stream === '@normal');
    assert.deepEqual([state?.offset, state?.recovered, state?.reason], [0, false, 'no-position']);
    const messages = await client.nextMessages(2);
    assert.deepEqual(bodies(messages), ['one', 'two']);
    assert.deepEqual(
      messages.map(({ offset, prev }) => [offset, prev]),
      [
        [1, undefined],
        [2, undefined],
      ],
    );
    client.ack('@normal', 2);
    await turns();
    assert.equal((await gateway.state()).unacked, 0);
  });

  test('writes a hint that continues the position at once, and answers taken', async () => {
    const client = await gateway.connect({ token: await world.device('d2') });
    const answer = await router.toDevice('d2', await world.appendTo('d2', { n: 1 }));
    assert.equal(answer.outcome, 'taken');
    const { state } = await client.next('stream');
    assert.equal(state.offset, 0);
    assert.deepEqual(bodies(await client.nextMessages(1)), [{ n: 1 }]);
  });

  test('answers not-here for a device that has no session in this life', async () => {
    await world.device('elsewhere');
    const answer = await router.toDevice('elsewhere', await world.appendTo('elsewhere', 1));
    assert.equal(answer.outcome, 'not-here');
  });

  test('ignores a hint that comes twice', async () => {
    const client = await gateway.connect({ token: await world.device('d3') });
    const entry = await world.appendTo('d3', 'once');
    await router.toDevice('d3', entry);
    await router.toDevice('d3', entry);
    await client.next('stream');
    assert.deepEqual(bodies(await client.nextMessages(1)), ['once']);
    await turns();
    assert.deepEqual(client.unread, []);
  });

  test('reads the gap that a lost hint left, in order', async () => {
    const client = await gateway.connect({ token: await world.device('d4') });
    await router.toDevice('d4', await world.appendTo('d4', 1));
    await world.appendTo('d4', 2); // its hint is lost
    await router.toDevice('d4', await world.appendTo('d4', 3));
    await client.next('stream');
    await world.pass(50);
    assert.deepEqual(bodies(await client.nextMessages(3)), [1, 2, 3]);
  });

  test('R1: finds the last hint that was lost by the position check', async () => {
    const client = await gateway.connect({ token: await world.device('d5') });
    await world.appendTo('d5', 'last');
    await world.pass(26_000 * 1.3);
    await client.next('stream');
    assert.deepEqual(bodies(await client.nextMessages(1)), ['last']);
  });

  test('lets every session of the app hear $all, durable and live', async () => {
    const clients = await Promise.all(
      ['a1', 'a2', 'a3'].map(async (name) => gateway.connect({ token: await world.device(name) })),
    );
    const answer = await router.toTopic('$all', await world.publish('$all', 'everyone'));
    assert.ok(answer.sessions >= 3);
    await router.toTopic('$all', { record: world.record('now').record }, 1);
    for (const client of clients) {
      await client.next('stream');
      assert.deepEqual(bodies(await client.nextMessages(2)), ['everyone', 'now']);
    }
  });

  test('resumes by ticket at the place the client names, closing the old connection with 4006', async () => {
    const first = await gateway.connect({ token: await world.device('d6') });
    const entry = await world.appendTo('d6', 'x');
    await router.toDevice('d6', entry);
    await world.appendTo('d6', 'y');
    const { ticket } = first.welcome();
    const positions = [{ stream: '@normal' as const, epoch: entry.epoch, offset: 1 }];
    const second = await gateway.connect({ ticket, positions });
    const state = second.welcome().streams.find(({ stream }) => stream === '@normal');
    assert.deepEqual(state, { stream: '@normal', epoch: entry.epoch, offset: 1, recovered: true });
    assert.deepEqual(bodies(await second.nextMessages(1)), ['y']);
    assert.equal((await first.end()).code, CLOSE.superseded.code);
    const again = await gateway.socket();
    again.send({ type: 'hello', version: 1, ticket });
    assert.equal((await again.end()).code, CLOSE.ticketStale.code);
  });

  test('closes the older connection with 4500 when the device connects by token again', async () => {
    const token = await world.device('d7');
    const first = await gateway.connect({ token });
    await gateway.connect({ token });
    assert.equal((await first.end()).code, CLOSE.replaced.code);
  });

  test('subscribes within the patterns, refuses beyond, and recovers what a claimed position is missing', async () => {
    const client = await gateway.connect({ token: await world.device('d8') });
    const one = await world.publish('news', 1);
    client.send({
      type: 'subscribe',
      id: 7,
      topics: [{ topic: 'news' as never }, { topic: 'secret' as never }],
    });
    const answer = await client.next('subscribed');
    assert.deepEqual(answer.refused, [{ topic: 'secret', code: 'forbidden' }]);
    assert.equal(answer.streams[0]?.offset, 1);
    await router.toTopic('news', await world.publish('news', 2));
    assert.deepEqual(bodies(await client.nextMessages(1)), [2]);
    client.send({ type: 'unsubscribe', id: 8, topics: ['news' as never] });
    await client.next('unsubscribed');
    await router.toTopic('news', await world.publish('news', 3));
    client.send({ type: 'subscribe', id: 9, topics: [{ topic: 'news' as never, epoch: one.epoch, offset: 2 }] });
    const back = await client.next('subscribed');
    assert.deepEqual(back.streams, [{ stream: 'news', epoch: one.epoch, offset: 2, recovered: true }]);
    assert.deepEqual(bodies(await client.nextMessages(1)), [3]);
  });

  test('answers upstream frames with upstream-unavailable where there is no bus', async () => {
    const client = await gateway.connect({ token: await world.device('d9') });
    client.send({ type: 'upstream', id: 1, kind: 'order', key: 'k', body: {} });
    assert.equal((await client.next('error')).code, 'upstream-unavailable');
  });

  test('answers a ping, with a fresh ticket once the one before is past half of its life', async () => {
    const client = await gateway.connect({ token: await world.device('d10') });
    client.send({ type: 'ping' });
    assert.equal((await client.next('pong')).ticket, undefined);
    for (let i = 0; i < 10; i++) {
      await world.pass(50_000);
      client.send({ type: 'ping' });
      const pong = await client.next('pong');
      if (pong.ticket !== undefined) return;
    }
    assert.fail('no fresh ticket came');
  });

  test('removes the route when the client says bye', async () => {
    const client = await gateway.connect({ token: await world.device('d11') });
    client.send({ type: 'bye' });
    assert.equal((await client.end()).code, 1000);
    await turns();
    const info = await world.store.device('shop' as never, 'd11' as never);
    assert.equal(info?.route, null);
  });
});
