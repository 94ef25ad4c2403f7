import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { DegradedFrame } from '../../protocol/frames.ts';
import { RECORD_DEFAULTS, decodeRecord, encodeRecord } from '../../protocol/record.ts';
import type { MessageRecord } from '../../protocol/record.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { World } from '../fixtures.ts';
import type { TestGateway, TestRouter } from '../fixtures.ts';
import { DEGRADED_MS, LATE_ANSWER_MS } from './shedding.ts';
import type { TestClient } from '../test-client.ts';
import { turns, until } from '../test-client.ts';
import { openVitals } from './vitals.ts';

let world: World;
let load: { lagMs: number; memoryBytes: number };
let gateway: TestGateway;
let router: TestRouter;
beforeEach(async () => {
  world = new World();
  load = { lagMs: 0, memoryBytes: 0 };
  await start();
});
afterEach(() => world.end());

async function start(changes: Parameters<World['gateway']>[0] = {}, more: Parameters<World['gateway']>[1] = {}) {
  const vitals = { look: () => load, stop() {} };
  gateway = await world.gateway({ lagMsMax: 100, memoryBytesMax: 1000, ...changes }, { vitals, ...more });
  router = await gateway.router();
}

/** Load until this level is reached. */
async function overload(level: number): Promise<void> {
  load = { lagMs: [0, 100, 200, 400][level]!, memoryBytes: 0 };
  await world.pass(1000 * level + 600);
  assert.equal((await gateway.state()).shedding, level);
}
async function calm(): Promise<void> {
  load = { lagMs: 0, memoryBytes: 0 };
  await world.pass(12_000);
  const { shedding, intakePaused } = await gateway.state();
  assert.deepEqual([shedding, intakePaused], [0, false]);
}
function record(body: unknown, over: Partial<MessageRecord>): Uint8Array {
  return encodeRecord({ ...RECORD_DEFAULTS, ...decodeRecord(world.record(body).record), ...over });
}
let stamp = 0;
const publish = async (level: number | null, over: Partial<MessageRecord> = {}): Promise<string> =>
  (await router.toTopic('$all', { record: record(level, { level, ...over }) }, ++stamp)).outcome;
const bodies = (client: TestClient): unknown[] =>
  client.frames.flatMap((frame) => (frame.type === 'message' ? [frame.body] : []));
const told = (client: TestClient): (number | 'restored')[] =>
  client.frames.flatMap((frame): (number | 'restored')[] => {
    if (frame.type === 'degraded') return [frame.levelMin];
    return frame.type === 'restored' ? ['restored'] : [];
  });

describe('a gateway that has too much', () => {
  test('drops live messages of low level first, more of them with each level, and answers slow', async () => {
    const client = await gateway.connect({ token: await world.device('d') });
    const sent = [null, 2, 3, 5, 6, 9];
    const outcomes: string[][] = [];
    for (const level of [0, 1, 2, 3]) {
      if (level > 0) await overload(level);
      const round: string[] = [];
      for (const each of sent) round.push(await publish(each));
      outcomes.push(round);
    }
    assert.deepEqual(
      outcomes.map((round) => round.filter((outcome) => outcome === 'slow').length),
      [0, 2, 4, 6],
    );
    assert.deepEqual(bodies(client), [...sent, 3, 5, 6, 9, 6, 9]);
  });

  test('tells its clients until when, again while it lasts, and that it is over', async () => {
    const clients: TestClient[] = [];
    for (const name of ['a', 'b', 'c']) clients.push(await gateway.connect({ token: await world.device(name) }));
    await overload(1);
    await world.pass(26_000);
    const late = await gateway.connect({ token: await world.device('late') });
    await overload(1);
    await calm();
    for (const client of clients) {
      assert.deepEqual(told(client), [3, 3, 'restored']);
      const first = client.frames.find((frame): frame is DegradedFrame => frame.type === 'degraded');
      assert.equal(first?.forMs, DEGRADED_MS);
    }
    assert.deepEqual(told(late), [3, 'restored']);
    const after = await gateway.connect({ token: await world.device('after') });
    assert.deepEqual(told(after), []);
  });

  test('loses nothing durable: at the highest level hints wait, and everyone reads on when it is over', async () => {
    const client = await gateway.connect({ token: await world.device('d') });
    await overload(3);
    const answers = [
      await router.toDevice('d', await world.appendTo('d', 1)),
      await router.toDevice('d', await world.appendTo('d', 2, 'high'), 'high'),
      await router.toTopic('$all', await world.publish('$all', 3)),
    ];
    assert.deepEqual(
      answers.map(({ outcome }) => outcome),
      ['taken', 'taken', 'taken'],
    );
    const elsewhere = await router.toDevice('nobody', { ...(await world.appendTo('d', 4)) });
    assert.equal(elsewhere.outcome, 'not-here');
    await world.pass(5000);
    assert.deepEqual(bodies(client), []);
    await calm();
    await until('all came', () => bodies(client).length >= 4);
    assert.deepEqual(new Set(bodies(client)), new Set([1, 2, 3, 4]));
  });

  test('still sends what was journalled: it is durable', async () => {
    const client = await gateway.connect({ token: await world.device('d') });
    await overload(3);
    assert.equal(await publish(null, { journalled: true }), 'taken');
    await until('it came', () => bodies(client).length === 1);
  });

  test('shows it at the admin port', async () => {
    await overload(2);
    const metrics = await (await gateway.admin('GET', '/metrics')).text();
    assert.match(metrics, /^pushcluster_gateway_shedding_level 2$/m);
    const ready = (await (await gateway.admin('GET', '/readyz')).json()) as Record<string, unknown>;
    assert.deepEqual([ready['ready'], ready['shedding']], [true, 2]);
  });
});

