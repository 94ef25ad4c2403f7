import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { DrainRequest } from '../../protocol/admin.ts';
import { CLOSE } from '../../protocol/codes.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import { turns, until } from '../test-client.ts';
import type { TestClient } from '../test-client.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

function aDrain(changes: Partial<DrainRequest> = {}): DrainRequest {
  const targets = ['ws://a/', 'ws://b/'];
  return { generation: 'g1', reason: 'drain', rate: 20, deadlineMs: world.clock.nowMs() + 60_000, targets, ...changes };
}
async function manyClients(gateway: TestGateway, count: number): Promise<TestClient[]> {
  const names = Array.from({ length: count }, (_, i) => `d${i}`);
  return Promise.all(names.map(async (name) => gateway.connect({ token: await world.device(name) })));
}
const asked = (clients: readonly TestClient[]): number =>
  clients.filter(({ frames }) => frames.some(({ type }) => type === 'goaway')).length;

describe('a drain', () => {
  test('asks clients at its rate, with ticket and targets in turn', async () => {
    const gateway = await world.gateway();
    const clients = await manyClients(gateway, 10);
    assert.equal((await gateway.admin('PUT', '/v1/drain', aDrain())).status, 200);
    await turns();
    assert.equal(asked(clients), 1, 'the first one goes at once');
    await world.pass(200);
    await turns();
    assert.ok(asked(clients) >= 4 && asked(clients) <= 6, `${asked(clients)} asked`);
    const { drain, state } = await gateway.state();
    assert.equal(state, 'draining');
    assert.equal(drain?.left, 10);
    assert.equal(drain?.asked, asked(clients));
    assert.ok(drain !== null && drain.etaMs !== null && drain.etaMs > 0);
    await world.pass(500);
    await turns();
    assert.equal(asked(clients), 10);
    const goaways = clients.map(({ frames }) => frames.find((frame) => frame.type === 'goaway')!);
    const firsts = goaways.map(({ targets }) => targets[0]);
    assert.deepEqual([firsts.filter((each) => each === 'ws://a/').length, new Set(firsts).size], [5, 2]);
    assert.ok(goaways.every(({ reason, deadlineMs, ticket }) => reason === 'drain' && deadlineMs > 0 && ticket !== ''));
  });

  test('changes nothing when it is put again, new values when they differ, and ends when it is deleted', async () => {
    const gateway = await world.gateway();
    const clients = await manyClients(gateway, 4);
    const order = aDrain({ rate: 1 });
    await gateway.admin('PUT', '/v1/drain', order);
    await gateway.admin('PUT', '/v1/drain', order);
    await turns();
    assert.equal(asked(clients), 1);
    const first = (await gateway.state()).drain;
    await gateway.admin('PUT', '/v1/drain', { ...order, rate: 100 });
    const second = (await gateway.state()).drain;
    assert.deepEqual([second?.startedAtMs, second?.asked, second?.ratePerSecond], [first?.startedAtMs, 1, 100]);
    assert.equal((await gateway.admin('GET', '/readyz')).status, 503);
    await gateway.admin('DELETE', '/v1/drain');
    await world.pass(500);
    const { state, drain } = await gateway.state();
    assert.deepEqual([state, drain, asked(clients)], ['active', null, 1]);
    assert.equal((await gateway.admin('GET', '/readyz')).status, 200);
  });

  test('takes no new clients while it runs', async () => {
    const gateway = await world.gateway();
    await gateway.admin('PUT', '/v1/drain', aDrain());
    await assert.rejects(gateway.socket(), /503/);
    assert.equal((await gateway.state()).state, 'drained');
  });

  test('closes at the deadline who ignored it, and is drained then', async () => {
    const gateway = await world.gateway();
    const clients = await manyClients(gateway, 3);
    await gateway.admin('PUT', '/v1/drain', aDrain({ rate: 100, deadlineMs: world.clock.nowMs() + 1000 }));
    await world.pass(900);
    assert.ok(clients.every(({ closed }) => closed === null));
    await world.pass(150);
    for (const client of clients) assert.equal((await client.end()).code, CLOSE.goaway.code);
    await turns();
    assert.equal((await gateway.state()).state, 'drained');
  });

  test('for a rebalance asks only so many, and goes on taking clients', async () => {
    const gateway = await world.gateway();
    const clients = await manyClients(gateway, 5);
    await gateway.admin('PUT', '/v1/drain', aDrain({ reason: 'rebalance', count: 2, rate: 100 }));
    await world.pass(1000);
    await turns();
    assert.equal(asked(clients), 2);
    assert.equal((await gateway.state()).state, 'active');
    await gateway.connect({ token: await world.device('new') });
  });

  test('stores what clients acked before it sends them away', async () => {
    const watched = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: watched.store });
    const router = await gateway.router();
    const [client] = await manyClients(gateway, 1);
    await router.toTopic('$all', await world.publish('$all', 1));
    await client!.next('stream');
    await client!.next('message');
    client!.ack('$all', 1);
    await turns();
    assert.equal(watched.calls.get('saveCursors') ?? 0, 0);
    await gateway.admin('PUT', '/v1/drain', aDrain());
    await client!.next('goaway');
    assert.equal(watched.calls.get('saveCursors'), 1);
  });

  test('moves a client with its ticket to another gateway, where it goes on', async () => {
    const [first, second] = [await world.gateway(), await world.gateway()];
    const [client] = await manyClients(first, 1);
    await first.admin('PUT', '/v1/drain', aDrain());
    const { ticket } = await client!.next('goaway');
    const moved = await second.connect({ ticket });
    await until('the old connection was closed', () => client!.closed !== null);
    assert.equal(client!.closed?.code, CLOSE.superseded.code);
    assert.deepEqual([(await first.state()).state, (await second.state()).resumed], ['drained', 1]);
    assert.equal(moved.closed, null);
  });

  const bad: readonly [field: string, change: object][] = [
    ['generation', { generation: '' }],
    ['reason', { reason: 'bored' }],
    ['rate', { rate: 0 }],
    ['deadlineMs', { deadlineMs: 'soon' }],
    ['targets', { targets: [1] }],
    ['count', { count: -1 }],
  ];
  for (const [field, change] of bad)
    test(`with a wrong ${field} is refused by name`, async () => {
      const gateway = await world.gateway();
      const response = await gateway.admin('PUT', '/v1/drain', { ...aDrain(), ...change });
      const { error } = (await response.json()) as { error: { field: string } };
      assert.deepEqual([response.status, error.field], [400, field]);
    });
});

