import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { CLOSE } from '../../protocol/codes.ts';
import type { AccountId, BootId, DeviceId, GatewayName } from '../../protocol/ids.ts';
import { RECORD_DEFAULTS, decodeRecord, encodeRecord } from '../../protocol/record.ts';
import type { Store } from '../../store/port.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import { openSqliteStore } from '../../store/sqlite/sqlite-store.ts';
import { withOperation } from '../../store/with-operation.ts';
import { aStoreThatFails } from '../failing-store.ts';
import type { FailingStore } from '../failing-store.ts';
import { APP, World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';
import { turns, until } from '../test-client.ts';

let world: World;
let failing: FailingStore;
beforeEach(() => {
  world = new World();
  failing = aStoreThatFails(world.store);
});
afterEach(() => world.end());

const device = (name: string): DeviceId => name as DeviceId;
const aGateway = (changes: Parameters<World['gateway']>[0] = {}): Promise<TestGateway> =>
  world.gateway({ leaseMs: 3000, positionCheckMs: 3_600_000, ...changes }, { store: failing.store });
const generation = async (name: string): Promise<number | undefined> =>
  (await world.store.device(APP, device(name)))?.generation;
/** The store is away, and the gateways have noticed. */
async function away(): Promise<void> {
  failing.away = true;
  await world.pass(1100);
}
/** It is back; every session has been looked at. */
async function back(): Promise<void> {
  failing.away = false;
  await world.pass(4000);
}
const bodies = async (client: TestClient, count: number): Promise<unknown[]> =>
  (await client.nextMessages(count)).map(({ body }) => body);
const messages = (client: TestClient): unknown[] =>
  client.frames.flatMap((frame) => (frame.type === 'message' ? [frame.body] : []));

describe('while the store is away a client', () => {
  test('is let in by its token without asking the store, and hears what is live', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const token = await world.device('d');
    await away();
    const asked = failing.calls.get('openSession') ?? 0;
    const client = await gateway.connect({ token });
    assert.deepEqual([client.welcome().streams, client.welcome().generation], [[], 0]);
    assert.equal(failing.calls.get('openSession') ?? 0, asked);
    await router.toTopic('$all', { record: world.record('everyone').record }, 1);
    await router.toDevice('d', { record: world.record('one').record });
    assert.deepEqual(await bodies(client, 2), ['everyone', 'one']);
    const state = await gateway.state();
    assert.deepEqual([state.store, state.provisional, state.sessions], ['away', 1, 1]);
  });

  test('is let in also when the store fails in the middle', async () => {
    const gateway = await aGateway();
    const token = await world.device('d');
    failing.away = true; // nobody has noticed yet
    await gateway.connect({ token });
    await back();
    assert.equal(await generation('d'), 1);
  });

  test('that resumes by ticket hears its topics, and durable messages that were journalled', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const first = await gateway.connect({ token: await world.device('d') });
    first.send({ type: 'subscribe', id: 1, topics: [{ topic: 'news' as never }] });
    await first.next('subscribed');
    const { epoch } = await world.publish('news', 'known');
    const { ticket } = first.welcome();
    await away();
    const positions = [
      { stream: 'news' as never, epoch, offset: 0 },
      { stream: 'secret' as never, epoch, offset: 0 },
    ];
    const client = await gateway.connect({ ticket, positions });
    assert.equal((await first.end()).code, CLOSE.superseded.code);
    await router.toTopic('news', { record: world.record('live').record }, 1);
    await router.toTopic('secret', { record: world.record('not for it').record }, 2);
    const { record } = world.record('journalled');
    const journalled = encodeRecord({ ...RECORD_DEFAULTS, ...decodeRecord(record), journalled: true });
    await router.toDevice('d', { record: journalled });
    assert.equal((await client.next('message')).body, 'live');
    const { later, offset, body } = await client.next('message');
    assert.deepEqual([later, offset, body], [true, undefined, 'journalled']);
  });

  test('is answered store-unavailable where only the store could help', async () => {
    const gateway = await aGateway();
    const token = await world.device('d');
    await away();
    const client = await gateway.connect({ token });
    client.send({ type: 'subscribe', id: 1, topics: [{ topic: 'news' as never }] });
    client.send({ type: 'pull', id: 2, stream: '@normal', max: 1 });
    for (const id of [1, 2]) {
      const error = await client.next('error');
      assert.deepEqual([error.id, error.code], [id, 'store-unavailable']);
    }
  });

  test('with a ticket that an older session of it was given is refused', async () => {
    const gateway = await aGateway();
    const token = await world.device('d');
    const { ticket } = (await gateway.connect({ token })).welcome();
    const newer = await gateway.connect({ token });
    await away();
    const client = await gateway.socket();
    client.send({ type: 'hello', version: 1, ticket });
    assert.equal((await client.end()).code, CLOSE.ticketStale.code);
    assert.equal(newer.closed, null);
  });
});

