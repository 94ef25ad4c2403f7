// Dead letters are counted once, as dead and as nothing else: in the ledger, in the metric, in what the app is told. Also where the store
// fails in between, and where the message has ended otherwise meanwhile (R9, R12).
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { TopicName } from '../../protocol/ids.ts';
import type { EndState, EntrySettleOutcome, Store } from '../../store/port.ts';
import { withOperation } from '../../store/with-operation.ts';
import { aStoreThatFails } from '../failing-store.ts';
import type { FailingStore } from '../failing-store.ts';
import { APP, World } from '../fixtures.ts';
import type { Entry, TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';
import { turns } from '../test-client.ts';

const SETTINGS = { ackTimeoutMs: 60_000, cursorFlushMs: 500 };
let world: World;
let failing: FailingStore;
let gateway: TestGateway;
beforeEach(async () => {
  world = new World();
  failing = aStoreThatFails(world.store);
  gateway = await world.gateway(SETTINGS, { store: failing.store });
});
afterEach(() => world.end());

/** A client that was given these of topic `news`. */
async function hearerOf(...bodies: readonly unknown[]): Promise<{ client: TestClient; entries: Entry[] }> {
  const router = await gateway.router();
  const client = await gateway.connect({ token: await world.device('d') });
  client.subscribe(1, 'news');
  await client.next('subscribed');
  const entries: Entry[] = [];
  for (const body of bodies) {
    entries.push(await world.publish('news', body));
    await router.toTopic('news', entries.at(-1)!);
  }
  await client.next('stream');
  await client.nextMessages(bodies.length);
  return { client, entries };
}
async function kill(client: TestClient, stream: string, offset: number): Promise<void> {
  client.nack(stream, offset, { final: 'dead', reason: 'never' });
  await turns();
}
/** What the ledger, the metric and the app were told: [acked, dead, cancelled, expired], dead letters counted, notices, letters kept. */
async function told(): Promise<unknown[]> {
  await world.pass(2000);
  const { acked, dead, cancelled, expired } = await world.store.ledger(APP);
  const metrics = await (await gateway.admin('GET', '/metrics')).text();
  const counted = Number(/dead_letters_total (\d+)/.exec(metrics)?.[1]);
  const notices = await world.store.claimJobs(100, 1, 'notices');
  const { letters } = await world.store.deadLetters(APP, { cursor: null, limit: 100 });
  return [[acked, dead, cancelled, expired], counted, notices.length, letters.length];
}
/** Instead of the store's own, from now on. */
function instead(own: Partial<Store>): void {
  failing.behind = withOperation(world.store, own);
}

describe('R12: a delivery of a topic that died', () => {
  test('is told with the move that passes it, and not again with the next one', async () => {
    const { client } = await hearerOf('poison', 'b', 'c', 'd');
    await kill(client, 'news', 1);
    await world.pass(600);
    assert.equal((await world.store.ledger(APP)).dead, 1);
    for (const offset of [2, 3, 4]) {
      client.ack('news', offset);
      await turns();
      await world.pass(600);
    }
    assert.deepEqual(await told(), [[3, 1, 0, 0], 1, 1, 1]);
  });

  test('counts once and as dead when the answer to its move was lost and the cursor had gone on', async () => {
    const { client } = await hearerOf('poison', 'b', 'poison', 'd');
    failing.lost.add('saveCursors');
    await kill(client, 'news', 1);
    await world.pass(600);
    await kill(client, 'news', 3);
    client.ack('news', 2);
    await turns();
    client.ack('news', 4);
    await turns();
    failing.lost.clear();
    assert.deepEqual(await told(), [[2, 2, 0, 0], 2, 2, 2]);
  });

  test('counts once when the answer to its keeping was lost', async () => {
    const { client } = await hearerOf('poison', 'b');
    failing.lost.add('putDeadLetters');
    await kill(client, 'news', 1);
    await world.pass(1500);
    failing.lost.clear();
    await world.pass(1500);
    client.ack('news', 2);
    await turns();
    assert.deepEqual(await told(), [[1, 1, 0, 0], 1, 1, 1]);
  });

  test('whose session ended before it was kept is nobody’s delivery under way', async () => {
    const { client } = await hearerOf('poison', 'b');
    const kept = Promise.withResolvers<void>();
    instead({
      async putDeadLetters(letters) {
        await kept.promise;
        return world.store.putDeadLetters(letters);
      },
    });
    await kill(client, 'news', 1);
    client.socket.terminate();
    await client.end();
    await turns();
    kept.resolve();
    await turns();
    assert.equal((await gateway.state()).unacked, 0);
  });

  test('is no dead letter when it was cancelled before, or is not in its topic any more', async () => {
    const { client, entries } = await hearerOf('cancelled', 'b');
    await world.store.cancelTopicEntry(APP, 'news' as TopicName, entries[0]!.id);
    await kill(client, 'news', 1);
    const gone = await world.publish('news', 'gone', { expiresAtMs: world.clock.nowMs() + 100 });
    await (await gateway.router()).toTopic('news', gone);
    await world.pass(200);
    await world.store.sweepExpired(10);
    client.ack('news', 2);
    await kill(client, 'news', 3);
    assert.deepEqual(await told(), [[1, 0, 1, 1], 0, 0, 0]);
  });
});

describe('R9: a delivery of a device’s stream that is to die', () => {
  /** A client that was given two messages. */
  async function aClient(): Promise<TestClient> {
    const token = await world.device('d');
    for (const body of ['poison', 'b']) await world.appendTo('d', body);
    const client = await gateway.connect({ token });
    await client.nextMessages(2);
    return client;
  }

  test('dies once and is told once when the answer of the store was lost', async () => {
    const client = await aClient();
    failing.lost.add('settleEntries');
    await kill(client, '@normal', 1);
    await world.pass(3500);
    assert.ok(failing.calls.get('settleEntries')! > 1, 'it is asked again');
    failing.lost.clear();
    await world.pass(1500);
    client.ack('@normal', 2);
    await turns();
    assert.deepEqual(await told(), [[1, 1, 0, 0], 1, 1, 1]);
    assert.equal((await gateway.state()).unacked, 0);
  });

  test('is acked when its client says so while the store is away', async () => {
    const client = await aClient();
    failing.away = true;
    await kill(client, '@normal', 1);
    client.ack('@normal', 2);
    await turns();
    failing.away = false;
    assert.deepEqual(await told(), [[2, 0, 0, 0], 0, 0, 0]);
  });

  const ends: readonly (readonly [EntrySettleOutcome, dead: number, underWay: number])[] = [
    [{ kind: 'unknown' }, 0, 1],
    [{ kind: 'stale' }, 0, 2],
    ...(['acked', 'expired', 'cancelled', 'satisfied', 'filtered'] as const).map(
      (state: EndState) => [{ kind: 'ended', state }, 0, 1] as const,
    ),
    [{ kind: 'ended', state: 'dead' }, 1, 1],
  ];
  for (const [outcome, dead, underWay] of ends)
    test(`counts ${dead} when the store says ${Object.values(outcome).join(' ')}`, async () => {
      const client = await aClient();
      instead({ settleEntries: () => Promise.resolve([outcome]) });
      await kill(client, '@normal', 1);
      const [, counted, notices] = await told();
      assert.deepEqual([counted, notices, (await gateway.state()).unacked], [dead, dead, underWay]);
    });
});
