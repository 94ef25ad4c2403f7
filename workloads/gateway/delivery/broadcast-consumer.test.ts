import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { openInProcessBus } from '../../bus/in-process.ts';
import { BusUnavailableError } from '../../bus/port.ts';
import type { Bus } from '../../bus/port.ts';
import { encodeBroadcast } from '../../link/broadcast-record.ts';
import type { BroadcastAddress, BroadcastFrame } from '../../link/broadcast-record.ts';
import type { BootId, DeviceId, TopicName } from '../../protocol/ids.ts';
import { silentLog } from '../../runtime/log.ts';
import { APP, World } from '../fixtures.ts';
import type { Entry, TestGateway } from '../fixtures.ts';
import { turns, until } from '../test-client.ts';

let world: World;
let bus: Bus;
beforeEach(() => {
  world = new World();
  bus = openInProcessBus({ clock: world.clock, log: silentLog });
});
afterEach(async () => {
  await world.end();
  await bus.close();
});

function publish(address: Partial<BroadcastAddress>, ...frames: BroadcastFrame[]): Promise<void> {
  const whole = { key: 'k', app: APP, gateways: [], devices: [], sentAtMs: world.clock.nowMs(), live: false };
  return bus.publish([encodeBroadcast({ ...whole, ...address }, frames)], 'leader');
}
const toDevice = (device: string, entry: Entry): BroadcastFrame => ({
  kind: 'deliver-device',
  seq: 0,
  app: APP,
  device: device as DeviceId,
  bootId: '' as BootId,
  lane: 'normal',
  stamp: 0,
  ...entry,
});
const live = (stamp: number, body: unknown): BroadcastFrame => ({
  kind: 'deliver-topic',
  seq: 0,
  app: APP,
  topic: '$all' as TopicName,
  epoch: null,
  offset: 0,
  prev: 0,
  stamp,
  record: world.record(body).record,
});
async function outcomes(gateway: TestGateway): Promise<(number | undefined)[]> {
  const text = await (await gateway.admin('GET', '/metrics')).text();
  return ['taken', 'passed'].map((outcome) => {
    const found = new RegExp(`^pushcluster_gateway_broadcasts_total\\{outcome="${outcome}"\\} (\\d+)$`, 'm').exec(text);
    return found === null ? undefined : Number(found[1]);
  });
}

describe('what comes over the bus', () => {
  test('is delivered as if a link had brought it, and passed over by gateways that it is not for', async () => {
    const [one, two] = [await world.gateway({}, { bus }), await world.gateway({}, { bus })];
    const client = await one.connect({ token: await world.device('d') });
    const entry = await world.appendTo('d', 'over the bus');
    await publish({ devices: ['x', 'd'] as DeviceId[] }, toDevice('d', entry));
    await client.next('stream');
    assert.equal((await client.next('message')).body, 'over the bus');
    assert.deepEqual(
      [await outcomes(one), await outcomes(two)],
      [
        [1, 0],
        [0, 1],
      ],
    );
  });

  test('may come over a link as well: a position is written once, and live messages keep the order of their stamps', async () => {
    const gateway = await world.gateway({}, { bus });
    const router = await gateway.router();
    const client = await gateway.connect({ token: await world.device('d') });
    const entry = await world.appendTo('d', 1);
    await router.toDevice('d', entry);
    await until('it came', () => client.frames.some(({ type }) => type === 'message'));
    await publish({ devices: ['d' as DeviceId] }, toDevice('d', entry));
    await router.toTopic('$all', { record: world.record('newer').record }, 8);
    const { bootId } = await gateway.state();
    await publish({ gateways: [bootId], live: true }, live(7, 'older'), live(9, 'newest'));
    await until('all came', () => client.frames.filter(({ type }) => type === 'message').length === 3);
    await turns();
    assert.deepEqual(
      client.frames.flatMap((frame) => (frame.type === 'message' ? [frame.body] : [])),
      [1, 'newer', 'newest'],
    );
  });

  test('is dropped when it is live and old, and passed over when it is not readable', async () => {
    const gateway = await world.gateway({}, { bus });
    const client = await gateway.connect({ token: await world.device('d') });
    await publish({ live: true, sentAtMs: world.clock.nowMs() - 11_000 }, live(1, 'old'));
    const { headers, topic, key } = encodeBroadcast(
      { key: 'k', app: APP, gateways: [], devices: [], sentAtMs: world.clock.nowMs(), live: false },
      [],
    );
    await bus.publish([{ topic, key, headers, value: Buffer.from([1, 0, 0, 0, 99]) }]);
    await publish({}, live(2, 'new'));
    assert.equal((await client.next('message')).body, 'new');
  });

  test('before this gateway came is not for it', async () => {
    await publish({}, live(1, 'before'));
    const gateway = await world.gateway({}, { bus });
    const client = await gateway.connect({ token: await world.device('d') });
    await publish({}, live(2, 'after'));
    assert.equal((await client.next('message')).body, 'after');
  });
});

test('a bus that lets nobody in is asked again, and the gateway serves meanwhile', async () => {
  let asked = 0;
  const closed: Bus = {
    publish: (records, durability) => bus.publish(records, durability),
    health: () => bus.health(),
    lag: (group, topic) => bus.lag(group, topic),
    close: () => bus.close(),
    consume(options) {
      asked++;
      if (asked < 4) return Promise.reject(new BusUnavailableError('closed'));
      return bus.consume(options);
    },
  };
  const gateway = await world.gateway({}, { bus: closed });
  const client = await gateway.connect({ token: await world.device('d') });
  await world.pass(4000);
  assert.equal(asked, 4);
  await publish({}, live(1, 'at last'));
  assert.equal((await client.next('message')).body, 'at last');
});
