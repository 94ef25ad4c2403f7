import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { CLOSE } from '../protocol/codes.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { AccountId, AppId, BootId, DeviceId, GatewayName, TopicName } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import { METRIC } from '../protocol/metrics-names.ts';
import { aStoreThatFails } from './failing-store.ts';
import { APP, World } from './fixtures.ts';
import { TOPIC_WORK_MAX } from './connect/topic-work.ts';
import { turns, until } from './test-client.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

describe('the heartbeat', () => {
  test('closes with 4001 who was silent for the intervals allowed, not a moment before', async () => {
    const gateway = await world.gateway({ heartbeatIntervalMs: 1000, heartbeatsMissedMax: 3 });
    const client = await gateway.connect({ token: await world.device('d') });
    await world.pass(2900);
    assert.equal(client.closed, null);
    await world.pass(200);
    assert.equal((await client.end()).code, CLOSE.silent.code);
    assert.equal((await gateway.state()).sessions, 0);
  });
  test('counts any frame, protocol pings as well', async () => {
    const gateway = await world.gateway({ heartbeatIntervalMs: 1000, heartbeatsMissedMax: 2 });
    const clients = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => gateway.connect({ token: await world.device(name) })),
    );
    for (let i = 0; i < 5; i++) {
      await world.pass(1500);
      clients[0]!.send({ type: 'ping' });
      clients[1]!.send({ type: 'ack', positions: [] });
      clients[2]!.socket.ping();
      await turns();
    }
    assert.ok(clients.every(({ closed }) => closed === null));
  });
});

describe('the lease', () => {
  test('is confirmed before clients are taken', async () => {
    const failing = aStoreThatFails(world.store);
    failing.away = true;
    const gateway = await world.gateway({ leaseMs: 3000 }, { store: failing.store });
    assert.equal((await gateway.state()).state, 'starting');
    assert.equal((await gateway.admin('GET', '/readyz')).status, 503);
    await assert.rejects(gateway.socket(), /503/);
    failing.away = false;
    await world.pass(1100);
    assert.equal((await gateway.admin('GET', '/readyz')).status, 200);
    await gateway.connect({ token: await world.device('d') });
  });

  test('tells the number of connections and where the links are', async () => {
    const gateway = await world.gateway({ leaseMs: 3000 });
    await gateway.connect({ token: await world.device('d') });
    await world.pass(1100);
    const [lease] = await world.store.leases();
    assert.deepEqual([lease?.connections, lease?.linkAddress], [1, `127.0.0.1:${gateway.role.ports['link']}`]);
  });

  test('void ends this life: clients go, and the liveness probe fails', async () => {
    const gateway = await world.gateway({ leaseMs: 3000 });
    const client = await gateway.connect({ token: await world.device('d') });
    const { name } = await gateway.state();
    const newer = { gateway: name, bootId: 'newer' as BootId, linkAddress: 'x:1', connections: 0 };
    await world.store.renewLease({ ...newer, startedAtMs: world.clock.nowMs() + 1 }, 60_000);
    await world.pass(1100);
    assert.equal((await client.end()).code, CLOSE.stopping.code);
    assert.equal((await gateway.admin('GET', '/healthz')).status, 503);
    await assert.rejects(gateway.socket(), /503/);
  });

  test('that had run out has the routes confirmed anew, and the client gets the ticket that goes with it', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({ leaseMs: 900, positionCheckMs: 1000 }, { store: failing.store });
    const client = await gateway.connect({ token: await world.device('d') });
    failing.away = true;
    await world.pass(3000);
    assert.equal(await world.store.sweepRoutes(100), 1, 'somebody swept the route of a life without lease');
    failing.away = false;
    await world.pass(4000);
    const pong = await client.next('pong');
    const info = await world.store.device(APP, 'd' as DeviceId);
    assert.equal(info?.route?.gateway, 'gateway-0');
    const again = await gateway.connect({ ticket: pong.ticket! });
    assert.equal(again.closed, null);
  });
});

