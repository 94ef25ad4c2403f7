import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { CLOSE } from '../../protocol/codes.ts';
import { FETCHES_MAX } from '../frames/fetch.ts';
import { LATE_BYTES_MAX, LATE_CUT_MS, LATE_MESSAGES_MAX, LateLive } from './late-live.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import { SESSION_WINDOWS } from '../endings/window.ts';
import { turns } from '../test-client.ts';
import type { TestClient } from '../test-client.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());
const bodies = (frames: readonly { body?: unknown }[]): unknown[] => frames.map(({ body }) => body);
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function metric(gateway: TestGateway, name: string): Promise<number> {
  const text = await (await gateway.admin('GET', '/metrics')).text();
  return Number(new RegExp(`^pushcluster_gateway_${name} (\\d+)$`, 'm').exec(text)?.[1]);
}
/** The messages that came by now. */
const taken = async (client: TestClient) => {
  await turns(30);
  return client.nextMessages(client.unread.length);
};

describe('live messages for a client that reads nothing', () => {
  /** More than a loopback socket and both its buffers hold. */
  const BIG = 'x'.repeat(30_000);
  const stuff = async (gateway: TestGateway, client: TestClient) => {
    const router = await gateway.router();
    client.socket.pause();
    for (let i = 0; i < 300; i++) await router.toTopic('$all', world.record(`${BIG}${i}`));
    return router;
  };

  test('of one key wait as the newest of it, in order with the others, and come when it reads again', async () => {
    const gateway = await world.gateway({ outboxBytesMax: 100_000, heartbeatIntervalMs: 3_600_000 });
    const client = await gateway.connect({ token: await world.device('d') });
    const router = await stuff(gateway, client);
    for (const n of numbers(1, 50))
      await router.toTopic('$all', world.record(`price ${n}`, { attributes: { conflationKey: 'price' } }));
    await router.toTopic('$all', world.record('last'));
    assert.equal(await metric(gateway, 'live_conflated_total'), 49);
    client.socket.resume();
    const frames: unknown[] = [];
    while (!frames.includes('last')) frames.push(...bodies(await taken(client)));
    assert.deepEqual(frames.slice(-2), ['price 50', 'last']);
    const seen = frames.slice(0, -2).map((body) => Number(String(body).slice(BIG.length)));
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => a - b),
      'nothing overtakes what waited',
    );
  });

  test('for long cut it off as slow', async () => {
    const gateway = await world.gateway({ outboxBytesMax: 100_000, heartbeatIntervalMs: 3_600_000 });
    const client = await gateway.connect({ token: await world.device('d') });
    const router = await stuff(gateway, client);
    await world.pass(LATE_CUT_MS + 100);
    assert.equal((await gateway.state()).sessions, 1);
    await router.toTopic('$all', world.record('one more'));
    assert.equal((await gateway.state()).sessions, 0);
    assert.equal(await metric(gateway, 'slow_cut_total'), 1);
    client.socket.resume();
    assert.equal((await client.end()).code, CLOSE.slow.code);
  });

  test('are bounded by number and bytes, the oldest going first', () => {
    const late = new LateLive(0);
    const frame = (bytes: number) => new Uint8Array(bytes);
    for (let i = 0; i < LATE_MESSAGES_MAX; i++)
      assert.deepEqual(late.keep(null, frame(1)), { conflated: 0, dropped: 0 });
    assert.deepEqual(late.keep(null, frame(1)), { conflated: 0, dropped: 1 });
    assert.deepEqual(late.keep('k', frame(1)), { conflated: 0, dropped: 1 });
    assert.deepEqual(late.keep('k', frame(2)), { conflated: 1, dropped: 0 });
    assert.deepEqual(late.keep(null, frame(LATE_BYTES_MAX)), { conflated: 0, dropped: LATE_MESSAGES_MAX });
    assert.equal(late.frames.size, 1);
  });
});