describe('the graceful stop', () => {
  test('without clients is over at once, and drops the lease', async () => {
    const gateway = await world.gateway();
    assert.equal((await world.store.leases()).length, 1);
    await gateway.role.stop();
    assert.equal((await world.store.leases()).length, 0);
  });

  test('asks everyone to leave in time, closes the rest with 4008, and the store has what they acked', async () => {
    const gateway = await world.gateway({ stopGraceMs: 2000, stopRatePerSecond: 1 });
    const router = await gateway.router();
    const clients = await manyClients(gateway, 30);
    await router.toTopic('$all', await world.publish('$all', 1));
    for (const client of clients) {
      await client.next('stream');
      await client.next('message');
      client.ack('$all', 1);
    }
    let stopped = false;
    const stopping = gateway.role.stop().then(() => {
      stopped = true;
    });
    assert.equal((await gateway.admin('GET', '/readyz')).status, 503);
    await world.pass(1500);
    await turns();
    assert.equal(asked(clients), 30, 'the rate follows from the grace');
    assert.equal(stopped, false);
    await world.pass(3000);
    for (const client of clients) assert.equal((await client.end()).code, CLOSE.stopping.code);
    await stopping;
    const next = await world.gateway();
    const again = await next.connect({ token: await world.device('d7') });
    assert.equal(again.welcome().streams.find(({ stream }) => stream === '$all')?.offset, 1);
  });

  test('in the middle of a drain does not put off its deadline', async () => {
    const gateway = await world.gateway({ stopGraceMs: 60_000 });
    const clients = await manyClients(gateway, 3);
    await gateway.admin('PUT', '/v1/drain', aDrain({ rate: 100, deadlineMs: world.clock.nowMs() + 1000 }));
    await world.pass(500);
    const stopping = gateway.role.stop();
    await world.pass(550);
    for (const client of clients) assert.equal((await client.end()).code, CLOSE.stopping.code);
    await world.pass(1100);
    await stopping;
  });

  test('with no grace closes everyone at once', async () => {
    const gateway = await world.gateway({ stopGraceMs: 0 });
    const [client] = await manyClients(gateway, 1);
    const stopping = gateway.role.stop();
    assert.equal((await client!.end()).code, CLOSE.stopping.code);
    await world.pass(1100);
    await stopping;
  });
});