describe('the route check', () => {
  test('closes with 4500 an older session whose replacement nobody told this gateway of', async () => {
    const gateway = await world.gateway({ positionCheckMs: 1000 });
    const client = await gateway.connect({ token: await world.device('d') });
    await world.store.openSession({
      app: APP,
      account: 'ann' as AccountId,
      device: 'd' as DeviceId,
      expectGeneration: null,
      permittedAtMs: world.clock.nowMs(),
      gateway: 'gateway-9' as GatewayName,
      bootId: 'gone' as BootId,
    });
    await world.pass(3000);
    assert.equal((await client.end()).code, CLOSE.replaced.code);
    assert.equal((await world.store.device(APP, 'd' as DeviceId))?.route?.gateway, 'gateway-9');
  });
  test('takes the generation that an opening of its own raised when its answer was lost, and closes nobody', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({ positionCheckMs: 1000, leaseMs: 900 }, { store: failing.store });
    const client = await gateway.connect({ token: await world.device('d') });
    const { generation } = client.welcome();
    failing.away = true;
    await world.pass(3000);
    assert.equal(await world.store.sweepRoutes(100), 1);
    failing.lost.add('openSession'); // the route is opened again, and nobody hears that it was
    failing.away = false;
    await world.pass(1500);
    failing.lost.clear();
    await world.pass(3000);
    const pong = await client.next('pong');
    assert.equal(client.closed, null, 'the client that was there all the time is not told that another one is newer');
    const info = await world.store.device(APP, 'd' as DeviceId);
    assert.ok((info?.generation ?? 0) > generation);
    assert.equal((await gateway.connect({ ticket: pong.ticket! })).closed, null, 'its ticket is the present one');
  });
  test('closes with 4007 a session that the store no longer knows, which then comes back by its token', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({ positionCheckMs: 1000, leaseMs: 3000 }, { store: failing.store });
    const token = await world.device('d');
    const client = await gateway.connect({ token });
    const emptied = openSqliteStore({ path: ':memory:', clock: world.clock });
    failing.behind = emptied;
    await world.pass(3000);
    assert.equal((await client.end()).code, CLOSE.internal.code);
    const again = await gateway.connect({ token });
    assert.equal(again.welcome().generation, 1);
    failing.behind = world.store;
    await emptied.close();
  });
});

describe('a device that another account took over', () => {
  for (const had of [false, true])
    test(`hands nothing of it to the session of the account before, ${had ? 'which had messages' : 'which had none'}`, async () => {
      const gateway = await world.gateway();
      const router = await gateway.router();
      const ann = await gateway.connect({ token: await world.device('d', { account: 'ann' }) });
      if (had) await router.toDevice('d', await world.appendTo('d', 'for ann'));
      if (had) {
        await ann.next('stream');
        await ann.nextMessages(1);
        ann.ack('@normal', 1);
        await turns();
      }
      await world.device('d', { account: 'bob' }); // registered, not yet connected; routers still know the route
      await router.toDevice('d', await world.appendTo('d', 'for bob'));
      await world.pass(100);
      const end = await ann.end();
      assert.equal(end.code, CLOSE.internal.code);
      assert.ok(!JSON.stringify(ann.frames).includes('for bob'));
    });
});

describe('a device that another account had for a while', () => {
  test('is handed nothing of its first stream by a hint that comes late, though the account is the same again', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const before = await gateway.connect({ token: await world.device('d', { account: 'ann' }) });
    const first = await world.appendTo('d', 'of before');
    await world.device('d', { account: 'bob' });
    before.socket.terminate();
    const ann = await gateway.connect({ token: await world.device('d', { account: 'ann' }) });
    await router.toDevice('d', first);
    await world.pass(100);
    await router.toDevice('d', await world.appendTo('d', 'of now'));
    await world.pass(100);
    assert.ok(!JSON.stringify(ann.frames).includes('of before'));
    assert.ok(JSON.stringify(ann.frames).includes('of now'));
  });
});

