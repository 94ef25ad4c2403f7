import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BusUnavailableError } from '../../bus/port.ts';
import type { Bus, BusRecord } from '../../bus/port.ts';
import { BROADCAST_DEVICES_MAX, decodeBroadcast } from '../../link/broadcast-record.ts';
import { aDelivery } from '../../link/fixtures.ts';
import type { BootId, DeviceId, Epoch, TopicName } from '../../protocol/ids.ts';
import { aManualClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { BROADCAST_WAITING_MAX, Broadcast } from './broadcast.ts';
import { SHOP } from '../fixtures.ts';
import type { Delivery } from './gateway-link.ts';

const [A, B] = ['boot-a', 'boot-b'] as [BootId, BootId];
const never = (): void => assert.fail('the bus took it');

function aBroadcast() {
  const published: (readonly BusRecord[])[] = [];
  const state = { away: false, hold: null as Promise<void> | null };
  let diverted = 0;
  const bus: Pick<Bus, 'publish' | 'health'> = {
    publish: async (records, durability) => {
      assert.equal(durability, 'leader');
      if (state.away) throw new BusUnavailableError('told to be away');
      await state.hold;
      published.push(records);
    },
    health: () => ({ reachable: !state.away, problem: null }),
  };
  const broadcast = new Broadcast({
    bus,
    clock: aManualClock(),
    log: silentLog,
    onDiverted: (count) => void (diverted += count),
    onFailure: () => {},
  });
  const turn = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  };
  return { broadcast, published, state, turn, diverted: () => diverted };
}
const toDevice = (device: string, offset: number): Delivery => {
  const { seq: _, ...delivery } = aDelivery({ app: SHOP, device: device as DeviceId, offset, prev: offset - 1 });
  return delivery;
};
const toTopic = (stamp: number, epoch: Epoch | null = null): Delivery => ({
  kind: 'deliver-topic',
  app: SHOP,
  topic: 'news' as TopicName,
  epoch,
  offset: 0,
  prev: 0,
  stamp,
  record: new Uint8Array([stamp]),
});
const toMany = (devices: number): Delivery => ({
  kind: 'deliver-many',
  app: SHOP,
  bootId: A,
  lane: 'normal',
  record: new Uint8Array(10),
  rows: Array.from({ length: devices }, (_, i) => ({
    device: `d-${i}` as DeviceId,
    epoch: 'e' as Epoch,
    offset: 1,
    prev: 0,
  })),
});

test('deliveries of a tick leave in one publish; neighbours of one stream share a record, in their order', async () => {
  const { broadcast, published, turn, diverted } = aBroadcast();
  for (const [device, offset] of [
    ['a', 1],
    ['a', 2],
    ['b', 1],
    ['a', 3],
  ] as const)
    broadcast.send(toDevice(device, offset), A, never);
  await turn();
  assert.equal(published.length, 1);
  assert.deepEqual(
    published[0]!.map(({ key, headers, value }) => [
      key,
      headers['devices'],
      headers['gateways'],
      decodeBroadcast(value, A).map((frame) => (frame.kind === 'deliver-device' ? frame.offset : null)),
    ]),
    [
      ['shop/d/a', 'a', undefined, [1, 2]],
      ['shop/d/b', 'b', undefined, [1]],
      ['shop/d/a', 'a', undefined, [3]],
    ],
  );
  assert.equal(diverted(), 4);
});

test('a topic’s message for two gateways is one record that names both; live and durable ones do not share', async () => {
  const { broadcast, published, turn } = aBroadcast();
  const [live, durable] = [toTopic(1), toTopic(0, 'e' as Epoch)];
  for (const delivery of [live, durable]) for (const boot of [A, B]) broadcast.send(delivery, boot, never);
  await turn();
  assert.deepEqual(
    published[0]!.map(({ headers }) => [headers['gateways'], headers['live']]),
    [
      [`${A},${B}`, '1'],
      [`${A},${B}`, undefined],
    ],
  );
});

test('no record names more than 500 devices', async () => {
  const { broadcast, published, turn } = aBroadcast();
  broadcast.send(toMany(300), A, never);
  broadcast.send(toMany(300), A, never);
  broadcast.send(toMany(BROADCAST_DEVICES_MAX), A, never);
  await turn();
  assert.deepEqual(
    published[0]!.map(({ headers }) => headers['devices']!.split(',').length),
    [300, 300, 500],
  );
});

test('what the bus does not take goes back to each gateway’s way, once', async () => {
  const { broadcast, state, turn, diverted } = aBroadcast();
  state.away = true;
  assert.equal(broadcast.isOpen, false);
  const back: string[] = [];
  const message = toTopic(1);
  for (const boot of [A, B]) broadcast.send(message, boot, (to) => back.push(to));
  await turn();
  assert.deepEqual(back, [A, B]);
  assert.equal(diverted(), 0);
});

test('one publish is under way at a time; what waits is bounded', async () => {
  const { broadcast, published, state, turn } = aBroadcast();
  let release = (): void => {};
  state.hold = new Promise((resolve) => (release = resolve));
  broadcast.send(toDevice('a', 1), A, never);
  await turn();
  for (let i = 0; i < BROADCAST_WAITING_MAX - 1; i++) broadcast.send(toDevice('a', i + 2), A, never);
  assert.equal(broadcast.isOpen, true);
  broadcast.send(toDevice('a', BROADCAST_WAITING_MAX + 1), A, never);
  assert.equal(broadcast.isOpen, false);
  await turn();
  assert.equal(published.length, 0);
  release();
  while (!broadcast.isOpen || published.length < 21) await turn();
  const offsets = published
    .flat()
    .flatMap(({ value }) => decodeBroadcast(value, A).map((f) => (f as { offset: number }).offset));
  assert.deepEqual(
    offsets,
    Array.from({ length: BROADCAST_WAITING_MAX + 1 }, (_, i) => i + 1),
  );
});
