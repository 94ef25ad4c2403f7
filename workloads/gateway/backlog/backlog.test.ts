import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { openLink } from '../../link/client.ts';
import type { Link } from '../../link/client.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import type { FeedRequest } from '../../protocol/link.ts';
import type { Lane } from '../../protocol/streams.ts';
import { silentLog } from '../../runtime/log.ts';
import { aStoreThatFails } from '../failing-store.ts';
import type { FailingStore } from '../failing-store.ts';
import { APP, World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';
import { turns, until } from '../test-client.ts';

let world: World;
let watched: FailingStore;
beforeEach(() => {
  world = new World();
  watched = aStoreThatFails(world.store);
});
afterEach(() => world.end());

const reads = (): number => watched.calls.get('read') ?? 0;
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const gets = async (client: TestClient, count: number): Promise<unknown[]> =>
  (await client.nextMessages(count)).map(({ stream, body }) =>
    stream === '@normal' ? body : `${stream} ${String(body)}`,
  );

async function fill(device: string, count: number, lane: Lane = 'normal'): Promise<void> {
  for (const n of numbers(1, count)) await world.appendTo(device, n, lane);
}

/** A drainer that reads the test's store; it holds what is asked until told, or puts everyone off. */
class TestDrainer {
  readonly link: Link;
  readonly asked: FeedRequest[] = [];
  mode: 'feed' | 'hold' | { readonly laterMs: number } = 'feed';

  constructor(gateway: TestGateway, name = 'drainer-0') {
    this.link = openLink({
      address: `127.0.0.1:${gateway.role.ports['link']}`,
      keys: () => world.keys.current().link,
      name,
      role: 'drainer',
      clock: world.clock,
      log: silentLog,
      onFrame: (frame) => {
        if (frame.kind !== 'feed-request') return;
        this.asked.push(frame);
        if (this.mode === 'feed') void this.feed(frame);
        else if (this.mode !== 'hold')
          this.link.send({ kind: 'feed-later', seq: frame.seq, retryAfterMs: this.mode.laterMs });
      },
      onDown: () => {},
    });
  }
  async up(): Promise<this> {
    await until('the drainer has linked', () => this.link.isUp());
    await turns();
    return this;
  }
  async feed({ seq, app, device, lane, epoch, offset, entriesMax }: FeedRequest): Promise<void> {
    const after = epoch === null ? null : { epoch, offset };
    const [outcome] = await world.store.read([{ stream: { app, kind: 'device', device, lane }, after, entriesMax }]);
    this.link.send({ kind: 'feed', seq, ...outcome!, notRecovered: outcome!.notRecovered ?? '' });
  }
}

describe('a device that comes back to more than the threshold', () => {
  test('is fed by the drainer lane by lane, and the gateway reads nothing itself', async () => {
    const gateway = await world.gateway({ backlogThreshold: 5 }, { store: watched.store });
    const drainer = await new TestDrainer(gateway).up();
    const token = await world.device('d');
    for (const lane of ['low', 'normal', 'high'] as const) await fill('d', 3, lane);
    const client = await gateway.connect({ token });
    const states = client.welcome().streams;
    for (const stream of ['@high', '@normal', '@low'])
      assert.equal(states.find((state) => state.stream === stream)?.reason, 'no-position');
    const inOrder = ['@high 1', '@high 2', '@high 3', 1, 2, 3, '@low 1', '@low 2', '@low 3'];
    assert.deepEqual(await gets(client, 9), inOrder);
    assert.deepEqual([reads(), (await gateway.state()).backlogs], [0, 0]);
    assert.deepEqual(
      drainer.asked.map(({ lane }) => lane),
      ['high', 'normal', 'low'],
    );
  });

  test('is given what is live meanwhile, and new messages where they continue a lane', async () => {
    const gateway = await world.gateway({ backlogThreshold: 5 });
    const router = await gateway.router();
    const drainer = await new TestDrainer(gateway).up();
    drainer.mode = 'hold';
    const token = await world.device('d');
    await fill('d', 6);
    const client = await gateway.connect({ token });
    await until('the drainer was asked', () => drainer.asked.length === 1);
    assert.equal((await gateway.state()).backlogs, 1);
    await router.toDevice('d', { record: world.record('live').record });
    await router.toDevice('d', await world.appendTo('d', 'urgent', 'high'), 'high');
    assert.deepEqual(await gets(client, 1), ['live']);
    assert.equal((await client.next('stream')).state.stream, '@high');
    assert.deepEqual(await gets(client, 1), ['@high urgent']);
    await router.toDevice('d', await world.appendTo('d', 7)); // behind the backlog of its lane
    await turns();
    assert.deepEqual(client.unread, []);
    await drainer.feed(drainer.asked[0]!);
    assert.deepEqual(await gets(client, 7), numbers(1, 7));
    await router.toDevice('d', await world.appendTo('d', 8));
    assert.deepEqual(await gets(client, 1), [8]);
    assert.equal((await gateway.state()).backlogs, 0);
  });

  test('goes on with its acks, a window at a time', async () => {
    const gateway = await world.gateway({ backlogThreshold: 5, windowMessagesMax: 4 }, { store: watched.store });
    await new TestDrainer(gateway).up();
    const token = await world.device('d');
    await fill('d', 10);
    const client = await gateway.connect({ token });
    const seen: unknown[] = [];
    for (const offset of [4, 8, 10]) {
      seen.push(...(await gets(client, offset - seen.length)));
      await turns();
      assert.deepEqual(client.unread, []);
      client.ack('@normal', offset);
    }
    assert.deepEqual([seen, reads()], [numbers(1, 10), 0]);
  });

  test('comes again when the drainer says', async () => {
    const gateway = await world.gateway({ backlogThreshold: 5 });
    const drainer = await new TestDrainer(gateway).up();
    drainer.mode = { laterMs: 3000 };
    const token = await world.device('d');
    await fill('d', 6);
    const client = await gateway.connect({ token });
    await until('the drainer was asked', () => drainer.asked.length === 1);
    await turns();
    drainer.mode = 'feed';
    await world.pass(2900);
    assert.deepEqual([client.unread, drainer.asked.length], [[], 1]);
    await world.pass(200);
    assert.deepEqual(await gets(client, 6), numbers(1, 6));
  });

  test('is fed by another drainer when its own is cut off or stuck, and by the gateway when there is none', async () => {
    const gateway = await world.gateway({ backlogThreshold: 5 }, { store: watched.store });
    const [first, second] = [await new TestDrainer(gateway, 'a').up(), await new TestDrainer(gateway, 'b').up()];
    for (const drainer of [first, second]) drainer.mode = 'hold';
    const token = await world.device('d');
    await fill('d', 6);
    const client = await gateway.connect({ token });
    const asked = (): number => first.asked.length + second.asked.length;
    await until('one was asked', () => asked() === 1);
    const [own, other] = first.asked.length === 1 ? [first, second] : [second, first];
    own.link.kill();
    await until('the other was asked', () => other.asked.length === 1);
    assert.deepEqual([client.unread, reads()], [[], 0]);
    for (let i = 0; i < 12; i++) {
      await world.pass(1000);
      client.send({ type: 'ping' });
      await client.next('pong').catch(() => {});
    }
    assert.equal(reads(), 1);
    assert.equal(client.frames.filter(({ type }) => type === 'message').length, 6);
  });

  test('is read by the gateway within its own small budget while no drainer is linked', async () => {
    const gateway = await world.gateway(
      { backlogThreshold: 5, backlogEntriesPerSecond: 20, windowMessagesMax: 1000 },
      { store: watched.store },
    );
    const clients: TestClient[] = [];
    for (const name of ['a', 'b', 'c', 'e']) {
      const token = await world.device(name);
      await fill(name, 20);
      clients.push(await gateway.connect({ token }));
    }
    const got = (): number => clients.reduce((n, c) => n + c.frames.filter(({ type }) => type === 'message').length, 0);
    let seconds = 0;
    for (; got() < 80 && seconds < 20; seconds++) {
      await world.pass(1000);
      // The burst, and pages of which nobody knows beforehand what they hold.
      assert.ok(got() <= 20 * (seconds + 1) + 5 + 60, `${got()} after ${seconds + 1} s`);
    }
    assert.ok(got() === 80 && seconds >= 2, `${got()} after ${seconds} s`);
  });

  test('is fed nothing that was acked elsewhere, and told when its place is another one', async () => {
    const gateway = await world.gateway({ backlogThreshold: 2 }, { store: watched.store });
    await new TestDrainer(gateway).up();
    const token = await world.device('d');
    await fill('d', 6);
    const [head] = await world.store.heads([{ app: APP, kind: 'device', device: 'd' as DeviceId, lane: 'normal' }]);
    const epoch = head!.epoch!;
    const client = await gateway.connect({ token, positions: [{ stream: '@normal', epoch, offset: 3 }] });
    const [state] = client.welcome().streams;
    assert.deepEqual([state?.offset, state?.recovered], [3, true]);
    assert.deepEqual(await gets(client, 3), [4, 5, 6]);
    assert.equal(reads(), 0);
  });
});

describe('a mass return', () => {
  test('reads at the rate of first reads, and the rest is fed however little it missed', async () => {
    const gateway = await world.gateway({ recoveryReadsPerSecond: 10, returnLateMsMax: 0 }, { store: watched.store });
    const drainer = await new TestDrainer(gateway).up();
    drainer.mode = 'hold';
    const clients: TestClient[] = [];
    for (const n of numbers(1, 30)) {
      const token = await world.device(`d${n}`);
      await world.appendTo(`d${n}`, 'missed');
      clients.push(await gateway.connect({ token }));
    }
    await until('the rest was asked for', () => drainer.asked.length === 20);
    assert.equal((await gateway.state()).backlogs, 20);
    for (const frame of drainer.asked) await drainer.feed(frame);
    for (const client of clients) assert.deepEqual(await gets(client, 1), ['missed']);
    const read = drainer.asked.length;
    await world.pass(1000);
    const token = await world.device('late');
    await world.appendTo('late', 'missed');
    assert.deepEqual(await gets(await gateway.connect({ token }), 1), ['missed']);
    assert.equal(drainer.asked.length, read);
  });
});

describe('a client that pulls', () => {
  test('is sent nothing of what it missed until it asks, at most as much as it asks for, and then goes on', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const token = await world.device('d');
    await fill('d', 5);
    const client = await gateway.connect({ token, offline: 'pull' });
    await router.toDevice('d', await world.appendTo('d', 6));
    await turns();
    assert.deepEqual(client.unread, []);
    client.send({ type: 'pull', id: 1, stream: '@normal', max: 4 });
    assert.deepEqual(await gets(client, 4), [1, 2, 3, 4]);
    assert.deepEqual(await client.next('pulled'), { type: 'pulled', id: 1, stream: '@normal', sent: 4, left: true });
    client.send({ type: 'pull', id: 2, stream: '@normal', max: 4 });
    assert.deepEqual(await gets(client, 2), [5, 6]);
    assert.deepEqual(await client.next('pulled'), { type: 'pulled', id: 2, stream: '@normal', sent: 2, left: false });
    await router.toDevice('d', await world.appendTo('d', 7));
    assert.deepEqual(await gets(client, 1), [7]);
    client.send({ type: 'pull', id: 3, stream: '@normal', max: 4 });
    assert.deepEqual(await client.next('pulled'), { type: 'pulled', id: 3, stream: '@normal', sent: 0, left: false });
  });

  test('gets what is new of streams in which it missed nothing, topics as well', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    await router.toTopic('$all', await world.publish('$all', 'a'));
    await first.next('stream');
    assert.deepEqual((await first.nextMessages(1)).length, 1);
    first.ack('$all', 1);
    first.send({ type: 'bye' });
    await first.end();
    await turns();
    await world.publish('$all', 'b');
    const client = await gateway.connect({ token, offline: 'pull' });
    await router.toDevice('d', await world.appendTo('d', 'new'));
    await client.next('stream');
    assert.deepEqual(await gets(client, 1), ['new']);
    client.send({ type: 'pull', id: 9, stream: '$all' as never, max: 10 });
    assert.deepEqual(await gets(client, 1), ['$all b']);
    assert.equal((await client.next('pulled')).left, false);
  });

  test('is refused with a time to come back when the budget is used up', async () => {
    const gateway = await world.gateway();
    const drainer = await new TestDrainer(gateway).up();
    drainer.mode = { laterMs: 1234 };
    const token = await world.device('d');
    await fill('d', 2);
    const client = await gateway.connect({ token, offline: 'pull' });
    client.send({ type: 'pull', id: 1, stream: '@normal', max: 4 });
    const { id, code, retryAfterMs } = await client.next('error');
    assert.deepEqual([id, code, retryAfterMs], [1, 'overloaded', 1234]);
    drainer.mode = 'hold';
    client.send({ type: 'pull', id: 2, stream: '@normal', max: 4 });
    client.send({ type: 'pull', id: 3, stream: '@normal', max: 4 });
    assert.deepEqual([(await client.next('error')).id, drainer.asked.length], [3, 2]);
  });

  test('is sent again what it pulled and did not ack, and no more than that', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 1000 });
    const token = await world.device('d');
    await fill('d', 5);
    const client = await gateway.connect({ token, offline: 'pull' });
    client.send({ type: 'pull', id: 1, stream: '@normal', max: 2 });
    assert.deepEqual(await gets(client, 2), [1, 2]);
    await client.next('pulled');
    await world.pass(1200);
    assert.deepEqual(await gets(client, 2), [1, 2]);
    await turns();
    assert.deepEqual(client.unread, []);
  });
});