describe('topics of one session', () => {
  const topics = (from: number, count: number): { topic: TopicName }[] =>
    Array.from({ length: count }, (_, i) => ({ topic: `t${from + i}` as TopicName }));

  test('are taken up to the limit, and refused past it', async () => {
    const gateway = await world.gateway();
    const client = await gateway.connect({ token: await world.device('d', { topics: ['t*'] }) });
    const frames = LIMITS.subscriptionsMax / LIMITS.positionsPerFrameMax;
    for (let i = 0; i < frames; i++) {
      client.send({
        type: 'subscribe',
        id: i,
        topics: topics(i * LIMITS.positionsPerFrameMax, LIMITS.positionsPerFrameMax),
      });
      assert.equal((await client.next('subscribed')).refused, undefined);
    }
    client.send({ type: 'subscribe', id: 99, topics: topics(9000, 1) });
    assert.deepEqual((await client.next('subscribed')).refused, [{ topic: 't9000', code: 'rate-limited' }]);
  });

  test('change in the order they were asked, and no more wait than the limit', async () => {
    const gateway = await world.gateway();
    const client = await gateway.connect({ token: await world.device('d') });
    for (let i = 0; i <= TOPIC_WORK_MAX; i++)
      client.send(
        i % 2 === 0
          ? { type: 'subscribe', id: i, topics: [{ topic: 'news' as TopicName }] }
          : { type: 'unsubscribe', id: i, topics: ['news' as TopicName] },
      );
    await until('all were answered', () => client.unread.length === TOPIC_WORK_MAX + 1);
    const answers = client.unread.map((frame) => ('id' in frame ? [frame.type, frame.id] : []));
    assert.deepEqual(answers[0], ['error', TOPIC_WORK_MAX]);
    assert.deepEqual(
      answers.slice(1),
      Array.from({ length: TOPIC_WORK_MAX }, (_, i) => [i % 2 === 0 ? 'subscribed' : 'unsubscribed', i]),
    );
  });
});

describe('the admin port', () => {
  test('shows the metrics that others depend on', async () => {
    const gateway = await world.gateway({ connectionsMax: 77 });
    await gateway.connect({ token: await world.device('d') });
    const text = await (await gateway.admin('GET', '/metrics', undefined, 'none')).text();
    const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
    assert.deepEqual(
      [METRIC.connections, METRIC.sessions, METRIC.unacked, METRIC.draining, METRIC.capacity].map(value),
      [1, 1, 0, 0, 77],
    );
    assert.match(text, /pushcluster_gateway_sessions_opened_total\{by="token"\} 1/);
  });
  test('asks for the bearer secret on /v1 only', async () => {
    const gateway = await world.gateway();
    for (const [method, path] of [
      ['GET', '/v1/state'],
      ['PUT', '/v1/drain'],
      ['DELETE', '/v1/drain'],
      ['PUT', '/v1/routing'],
    ] as const)
      assert.equal((await gateway.admin(method, path, undefined, 'wrong')).status, 401, path);
    for (const path of ['/healthz', '/readyz', '/metrics'])
      assert.equal((await gateway.admin('GET', path, undefined, 'wrong')).status, 200, path);
  });
  test('takes the routing document, whose addresses the next welcome carries', async () => {
    const gateway = await world.gateway();
    const row = { addresses: { ws: 'ws://here/' }, weight: 1, state: 'active', capacity: 1, since: 'now' };
    const document = { version: 1, revision: 'r9', cluster: 'demo', strategy: 'round-robin' };
    const gateways = [{ ...row, name: 'gateway-0' }];
    assert.equal((await gateway.admin('PUT', '/v1/routing', { ...document, gateways })).status, 204);
    assert.equal((await gateway.state()).routingRevision, 'r9');
    const client = await gateway.connect({ token: await world.device('d') });
    assert.deepEqual(client.welcome().targets, ['ws://here/']);
    assert.equal((await gateway.admin('PUT', '/v1/routing', { ...document, gateways: 1 })).status, 400);
  });
});

test('two lives do not share anything: acks of a replaced session are ignored', async () => {
  const [first, second] = [await world.gateway(), await world.gateway()];
  const token = await world.device('d');
  await world.appendTo('d', 1);
  const old = await first.connect({ token });
  await old.next('message');
  const fresh = await second.connect({ token });
  await fresh.next('message');
  old.ack('@normal', 1);
  await until('the old one was closed', () => old.closed !== null);
  await turns();
  const third = await second.connect({ token });
  assert.equal(third.welcome().streams.find(({ stream }) => stream === '@normal')?.offset, 0);
  assert.equal((await world.store.device('shop' as AppId, 'd' as DeviceId))?.generation, 3);
});
