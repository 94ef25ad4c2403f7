import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { DeviceId, Epoch, GatewayName, MessageId, TopicName } from '../../protocol/ids.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { eventually, someDevices } from '../api/api-fixtures.ts';
import { SHOP, aDevice, aRouter, aStore } from '../fixtures.ts';

const stream = (device: DeviceId) => ({ app: SHOP, kind: 'device', device, lane: 'normal' }) as const;

async function aShop(t: TestContext) {
  const { store } = await aStore(t);
  const device = await aDevice(store, 'phone-1');
  const router = await aRouter(t, { store });
  const cancel = (id: unknown) => router.ask(`/v1/messages/${String(id)}`, { method: 'DELETE' });
  const message = async (id: unknown) => (await router.ask(`/v1/messages/${String(id)}`)).body;
  const ack = async (of: DeviceId, messageId: unknown) =>
    await store.settleEntries([
      {
        app: SHOP,
        device: of,
        lane: 'normal',
        entry: { messageId: messageId as MessageId },
        state: 'acked',
        generation: null,
        gateway: 'gw-0' as GatewayName,
      },
    ]);
  return { store, device, cancel, message, ack, ...router };
}

describe('a message is taken back', () => {
  test('of a device: nothing of it waits, and the ledger says cancelled', async (t) => {
    const { store, device, push, cancel, message } = await aShop(t);
    const { body } = await push({ target: { device }, text: 'x' });
    const answer = await cancel(body['id']);
    assert.deepEqual([answer.status, answer.body], [200, { id: body['id'], state: 'cancelled', cancelled: 1 }]);
    const [read] = await store.read([{ stream: stream(device), after: null, entriesMax: 10 }]);
    assert.equal(read!.entries.length, 0);
    const { state, deliveries } = await message(body['id']);
    assert.deepEqual([state, (deliveries as { cancelled: number }).cancelled], ['cancelled', 1]);
    const { accepted, cancelled } = await store.ledger(SHOP);
    assert.deepEqual([accepted, cancelled], [1, 1]);
    const again = await cancel(body['id']);
    assert.deepEqual([again.status, again.body['cancelled']], [200, 0]);
  });

  test('of an account: where it was acked it stays acked', async (t) => {
    const { store, device, push, cancel, message, ack } = await aShop(t);
    await aDevice(store, 'tablet-1');
    const { body } = await push({ target: { account: 'ada' }, text: 'x' });
    await ack(device, body['id']);
    assert.equal((await cancel(body['id'])).body['cancelled'], 1);
    const { acked, cancelled } = (await message(body['id']))['deliveries'] as Record<string, number>;
    assert.deepEqual([acked, cancelled], [1, 1]);
  });

  test('of a topic: its place in the stream is left, and nobody gets it any more', async (t) => {
    const { store, push, cancel, message } = await aShop(t);
    const { body } = await push({ target: { topic: 'news' }, text: 'x' });
    assert.deepEqual((await cancel(body['id'])).body['cancelled'], 1);
    assert.equal((await message(body['id']))['state'], 'cancelled');
    const topic = { app: SHOP, kind: 'topic', topic: 'news' as TopicName } as const;
    const [read] = await store.read([{ stream: topic, after: null, entriesMax: 10 }]);
    const { tombstone, body: left } = decodeRecord(read!.entries[0]!.record);
    assert.deepEqual([tombstone, left.length], [true, 0]);
  });

  test('of a list: small ones before the answer, large ones by a job', async (t) => {
    const { store, push, cancel, message } = await aShop(t);
    const devices = await someDevices(store, 'd', 2600);
    for (const [count, status] of [
      [1900, 200],
      [2600, 202],
    ] as const) {
      const { body } = await push({ target: { devices: devices.slice(0, count) }, text: 'x' });
      await eventually(async () => (await message(body['id']))['state'] === 'expanded');
      const answer = await cancel(body['id']);
      assert.deepEqual([answer.status, answer.body['cancelled']], [status, status === 200 ? count : null]);
      await eventually(async () => {
        const [state] = await store.messages(SHOP, [body['id'] as MessageId]);
        const deliveries = await store.deliveryStates(
          SHOP,
          devices.slice(0, count).map((device) => ({ device, lane: 'normal', messageId: body['id'] as MessageId })),
        );
        return state?.state === 'cancelled' && deliveries.every((delivery) => delivery.state === 'cancelled');
      });
    }
    assert.equal(await store.countWaiting(SHOP), 0);
  });
});

describe('a message that is not to be taken back', () => {
  test('because every delivery has ended is refused with 409', async (t) => {
    const { store, device, push, cancel, message, ack } = await aShop(t);
    const one = await push({ target: { device }, text: 'x' });
    await ack(device, one.body['id']);
    const [list] = await someDevices(store, 'd', 1);
    const many = await push({ target: { devices: [list] }, text: 'x' });
    await eventually(async () => (await message(many.body['id']))['state'] === 'expanded');
    await ack(list!, many.body['id']);
    for (const { body } of [one, many]) {
      const refused = await cancel(body['id']);
      assert.deepEqual([refused.status, refused.body.error?.['code']], [409, 'not-cancellable']);
      assert.notEqual((await message(body['id']))['state'], 'cancelled');
    }
  });

  test('because nobody knows it, or it is of another app, is refused with 404', async (t) => {
    const { cancel } = await aShop(t);
    const refused = await cancel('01JD9Z6Y4M8Q0V2X4B6D8F0H2K');
    assert.deepEqual([refused.status, refused.body.error?.['code']], [404, 'message-unknown']);
    const odd = await cancel('x');
    assert.deepEqual([odd.status, odd.body.error?.['field']], [400, 'id']);
  });
});

test('what became of a message is exact for each end a delivery can have, with time and gateway', async (t) => {
  const { store, push, ask, message } = await aShop(t);
  const devices = await someDevices(store, 'd', 6);
  const { body } = await push({ target: { devices }, text: 'x' });
  await eventually(async () => (await message(body['id']))['state'] === 'expanded');
  const ends = ['acked', 'dead', 'cancelled', 'satisfied', 'filtered'] as const;
  const messageId = body['id'] as MessageId;
  await store.settleEntries(
    ends.map((state, i) => ({
      app: SHOP,
      device: devices[i]!,
      lane: 'normal',
      entry: { messageId },
      state,
      generation: null,
      gateway: 'gw-7' as GatewayName,
      ...(state === 'dead' ? { reason: 'attempts', attempts: 5 } : {}),
    })),
  );
  const { deliveries } = await message(body['id']);
  assert.deepEqual(deliveries, {
    waiting: 1,
    pending: 0,
    acked: 1,
    dead: 1,
    expired: 0,
    cancelled: 1,
    satisfied: 1,
    filtered: 1,
    unknown: 0,
  });
  const page = await ask(`/v1/messages/${messageId}/deliveries`);
  const [first, , , , , last] = page.body['deliveries'] as Record<string, unknown>[];
  const epoch = (first!['position'] as { epoch: Epoch }).epoch;
  assert.match(String(first!['at']), /^\d{4}-/);
  assert.deepEqual(
    { ...first, at: '' },
    { device: 'd-0', state: 'acked', at: '', gateway: 'gw-7', position: { stream: '@normal', epoch, offset: 1 } },
  );
  assert.deepEqual([last!['state'], last!['at'], last!['gateway']], ['waiting', null, null]);
});