describe('lanes that a client does not want now', () => {
  test('wait in their streams, written before or after, live ones too, until it pulls them', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const token = await world.device('d');
    await fill('d', 1, 'low');
    const client = await gateway.connect({ token, lanes: ['high'] });
    await router.toDevice('d', await world.appendTo('d', 2, 'low'), 'low');
    await router.toDevice('d', await world.appendTo('d', 'n'));
    await router.toDevice('d', { record: world.record('live').record }, 'low');
    await world.pass(40_000); // past a position check
    assert.deepEqual(client.unread, []);
    await router.toDevice('d', await world.appendTo('d', 'h', 'high'), 'high');
    assert.equal((await client.next('stream')).state.stream, '@high');
    assert.deepEqual(await gets(client, 1), ['@high h']);
    client.send({ type: 'pull', id: 1, stream: '@low', max: 10 });
    assert.deepEqual(await gets(client, 2), ['@low 1', '@low 2']);
    assert.equal((await client.next('pulled')).left, false);
    await router.toDevice('d', await world.appendTo('d', 3, 'low'), 'low');
    await turns();
    assert.deepEqual(client.unread, []);
  });

  test('are followed up once pulled: what is not acked comes again, what is given up dies and the rest goes on', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 1000 });
    const token = await world.device('d');
    await fill('d', 4, 'low');
    const client = await gateway.connect({ token, lanes: ['high'] });
    client.send({ type: 'pull', id: 1, stream: '@low', max: 3 });
    assert.deepEqual(await gets(client, 3), ['@low 1', '@low 2', '@low 3']);
    await client.next('pulled');
    await world.pass(1200);
    assert.deepEqual(await gets(client, 3), ['@low 1', '@low 2', '@low 3']);
    client.nack('@low', 1, { final: 'dead' });
    assert.deepEqual(await gets(client, 2), ['@low 2', '@low 3']);
    client.nack('@low', 2);
    assert.deepEqual(await gets(client, 2), ['@low 2', '@low 3']);
    client.ack('@low', 3);
    await turns();
    assert.deepEqual(client.unread, [], 'what was not pulled stays');
    assert.equal((await gateway.state()).unacked, 0);
    const { acked, dead } = await world.store.ledger(APP);
    assert.deepEqual([acked, dead, await world.store.countWaiting(APP)], [2, 1, 1]);
  });
});
