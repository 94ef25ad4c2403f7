import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BUS_TOPICS } from '../bus/port.ts';
import type { AppId, BootId, DeviceId, TopicName } from '../protocol/ids.ts';
import type { DeliverTopic } from '../protocol/link.ts';
import {
  BROADCAST_DEVICES_MAX,
  BROADCAST_LIVE_MS,
  decodeBroadcast,
  encodeBroadcast,
  isBroadcastFor,
} from './broadcast-record.ts';
import type { BroadcastAddress } from './broadcast-record.ts';
import { aDelivery } from './fixtures.ts';

const NOW_MS = 1_800_000_000_000;
const HERE = 'boot-here' as BootId;
const at = (over: Partial<BroadcastAddress> = {}): BroadcastAddress => ({
  key: 'shop/d/phone-1',
  app: 'shop' as AppId,
  gateways: [],
  devices: [],
  sentAtMs: NOW_MS,
  live: false,
  ...over,
});
const aTopicFrame: DeliverTopic = {
  kind: 'deliver-topic',
  seq: 0,
  app: 'shop' as AppId,
  topic: 'news' as TopicName,
  epoch: null,
  offset: 0,
  prev: 0,
  stamp: 7,
  record: new Uint8Array([1, 2]),
};
const has = (...here: string[]) => ({
  bootId: HERE,
  nowMs: NOW_MS,
  has: (_: AppId, device: DeviceId) => here.includes(device),
});

test('frames come back as they were, addressed to the life that reads them', () => {
  const record = encodeBroadcast(at({ devices: ['phone-1' as DeviceId] }), [aDelivery(), aTopicFrame]);
  assert.deepEqual([record.topic, record.key], [BUS_TOPICS.broadcast, 'shop/d/phone-1']);
  const [device, topic] = decodeBroadcast(record.value, HERE);
  assert.ok(device?.kind === 'deliver-device' && topic?.kind === 'deliver-topic');
  assert.deepEqual([device.bootId, device.offset, topic.topic, topic.stamp], [HERE, 7, 'news', 7]);
});

const cases: readonly [title: string, address: Partial<BroadcastAddress>, here: readonly string[], wanted: boolean][] =
  [
    ['for everyone', {}, [], true],
    ['for gateways, this among them', { gateways: ['other', HERE] as BootId[] }, [], true],
    ['for other gateways', { gateways: ['other', `${HERE}-2`] as BootId[] }, [], false],
    ['for a device that is here', { devices: ['a', 'b'] as DeviceId[] }, ['b'], true],
    ['for devices elsewhere', { devices: ['a', 'b'] as DeviceId[] }, ['c'], false],
    ['live and fresh', { live: true, sentAtMs: NOW_MS - BROADCAST_LIVE_MS }, [], true],
    ['live and old', { live: true, sentAtMs: NOW_MS - BROADCAST_LIVE_MS - 1 }, [], false],
    ['durable and old', { sentAtMs: 0 }, [], true],
  ];
for (const [title, address, here, wanted] of cases)
  test(`a record ${title} is ${wanted ? 'wanted' : 'passed over'}, by its headers`, () => {
    const { headers } = encodeBroadcast(at(address), []);
    assert.equal(isBroadcastFor(headers, has(...here)), wanted);
  });

test('a record names 500 devices and no more', () => {
  const devices = Array.from({ length: BROADCAST_DEVICES_MAX + 1 }, (_, i) => `d-${i}` as DeviceId);
  assert.doesNotThrow(() => encodeBroadcast(at({ devices: devices.slice(1) }), []));
  assert.throws(() => encodeBroadcast(at({ devices }), []), RangeError);
});

test('a value that is no frame is told as such', () => {
  assert.throws(() => decodeBroadcast(Buffer.from([1, 0, 0, 0, 99]), HERE), { code: 'link-frame' });
});