describe('once the store is back', () => {
  test('a session is told where its streams go on, is given what it missed, and lives like any other', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    const entry = await world.appendTo('d', 1);
    await router.toDevice('d', entry);
    await first.next('stream');
    await first.nextMessages(1);
    await world.appendTo('d', 2);
    await away();
    const positions = [{ stream: '@normal' as const, epoch: entry.epoch, offset: 1 }];
    const client = await gateway.connect({ ticket: first.welcome().ticket, positions });
    await router.toDevice('d', { ...(await world.appendTo('d', 3)), prev: 2 }); // a router that still has the store
    await turns();
    assert.deepEqual(client.unread, []);
    await back();
    const { ticket } = await client.next('pong');
    assert.deepEqual((await client.next('stream')).state, {
      stream: '@normal',
      epoch: entry.epoch,
      offset: 1,
      recovered: true,
    });
    assert.deepEqual(await bodies(client, 2), [2, 3]);
    await router.toDevice('d', await world.appendTo('d', 4));
    assert.deepEqual(await bodies(client, 1), [4]);
    assert.equal((await gateway.state()).provisional, 0);
    assert.equal((await world.store.device(APP, device('d')))?.route?.generation, 2);
    const elsewhere = await world.gateway();
    await elsewhere.connect({ ticket: ticket! });
    assert.equal((await client.end()).code, CLOSE.superseded.code);
  });

  test('a device that the store had never heard of is registered from its token', async () => {
    const gateway = await aGateway();
    const token = await world.device('d');
    await away();
    failing.behind = openSqliteStore({ path: ':memory:', clock: world.clock });
    const client = await gateway.connect({ token });
    await back();
    assert.equal((await failing.behind.device(APP, device('d')))?.generation, 1);
    assert.equal(client.closed, null);
    await failing.behind.close();
  });

  test('of two sessions by one ticket the first that the store hears of stays, the other ends as superseded', async () => {
    const gateways = [await aGateway(), await aGateway()];
    const { ticket } = (await gateways[0]!.connect({ token: await world.device('d') })).welcome();
    await away();
    const clients = [await gateways[0]!.connect({ ticket }), await gateways[1]!.connect({ ticket })];
    await back();
    const closed = clients.filter((client) => client.closed !== null);
    assert.deepEqual(
      closed.map((client) => client.closed?.code),
      [CLOSE.superseded.code],
    );
    assert.equal(await generation('d'), 2);
  });

  test('a session ends as superseded when a newer one reached the store before it', async () => {
    const gateway = await aGateway();
    const token = await world.device('d');
    await away();
    const client = await gateway.connect({ token });
    const elsewhere = await world.gateway(); // its way to the store is open
    await world.pass(100);
    const newer = await elsewhere.connect({ token });
    await back();
    assert.equal((await client.end()).code, CLOSE.superseded.code);
    assert.equal(newer.closed, null);
  });

  test('a session takes over from an older one elsewhere', async () => {
    const [here, there] = [await aGateway(), await world.gateway()];
    const token = await world.device('d');
    const older = await there.connect({ token });
    await away();
    const client = await here.connect({ token });
    await back();
    assert.equal((await older.end()).code, CLOSE.replaced.code);
    assert.equal(client.closed, null);
  });

  test('an opening whose answer was lost is known as one’s own', async () => {
    let lose = true;
    const openSession: Store['openSession'] = async (request) => {
      const outcome = await world.store.openSession(request);
      if (lose && request.expectGeneration !== null) throw new StoreUnavailableError('the answer is lost');
      return outcome;
    };
    const store = withOperation(world.store, { openSession });
    const gateway = await world.gateway({}, { store });
    const { ticket } = (await gateway.connect({ token: await world.device('d') })).welcome();
    const client = await gateway.connect({ ticket });
    assert.equal((await gateway.state()).provisional, 1);
    lose = false;
    await world.pass(4000);
    assert.deepEqual([client.closed, (await gateway.state()).provisional], [null, 0]);
    assert.equal((await world.store.device(APP, device('d')))?.route?.generation, 3);
  });

  test('a revoked device goes', async () => {
    const gateway = await aGateway();
    const token = await world.device('d');
    await away();
    const client = await gateway.connect({ token });
    await world.pass(1000);
    await world.store.closeDevice(APP, device('d'));
    await back();
    assert.equal((await client.end()).code, CLOSE.revoked.code);
  });

  test('who left meanwhile leaves nothing behind', async () => {
    const gateway = await aGateway();
    const token = await world.device('d');
    await away();
    const client = await gateway.connect({ token });
    client.send({ type: 'bye' });
    await client.end();
    await back();
    const state = await gateway.state();
    assert.deepEqual([state.provisional, state.sessions, await generation('d')], [0, 0, 0]);
  });

  test('sessions are opened at the rate at which sessions are taken', async () => {
    const gateway = await aGateway({ acceptsPerSecond: 50, returnLateMsMax: 0 });
    const tokens = await Promise.all(Array.from({ length: 100 }, (_, i) => world.device(`d${i}`)));
    await away();
    const connecting = tokens.map((token) => gateway.connect({ token }));
    await world.pass(3000);
    await Promise.all(connecting);
    const asked = failing.calls.get('openSession') ?? 0;
    failing.away = false;
    let last = 0;
    for (let seconds = 1; seconds <= 5; seconds++) {
      await world.pass(1000);
      const opened = (failing.calls.get('openSession') ?? 0) - asked;
      assert.ok(opened - last <= 56, `${opened - last} in second ${seconds}`);
      last = opened;
    }
    assert.deepEqual([last, (await gateway.state()).provisional], [100, 0]);
  });

  test('routes that were swept meanwhile are there again within seconds', async () => {
    const gateway = await aGateway();
    const client = await gateway.connect({ token: await world.device('d') });
    await away();
    await world.pass(3000);
    assert.equal(await world.store.sweepRoutes(100), 1);
    failing.away = false;
    await world.pass(1500);
    const route = (await world.store.device(APP, device('d')))?.route;
    assert.deepEqual([route?.gateway, client.closed], ['gateway-0', null]);
    await client.next('pong');
  });

  test('nothing is lost and nothing comes twice under one position, whatever the store does meanwhile', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const token = await world.device('d');
    await away();
    const client = await gateway.connect({ token });
    for (let round = 0; round < 4; round++) {
      failing.away = false;
      await world.pass(700 + 300 * round);
      failing.away = true;
      await router.toDevice('d', await world.appendTo('d', round));
      await world.pass(900);
    }
    await back();
    await until('all came', () => messages(client).length >= 4);
    await turns();
    assert.deepEqual(messages(client), [0, 1, 2, 3]);
  });
});

test('another device’s route is never taken for one’s own', async () => {
  const gateway = await aGateway();
  const { ticket } = (await gateway.connect({ token: await world.device('d') })).welcome();
  await away();
  const client = await gateway.connect({ ticket });
  await world.store.openSession({
    app: APP,
    account: 'ann' as AccountId,
    device: device('d'),
    expectGeneration: null,
    permittedAtMs: world.clock.nowMs(),
    gateway: 'gateway-9' as GatewayName,
    bootId: 'other' as BootId,
  });
  await back();
  assert.equal((await client.end()).code, CLOSE.superseded.code);
});