describe('a client that acks late', () => {
  const LATE_MS = 3000;
  const settings = { ackTimeoutMs: 60_000, heartbeatIntervalMs: 3_600_000 };
  /** Acks what came, each time after a while, until nothing changes any more; answers the sizes of what came at once. */
  async function walkDown(client: TestClient, rounds: number): Promise<number[]> {
    const sizes: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const frames = await taken(client);
      sizes.push(frames.length);
      await world.pass(LATE_MS);
      if (frames.length > 0) client.ack('@normal', frames.at(-1)!.offset!);
      await turns(10);
    }
    return sizes;
  }

  test('is given less at a time, at last ids only, and everything in order; a quick one is not', async () => {
    const gateway = await world.gateway(settings);
    const token = await world.device('d');
    const body = 'x'.repeat(600);
    for (const n of numbers(1, 900)) await world.appendTo('d', `${body}${n}`);
    const client = await gateway.connect({ token });
    const sizes = await walkDown(client, 14);
    assert.equal(sizes[0], 256);
    assert.ok(sizes.includes(64) && sizes.includes(16) && sizes.at(-1) === 1, sizes.join(' '));
    assert.equal(await metric(gateway, 'sessions_paced'), 1);
    const [idOnly] = await taken(client);
    assert.deepEqual([idOnly?.idOnly, idOnly?.body], [true, undefined]);
    client.send({ type: 'fetch', id: 7, stream: '@normal', offset: idOnly!.offset! });
    const fetched = await client.next('fetched');
    assert.deepEqual([fetched.id, fetched.body], [7, `${body}${idOnly!.offset}`]);
    const offsets = client.frames.flatMap((frame) => (frame.type === 'message' ? [frame.offset!] : []));
    assert.deepEqual(offsets, numbers(1, offsets.length));
  });

  test('and then in time again gets its width back, and what waited', async () => {
    const gateway = await world.gateway({ ...settings, windowMessagesMax: 64 });
    const token = await world.device('d');
    for (const n of numbers(1, 400)) await world.appendTo('d', n);
    const client = await gateway.connect({ token });
    await walkDown(client, 8);
    assert.equal(await metric(gateway, 'sessions_paced'), 1);
    for (let i = 0; i < 80; i++) {
      const frames = await taken(client);
      if (frames.length > 0) client.ack('@normal', frames.at(-1)!.offset!);
      await world.pass(50);
    }
    await turns(20);
    const offsets = client.frames.flatMap((frame) => (frame.type === 'message' ? [frame.offset!] : []));
    assert.deepEqual(offsets, numbers(1, 400));
    const router = await gateway.router();
    for (let i = 0; i < 20; i++) {
      const entry = await world.appendTo('d', i);
      await router.toDevice('d', entry);
      client.ack('@normal', (await client.next('message')).offset!);
    }
    await turns();
    assert.equal(await metric(gateway, 'sessions_paced'), 0);
  });
});

test('the streams of one session share a window: what waits goes on when there is room, none is forgotten', async () => {
  const windowMessagesMax = 4;
  const gateway = await world.gateway({ windowMessagesMax });
  const client = await gateway.connect({ token: await world.device('d') });
  const router = await gateway.router();
  const topics = numbers(1, 20).map((n) => `chat.${n}`);
  client.send({ type: 'subscribe', id: 1, topics: topics.map((topic) => ({ topic: topic as never })) });
  await client.next('subscribed');
  for (const topic of topics)
    for (const n of numbers(1, 3)) await router.toTopic(topic, await world.publish(topic, `${topic} ${n}`));
  await turns(20);
  const messages = () => client.frames.flatMap((frame) => (frame.type === 'message' ? [frame] : []));
  assert.equal(messages().length, windowMessagesMax * SESSION_WINDOWS);
  assert.equal((await gateway.state()).unacked, windowMessagesMax * SESSION_WINDOWS);
  for (let i = 0; i < 20 && messages().length < 60; i++) {
    const heads = new Map(messages().map(({ stream, offset }) => [stream, offset!]));
    client.send({ type: 'ack', positions: [...heads].map(([stream, offset]) => ({ stream, offset })) });
    await world.pass(100);
  }
  const expected = topics.flatMap((topic) => [1, 2, 3].map((n) => `${topic} ${n}`));
  assert.deepEqual(new Set(bodies(messages())), new Set(expected));
  assert.equal(messages().length, expected.length);
});