describe('a gateway without memory', () => {
  const lack = async (): Promise<void> => {
    load = { lagMs: 0, memoryBytes: 1000 };
    await world.pass(600);
    assert.equal((await gateway.state()).intakePaused, true);
  };

  test('answers live deliveries late, which holds routers back, and at once when there is some', async () => {
    const client = await gateway.connect({ token: await world.device('d') });
    await lack();
    router.link.send({
      kind: 'deliver-topic',
      seq: 900,
      app: 'shop' as never,
      topic: '$all' as never,
      epoch: null,
      offset: 0,
      prev: 0,
      stamp: ++stamp,
      record: record('late answer', { level: 9 }),
    });
    await until('it was delivered', () => bodies(client).length === 1);
    await turns();
    assert.equal(router.answers.has(900), false);
    await world.pass(LATE_ANSWER_MS + 100);
    await until('it was answered', () => router.answers.has(900));
    const durable = await router.toDevice('d', await world.appendTo('d', 1));
    assert.equal(durable.outcome, 'taken');
    await calm();
    assert.equal(await publish(9), 'taken');
  });

  test('takes no new clients, and those that are here stay', async () => {
    const client = await gateway.connect({ token: await world.device('d') });
    await lack();
    await assert.rejects(gateway.socket(), /503/);
    assert.equal(client.closed, null);
    await calm();
    await gateway.connect({ token: await world.device('e') });
  });

  test('asks for no pages of backlogs until there is some', async () => {
    const watched = aStoreThatFails(world.store);
    await start({ backlogThreshold: 2, windowMessagesMax: 2 }, { store: watched.store });
    const token = await world.device('d');
    for (const n of [1, 2, 3, 4]) await world.appendTo('d', n);
    const client = await gateway.connect({ token });
    await until('a window came', () => bodies(client).length === 2);
    await lack();
    const reads = watched.calls.get('read');
    client.ack('@normal', 2);
    await world.pass(1000);
    assert.deepEqual([bodies(client).length, watched.calls.get('read')], [2, reads]);
    await calm();
    await until('the rest came', () => new Set(bodies(client)).size === 4);
  });
});

const BODY = 'x'.repeat(8000);
const publishLarge = (): Promise<unknown> => router.toTopic('$all', { record: record(BODY, { level: 9 }) }, ++stamp);

test('bandwidth above four fifths of the limit pauses intake', async () => {
  await start({ bandwidthBytesPerSecond: 100_000 });
  const client = await gateway.connect({ token: await world.device('d') });
  await world.pass(1000);
  for (let i = 0; i < 6; i++) await publishLarge();
  await until('all came', () => bodies(client).length === 6);
  await world.pass(500); // 48 KB in half a second
  assert.equal((await gateway.state()).intakePaused, true);
  await calm();
});

test('what waits for slow clients, all together, is load', async () => {
  await start({ outboxTotalBytesMax: 500_000 });
  const client = await gateway.connect({ token: await world.device('d') });
  client.socket.pause();
  const waiting = async (): Promise<number> => {
    const metrics = await (await gateway.admin('GET', '/metrics')).text();
    return Number(/^pushcluster_gateway_outbox_waiting_bytes (\d+)$/m.exec(metrics)?.[1]);
  };
  // The kernel takes some megabytes before anything waits here.
  for (let round = 0; round < 60 && (await waiting()) < 600_000; round++)
    await Promise.all(Array.from({ length: 100 }, publishLarge));
  await world.pass(1600);
  assert.ok((await gateway.state()).shedding > 0);
  client.socket.terminate();
  await until('it is gone', () => client.closed !== null);
  await turns();
  assert.equal(await waiting(), 0);
  await calm();
});

test('the vitals of a process are its memory and how late its timers are', async () => {
  const vitals = openVitals();
  await new Promise((resolve) => setTimeout(resolve, 60));
  vitals.look();
  for (let i = 0; i < 5; i++) {
    const endsAt = performance.now() + 100;
    while (performance.now() < endsAt);
    await new Promise(setImmediate);
  }
  const { lagMs, memoryBytes } = vitals.look();
  vitals.stop();
  assert.ok(lagMs > 20, `${lagMs}`);
  assert.ok(memoryBytes > 10_000_000);
});
