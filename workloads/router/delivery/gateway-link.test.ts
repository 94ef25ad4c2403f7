import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { newLinkCounters } from '../../link/counters.ts';
import { aDelivery } from '../../link/fixtures.ts';
import type { AppId, DeviceId, Epoch, TopicName } from '../../protocol/ids.ts';
import { aManualClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { GatewayLease } from '../../store/port.ts';
import { replyOf } from '../doors/client-door.ts';
import { LINK_KEY, aGateway, aStore } from '../fixtures.ts';
import type { FakeGateway } from '../fixtures.ts';
import {
  GatewayLink,
  LIVE_WINDOW,
  QUESTIONS_MAX,
  UNANSWERED_BYTES_MAX,
  UNANSWERED_MAX,
  UNANSWERED_MS,
} from './gateway-link.ts';
import type { Delivery, Sent } from './gateway-link.ts';

const live = (record = new Uint8Array(1)): Delivery => ({
  kind: 'deliver-topic',
  app: 'shop' as AppId,
  topic: 'news' as TopicName,
  epoch: null,
  offset: 0,
  prev: 0,
  stamp: 1,
  record,
});
const durable = (over: Partial<ReturnType<typeof aDelivery>> = {}): Delivery => {
  const { seq: _, ...delivery } = aDelivery({ device: 'd' as DeviceId, ...over });
  return delivery;
};

const offsetOf = (delivery: Delivery): number => (delivery.kind === 'deliver-many' ? 0 : delivery.offset);

async function aLink(t: TestContext, answer: FakeGateway['answer'] = () => null) {
  const { store } = await aStore(t);
  const gateway = await aGateway(t, store);
  gateway.answer = answer;
  const [lease] = (await store.leases()) as [GatewayLease];
  const clock = aManualClock();
  const answered: Sent[] = [];
  let rooms = 0;
  let downs = 0;
  const link = new GatewayLink({
    lease,
    name: 'router-1',
    keys: () => [LINK_KEY],
    clock,
    log: silentLog,
    random: () => 0,
    counters: newLinkCounters(),
    onAnswer: (sent) => answered.push(sent),
    onRoom: () => void rooms++,
    onCommand: async ({ seq, op }) => replyOf(seq, 200, { op }),
    onDown: () => void downs++,
  });
  t.after(() => link.close('kill'));
  const up = async (): Promise<void> => {
    while (!link.isUp) await new Promise(setImmediate);
  };
  return { link, gateway, clock, answered, up, rooms: () => rooms, downs: () => downs };
}

test('before the link stands a durable delivery is kept and sent then, a live one is not', async (t) => {
  const { link, gateway, up } = await aLink(t);
  assert.equal(link.offer(durable()), 'kept');
  assert.equal(link.offerLive(live()), false);
  await up();
  await gateway.heardCount(1);
  assert.deepEqual([gateway.heard.length, gateway.heard[0]!.kind, link.unanswered], [1, 'deliver-device', 1]);
});

test('the window of unanswered live topic messages closes at its bound and opens with each answer', async (t) => {
  const { link, gateway, up, rooms } = await aLink(t);
  await up();
  for (let i = 0; i < LIVE_WINDOW; i++) {
    assert.equal(link.hasLiveRoom, true);
    assert.equal(link.offerLive(live()), true);
  }
  assert.equal(link.hasLiveRoom, false);
  await gateway.heardCount(LIVE_WINDOW);
  const before = rooms();
  gateway.server.peers()[0]!.send({ kind: 'answer', seq: 1, outcome: 'taken', sessions: 5 });
  while (rooms() === before) await new Promise(setImmediate);
  assert.equal(link.hasLiveRoom, true);
  assert.equal(link.unanswered, LIVE_WINDOW - 1);
});

test('unanswered deliveries are bounded by number and by bytes', async (t) => {
  const { link } = await aLink(t);
  for (let i = 0; i < UNANSWERED_MAX; i++) assert.equal(link.offer(durable()), 'kept');
  assert.equal(link.offer(durable()), 'full');
  const { link: other } = await aLink(t);
  const record = new Uint8Array(UNANSWERED_BYTES_MAX / 8);
  for (let i = 0; i < 8; i++) assert.equal(other.offer(durable({ record })), 'kept');
  assert.equal(other.offer(durable({ record: new Uint8Array(1) })), 'full');
});

test('what is not answered in time makes room, and is left to the stream', async (t) => {
  const { link, clock } = await aLink(t);
  link.offer(durable());
  clock.advance(UNANSWERED_MS - 1);
  link.offer(durable());
  assert.equal(link.dropStale(clock.monotonicMs()), 0);
  clock.advance(1);
  assert.equal(link.dropStale(clock.monotonicMs()), 1);
  assert.equal(link.unanswered, 1);
});

test('an answer is told once, with what it answers; one to nothing known is ignored', async (t) => {
  const { link, gateway, answered, up } = await aLink(t);
  await up();
  link.offer(durable({ offset: 42 }), 1);
  await gateway.heardCount(1);
  const peer = gateway.server.peers()[0]!;
  for (const seq of [9, 1, 1]) peer.send({ kind: 'answer', seq, outcome: 'not-here', sessions: 0 });
  while (answered.length === 0) await new Promise(setImmediate);
  assert.deepEqual(
    answered.map(({ delivery, moves }) => [offsetOf(delivery), moves]),
    [[42, 1]],
  );
});

test('closing answers what nobody has answered', async (t) => {
  const { link } = await aLink(t);
  link.offer(durable({ offset: 1 }));
  link.offer(durable({ offset: 2 }));
  assert.deepEqual(
    link.close('close').map(({ delivery }) => offsetOf(delivery)),
    [1, 2],
  );
  assert.equal(link.unanswered, 0);
});

test('a question is answered by its reply; without one in time, or when the link falls, by nothing', async (t) => {
  const { link, gateway, clock, up } = await aLink(t);
  const question = { kind: 'command', op: 'trace', app: 'shop' as AppId, account: '', device: '' } as const;
  const body = Buffer.from('{}');
  assert.equal(await link.ask({ ...question, body }, 1000), null, 'the link does not stand yet');
  await up();
  gateway.reply = (frame) => ({ status: 200, body: Buffer.from(`${frame.op} ${frame.seq}`) });
  const reply = await link.ask({ ...question, body }, 1000);
  assert.deepEqual([reply?.status, Buffer.from(reply!.body).toString()], [200, `trace ${reply!.seq}`]);
  gateway.reply = () => null;
  const late = link.ask({ ...question, body }, 1000);
  clock.advance(1000);
  assert.equal(await late, null);
  const cut = link.ask({ ...question, body }, 1000);
  gateway.server.kill();
  assert.equal(await cut, null);
});

test('questions under way are bounded: one more is answered by nothing at once, and a reply makes room', async (t) => {
  const { link, gateway, up } = await aLink(t);
  await up();
  const asked: number[] = [];
  gateway.reply = ({ seq }) => {
    asked.push(seq);
    return null;
  };
  const question = { kind: 'command', op: 'trace', app: 'shop' as AppId, account: '', device: '' } as const;
  const ask = () => link.ask({ ...question, body: new Uint8Array(0) }, 60_000);
  const soon = <T>(promise: Promise<T>) =>
    Promise.race([promise, new Promise((resolve) => setImmediate(resolve, 'under way'))]);
  const replies = Array.from({ length: QUESTIONS_MAX }, ask);
  assert.deepEqual([await soon(replies.at(-1)!), await soon(ask())], ['under way', null]);
  while (asked.length < QUESTIONS_MAX) await new Promise(setImmediate);
  gateway.server.peers()[0]!.send(replyOf(asked[0]!, 200, {}));
  assert.equal((await replies[0])?.status, 200);
  const next = ask();
  while (asked.length < QUESTIONS_MAX + 1) await new Promise(setImmediate);
  gateway.server.peers()[0]!.send(replyOf(asked.at(-1)!, 200, {}));
  assert.equal((await next)?.status, 200);
  assert.equal(asked.length, QUESTIONS_MAX + 1, 'the one past the limit was never sent');
});

test('rows of one message for many devices count each, and are answered by their places', async (t) => {
  const { link, gateway, answered, up } = await aLink(t);
  await up();
  const rows = ['a', 'b', 'c'].map((device, i) => ({
    device: device as DeviceId,
    epoch: 'e1' as Epoch,
    offset: i + 1,
    prev: i,
  }));
  const { app, bootId, lane, record } = aDelivery({ bootId: gateway.bootId });
  assert.equal(link.offer({ kind: 'deliver-many', app, bootId, lane, record, rows }), 'sent');
  assert.equal(link.unanswered, 3);
  while (gateway.heardMany.length === 0) await new Promise(setImmediate);
  assert.deepEqual(gateway.heardMany[0]!.rows, rows);
  const peer = gateway.server.peers()[0]!;
  peer.send({ kind: 'answer-many', seq: gateway.heardMany[0]!.seq, notHere: [1], slow: [] });
  while (answered.length === 0) await new Promise(setImmediate);
  assert.equal(link.unanswered, 0);
});
