// Two connections of one device at one gateway, of which the second gives up while its session is being opened: the store has raised the
// generation for nobody. The one that is there has the route, and it is not left to the position check to find that out.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { CLOSE } from '../../protocol/codes.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import type { DeviceInfo } from '../../store/port.ts';
import { aStoreThatFails, holdAnswer } from '../failing-store.ts';
import type { FailingStore, HeldAnswer } from '../failing-store.ts';
import { APP, World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import { until } from '../test-client.ts';
import type { TestClient } from '../test-client.ts';

let world: World;
let failing: FailingStore;
let gateway: TestGateway;
beforeEach(async () => {
  world = new World();
  failing = aStoreThatFails(world.store);
  gateway = await world.gateway({ positionCheckMs: 3_600_000 }, { store: failing.store });
});
afterEach(() => world.end());

const LANE = { app: APP, kind: 'device', device: 'd' as DeviceId, lane: 'normal' } as const;
const info = async (): Promise<DeviceInfo> => (await world.store.device(APP, 'd' as DeviceId))!;
/** A connection whose session the store has opened, and whose gateway has not heard of it. */
async function opening(token: string): Promise<{ client: TestClient; held: HeldAnswer }> {
  const held = holdAnswer(failing, 'openSession');
  const client = await gateway.socket();
  client.send({ type: 'hello', version: 1, token });
  await held.done;
  return { client, held };
}
/** It goes, and then the gateway hears of its session. */
async function giveUp({ client, held }: { client: TestClient; held: HeldAnswer }): Promise<void> {
  client.socket.terminate();
  await client.end();
  await world.turns(3);
  held.release();
  await world.turns(3);
}
/** It hears of what comes, its acks count, and its ticket is the present one. */
async function assertHasRoute(client: TestClient): Promise<void> {
  const { generation, route } = await info();
  assert.equal(route?.generation, generation, 'the route is there');
  const router = await gateway.router();
  assert.equal((await router.toDevice('d', await world.appendTo('d', 'hello'))).outcome, 'taken');
  const isThere = (): boolean => client.frames.some((frame) => frame.type === 'message' && frame.body === 'hello');
  await until('the message is there', isThere);
  client.ack('@normal', (await world.store.heads([LANE]))[0]!.head);
  await world.turns(3);
  const { accepted, acked } = await world.store.ledger(APP);
  assert.equal(acked, accepted);
  assert.equal(client.closed, null);
}

describe('a second connection of a device that gives up while it is opened', () => {
  test('leaves the session that was there as it is, with the generation that it raised', async () => {
    const token = await world.device('d');
    await world.appendTo('d', 'before');
    const first = await gateway.connect({ token });
    await first.next('message');
    const second = await opening(token);
    first.ack('@normal', 1); // of a generation that is not the present one
    await giveUp(second);
    const { ticket } = await first.next('pong');
    assert.equal((await world.store.ledger(APP)).acked, 1, 'it counts now');
    await assertHasRoute(first);
    first.socket.terminate();
    await first.end();
    await world.turns(3);
    assert.equal((await info()).route, null);
    assert.equal((await gateway.connect({ ticket: ticket! })).closed, null);
  });

  for (const order of ['before', 'after'] as const)
    test(`${order} the first one stands: the first one has the route`, async () => {
      const token = await world.device('d');
      const first = await opening(token);
      const second = await opening(token);
      if (order === 'before') await giveUp(second);
      first.held.release();
      await first.client.next('welcome');
      if (order === 'after') await giveUp(second);
      await world.turns(3);
      await assertHasRoute(first.client);
    });

  test('and so did the first one: the route goes', async () => {
    const token = await world.device('d');
    const [first, second] = [await opening(token), await opening(token)];
    await giveUp(second);
    assert.notEqual((await info()).route, null, 'the first one may come to stand');
    await giveUp(first);
    assert.equal((await info()).route, null);
  });

  test('while a third one is opened: the third one has it', async () => {
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    const second = await opening(token);
    const third = await opening(token);
    await giveUp(second);
    assert.equal(first.closed, null);
    third.held.release();
    await third.client.next('welcome');
    assert.equal((await first.end()).code, CLOSE.replaced.code);
    await assertHasRoute(third.client);
  });

  test('of another account: the session of the account before ends, and the route goes', async () => {
    const first = await gateway.connect({ token: await world.device('d') });
    await giveUp(await opening(await world.device('d', { account: 'bob' })));
    assert.equal((await first.end()).code, CLOSE.replaced.code);
    await world.turns(3);
    assert.deepEqual([(await info()).account, (await info()).route], ['bob', null]);
  });

  test('while the store goes away: the session that was there stays, and is confirmed when it is back', async () => {
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    const second = await opening(token);
    failing.away = true;
    await giveUp(second);
    assert.equal(first.closed, null);
    failing.away = false;
    await world.pass(4000);
    await assertHasRoute(first);
  });
});
