import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { DeviceId } from '../../protocol/ids.ts';
import type { Settle } from '../../store/port.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { APP, World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';
import { withOperation } from '../../store/with-operation.ts';
import { SETTLE_ENTRIES_MAX } from './settle-queue.ts';

const FLUSH_MS = 1000;
let world: World;
let settled: Settle[];
let gateway: TestGateway;

/** A gateway without any budget for acks, but for the first. */
beforeEach(async () => {
  world = new World();
  settled = [];
  const { store } = world;
  const watched = withOperation(store, {
    settle(settles) {
      settled.push(...settles);
      return store.settle(settles);
    },
  });
  const settings = { settlesPerSecond: 0, cursorFlushMs: FLUSH_MS, stopGraceMs: 2000 };
  gateway = await world.gateway(settings, { store: watched });
  const client = await aClient('first', 1);
  client.ack('@normal', 1);
  await world.turns(5);
  assert.deepEqual(told(), [['first', 1]]);
});
afterEach(() => world.end());

async function aClient(name: string, messages: number): Promise<TestClient> {
  const token = await world.device(name);
  for (let i = 0; i < messages; i++) await world.appendTo(name, i);
  const client = await gateway.connect({ token });
  await client.nextMessages(messages);
  return client;
}
function told(): [string, number][] {
  return settled.splice(0).map(({ device, offset }) => [device, offset]);
}

describe('beyond the budget', () => {
  test('several acks of a lane are one settle, after the flush interval', async () => {
    const client = await aClient('d', 5);
    for (let offset = 1; offset <= 5; offset++) {
      client.ack('@normal', offset);
      await world.turns(5);
    }
    assert.equal((await gateway.state()).unacked, 0, 'the session goes on as if they were settled');
    await world.pass(FLUSH_MS - 100);
    assert.deepEqual(told(), []);
    await world.pass(200);
    assert.deepEqual(told(), [['d', 5]]);
  });

  test('a lane with many entries does not wait', async () => {
    const client = await aClient('d', SETTLE_ENTRIES_MAX);
    client.ack('@normal', SETTLE_ENTRIES_MAX - 1);
    await world.turns(5);
    assert.deepEqual(told(), []);
    client.ack('@normal', SETTLE_ENTRIES_MAX);
    await world.turns(5);
    assert.deepEqual(told(), [['d', SETTLE_ENTRIES_MAX]]);
  });

  test('a session that ends leaves nothing behind: whoever comes back with no position is not given it again', async () => {
    const client = await aClient('d', 3);
    client.ack('@normal', 2);
    await world.turns(5);
    assert.deepEqual(told(), []);
    client.socket.terminate();
    await client.end();
    await world.turns(10);
    assert.deepEqual(told(), [['d', 2]]);
    const again = await gateway.connect({ token: await world.device('d') });
    const [frame] = await again.nextMessages(1);
    assert.equal(frame!.offset, 3);
  });

  test('an ack is what counts, though its message expires or is collapsed before the flush interval is over', async () => {
    const cases = { expires: { expiresAtMs: world.clock.nowMs() + FLUSH_MS / 2 }, collapses: { collapses: true } };
    for (const [name, more] of Object.entries(cases)) {
      const token = await world.device(name);
      const { id } = await world.appendTo(name, 'soon something else', 'normal', more);
      const client = await gateway.connect({ token });
      await client.nextMessages(1);
      client.ack('@normal', 1);
      await world.turns(10);
      assert.deepEqual(told(), [[name, 1]]);
      await world.pass(FLUSH_MS);
      await world.store.sweepExpired(100);
      const [state] = await world.store.deliveryStates(APP, [
        { device: name as DeviceId, lane: 'normal', messageId: id },
      ]);
      assert.equal(state!.state, 'acked', name);
    }
  });

  test('what a client claims when it comes does not wait', async () => {
    const token = await world.device('d');
    const { epoch } = await world.appendTo('d', 1);
    await world.appendTo('d', 2);
    const client = await gateway.connect({ token, positions: [{ stream: '@normal', epoch, offset: 1 }] });
    await client.nextMessages(1);
    await world.turns(10);
    assert.deepEqual(told(), [['d', 1]]);
  });

  test('an ack that settles a message for the other devices of its account does not wait', async () => {
    const { id, record } = world.record('hello', { satisfiedByAny: true });
    const devices = ['phone', 'tablet'] as const;
    const [token] = [await world.device('phone'), await world.device('tablet')];
    await world.store.append(
      devices.map((device) => ({
        stream: { app: APP, kind: 'device', device: device as DeviceId, lane: 'normal' } as const,
        messageId: id,
        record,
        expiresAtMs: 0,
      })),
    );
    const client = await gateway.connect({ token });
    await client.nextMessages(1);
    client.ack('@normal', 1);
    await world.turns(40);
    assert.deepEqual(told(), [['phone', 1]]);
    const states = await world.store.deliveryStates(
      APP,
      devices.map((device) => ({ device: device as DeviceId, lane: 'normal', messageId: id })),
    );
    assert.deepEqual(
      states.map(({ state }) => state),
      ['acked', 'satisfied'],
    );
  });

  test('the end of the gateway settles what waits', async () => {
    const client = await aClient('d', 2);
    client.ack('@normal', 2);
    await world.turns(5);
    assert.deepEqual(told(), []);
    const stopping = gateway.role.stop();
    await world.pass(4000);
    await stopping;
    assert.deepEqual(told(), [['d', 2]]);
  });
});

test('acks that a store which is away did not take go out when it is back, without waiting for a budget', async () => {
  const failing = aStoreThatFails(world.store);
  const other = await world.gateway({ settlesPerSecond: 1, cursorFlushMs: FLUSH_MS }, { store: failing.store });
  const token = await world.device('d');
  await world.appendTo('d', 1);
  const client = await other.connect({ token });
  await client.nextMessages(1);
  failing.away = true;
  client.ack('@normal', 1);
  await world.turns(10);
  failing.away = false;
  assert.equal(await world.store.countWaiting(APP), 1);
  await world.pass(600);
  assert.equal(await world.store.countWaiting(APP), 0);
});