describe('fetch', () => {
  test('is answered with the body as it is stored, however the message came', async () => {
    const gateway = await world.gateway();
    const token = await world.device('d');
    await world.appendTo('d', { a: 1 }, 'normal', { idOnly: true });
    const client = await gateway.connect({ token });
    const frame = await client.next('message');
    assert.deepEqual([frame.idOnly, 'body' in frame], [true, false]);
    client.send({ type: 'fetch', id: 1, stream: '@normal', offset: 1 });
    assert.deepEqual((await client.next('fetched')).body, { a: 1 });
  });
  test('of what was never sent, is of another epoch, or is gone, is an error', async () => {
    const gateway = await world.gateway();
    const token = await world.device('d');
    await world.appendTo('d', 1, 'normal', { idOnly: true });
    const client = await gateway.connect({ token });
    await client.next('message');
    const fetch = (id: number, more: object) =>
      client.send({ type: 'fetch', id, stream: '@normal', offset: 1, ...more });
    fetch(1, { offset: 2 });
    fetch(2, { epoch: 'other' });
    fetch(3, { stream: 'news' });
    client.ack('@normal', 1);
    await turns();
    fetch(4, {});
    for (const id of [1, 2, 3, 4]) {
      const error = await client.next('error');
      assert.deepEqual([error.id, error.code], [id, 'position-unknown']);
    }
  });
  test('is taken so many times at once, and refused with a time to come back beyond', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: failing.store });
    const token = await world.device('d');
    await world.appendTo('d', 1, 'normal', { idOnly: true });
    const client = await gateway.connect({ token });
    await client.next('message');
    for (let id = 1; id <= FETCHES_MAX + 1; id++) client.send({ type: 'fetch', id, stream: '@normal', offset: 1 });
    const error = await client.next('error');
    assert.deepEqual([error.id, error.code], [FETCHES_MAX + 1, 'rate-limited']);
    for (let i = 0; i < FETCHES_MAX; i++) await client.next('fetched');
    failing.away = true;
    client.send({ type: 'fetch', id: 99, stream: '@normal', offset: 1 });
    assert.equal((await client.next('error')).code, 'store-unavailable');
  });
});

test('R11: hearers that are behind by a few are served from the tail of the topic, without a read of the store', async () => {
  const watched = aStoreThatFails(world.store);
  const gateway = await world.gateway({ windowMessagesMax: 2 }, { store: watched.store });
  const router = await gateway.router();
  const clients: TestClient[] = [];
  for (const n of numbers(1, 10)) clients.push(await gateway.connect({ token: await world.device(`d${n}`) }));
  for (const n of numbers(1, 6)) await router.toTopic('$all', await world.publish('$all', n));
  const before = watched.calls.get('read') ?? 0;
  for (const client of clients) {
    await client.next('stream');
    for (const n of [2, 4, 6]) {
      assert.deepEqual(bodies(await client.nextMessages(2)), [n - 1, n]);
      client.ack('$all', n);
    }
  }
  assert.equal((watched.calls.get('read') ?? 0) - before, 0);
  assert.ok((await metric(gateway, 'tail_reads_total')) > 0);
  assert.ok((await metric(gateway, 'tail_bytes')) > 0);
  for (const client of clients) client.socket.terminate();
  for (const client of clients) await client.end();
  await turns();
  assert.equal(await metric(gateway, 'tail_bytes'), 0, 'it goes with the last hearer');
});
