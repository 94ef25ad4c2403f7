// A hint may be taken before the answer of the store that made this gateway the place for it: the message is not left to the position check.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { DeviceId, Epoch } from '../../protocol/ids.ts';
import { aStoreThatFails, holdAnswer, interceptNext } from '../failing-store.ts';
import type { FailingStore } from '../failing-store.ts';
import { APP, World } from '../fixtures.ts';
import type { Entry, TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';
import { turns, until } from '../test-client.ts';
import type { Connection } from './connection.ts';
import { AppHere } from './directory.ts';

let world: World;
let failing: FailingStore;
beforeEach(() => {
  world = new World();
  failing = aStoreThatFails(world.store);
});
afterEach(() => world.end());

const aGateway = (): Promise<TestGateway> => world.gateway({ positionCheckMs: 3_600_000 }, { store: failing.store });
/** All bodies that it was given, once there are so many. */
async function bodies(client: TestClient, count: number): Promise<unknown[]> {
  const given = (): unknown[] => client.frames.flatMap((frame) => (frame.type === 'message' ? [frame.body] : []));
  await until(`${count} messages are there`, () => given().length >= count);
  await turns();
  return given();
}

describe('a hint that is taken before the answer of the store', () => {
  /** A device that has had one message, and its place. */
  async function aDevice(): Promise<{ token: string; first: Entry }> {
    const token = await world.device('d');
    return { token, first: await world.appendTo('d', 'first') };
  }
  const hello = (token: string, first: Entry): Parameters<TestClient['send']>[0] => {
    const positions = [{ stream: '@normal' as const, epoch: first.epoch, offset: first.offset }];
    return { type: 'hello', version: 1, token, positions };
  };

  test('brings the message as soon as the session lives', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const { token, first } = await aDevice();
    const held = holdAnswer(failing, 'openSession');
    const client = await gateway.socket();
    client.send(hello(token, first));
    await held.done;
    const answer = await router.toDevice('d', await world.appendTo('d', 'second'));
    assert.equal(answer.outcome, 'taken');
    held.release();
    assert.deepEqual(await bodies(client, 1), ['second']);
  });

  test('also the first one of a lane, and one of many at once', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const { token, first } = await aDevice();
    const held = holdAnswer(failing, 'openSession');
    const client = await gateway.socket();
    client.send(hello(token, first));
    await held.done;
    const { record, ...place } = await world.appendTo('d', 'second', 'high');
    const answer = await router.toMany([{ device: 'd' as never, ...place }], record, 'high');
    assert.deepEqual(answer.notHere, []);
    held.release();
    assert.deepEqual(await bodies(client, 1), ['second']);
  });

  test('while the session is there and its places are not', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const token = await world.device('new');
    const held = holdAnswer(failing, 'subscribe'); // $all, at a device's first session
    const client = await gateway.socket();
    client.send({ type: 'hello', version: 1, token });
    await held.done;
    assert.equal((await router.toDevice('new', await world.appendTo('new', 'first'))).outcome, 'taken');
    assert.equal((await router.toDevice('new', { record: world.record('live').record })).outcome, 'not-here');
    assert.deepEqual(client.frames, []);
    held.release();
    assert.deepEqual(await bodies(client, 1), ['first']);
  });

  test('while an older session of the device is still at the same gateway', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const { token, first } = await aDevice();
    const older = await gateway.connect({ token });
    await bodies(older, 1);
    const held = holdAnswer(failing, 'openSession');
    const client = await gateway.socket();
    client.send(hello(token, first));
    await held.done;
    await router.toDevice('d', await world.appendTo('d', 'second'));
    held.release();
    assert.deepEqual(await bodies(client, 1), ['second']);
  });

  test('and a session that was let in without the store', async () => {
    const gateway = await aGateway();
    const router = await gateway.router();
    const { token, first } = await aDevice();
    failing.away = true;
    await world.pass(1100);
    const client = await gateway.socket();
    client.send(hello(token, first));
    await client.next('welcome');
    failing.away = false;
    const held = holdAnswer(failing, 'openSession');
    const storeIsBack = world.pass(4000);
    await held.done;
    await router.toDevice('d', await world.appendTo('d', 'second'));
    held.release();
    assert.deepEqual(await bodies(client, 1), ['second']);
    await storeIsBack;
  });
});

test('a device is being opened until the last of its attempts has ended', () => {
  const here = new AppHere(APP);
  const [device, one, another] = ['d' as DeviceId, {} as Connection, {} as Connection];
  here.beginOpening(device, one);
  here.opening.get(device)!.hear('high', 'e' as Epoch, 2);
  here.beginOpening(device, another);
  here.endOpening(device, another);
  here.endOpening(device, another);
  const heard = (): unknown => [...(here.opening.get(device)?.heard() ?? [])];
  assert.deepEqual(heard(), [['high', { epoch: 'e', head: 2 }]]);
  here.opening.get(device)!.hear('high', 'e' as Epoch, 1);
  assert.deepEqual(heard(), [['high', { epoch: 'e', head: 2 }]]);
  here.endOpening(device, one);
  assert.deepEqual([...here.opening.keys()], []);
});

describe('once the store is back, what came without a hint is there long before the next position check', () => {
  test('of a device and of a topic', async () => {
    const gateway = await aGateway();
    const client = await gateway.connect({ token: await world.device('d') });
    client.send({ type: 'subscribe', id: 1, topics: [{ topic: 'news' as never }] });
    await client.next('subscribed');
    failing.away = true;
    await world.pass(2500);
    // The router has the store already, and sees no lease of this gateway: the device counts as offline.
    await world.appendTo('d', 'to the device');
    await world.publish('news', 'to the topic');
    failing.away = false;
    await world.pass(4000);
    assert.deepEqual(new Set(await bodies(client, 2)), new Set(['to the device', 'to the topic']));
  });

  test('of a device whose route was swept, also what came before it was opened again', async () => {
    const gateway = await aGateway();
    const client = await gateway.connect({ token: await world.device('d') });
    const { generation } = client.welcome();
    failing.away = true;
    await world.pass(2500);
    const route = (await world.store.device(APP, 'd' as DeviceId))!.route!;
    await world.store.closeSessions([{ app: APP, device: 'd' as DeviceId, generation, bootId: route.bootId }]);
    interceptNext(failing, 'openSession', async (ask) => {
      await world.appendTo('d', 'before');
      return await ask();
    });
    failing.away = false;
    await world.pass(4000);
    assert.deepEqual(await bodies(client, 1), ['before']);
    assert.equal((await world.store.device(APP, 'd' as DeviceId))?.route?.generation, generation + 1);
  });
});
