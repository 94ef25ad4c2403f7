// A gateway and a real Kafka: what comes over it, and what waits in files while its broker is dead.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { findPart, missingPart } from '../../../e2e/setup/parts.ts';
import { openKafkaBus } from '../../bus/kafka/kafka-bus.ts';
import { TestBroker } from '../../bus/kafka/test-broker.ts';
import { BUS_TOPICS } from '../../bus/port.ts';
import type { Bus } from '../../bus/port.ts';
import { encodeBroadcast } from '../../link/broadcast-record.ts';
import type { BootId, DeviceId } from '../../protocol/ids.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { APP, World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';

const skip = missingPart('kafka', 'java') ?? false;
const PATIENCE_MS = 40_000;

let broker: TestBroker;
let world: World;
let dir: string;
let opened = 0;
let buses: Bus[];

before(async () => {
  if (skip === false) broker = await TestBroker.start({ program: findPart('kafka')! });
});
after(async () => {
  if (skip === false) await broker.remove();
});
beforeEach(() => {
  world = new World();
  dir = mkdtempSync(join(tmpdir(), 'gateway-kafka-'));
  buses = [];
  opened++;
});
afterEach(async () => {
  await world.end();
  await Promise.all(buses.map((bus) => bus.close()));
  rmSync(dir, { recursive: true, force: true });
});

function openBus(): Bus {
  const bus = openKafkaBus({
    brokers: broker.brokers,
    tls: null,
    sasl: null,
    prefix: `gateway-${opened}.`,
    partitions: 4,
    replication: 1,
    publishTimeoutMs: 2000,
    clock: systemClock,
    log: silentLog,
    random: Math.random,
    tuning: {},
  });
  buses.push(bus);
  return bus;
}
/** Both times move: the gateway's by hand, the broker's by itself. */
async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > endsAt) throw new Error(`waited in vain until ${what}`);
    await world.pass(50);
    await wait(25);
  }
}
const aGateway = (): Promise<TestGateway> =>
  world.gateway({ upstreamBufferDir: dir, heartbeatIntervalMs: 3_600_000 }, { bus: openBus() });

let sent = 0;
async function sendUpstream(client: TestClient, keys: readonly string[]): Promise<void> {
  const first = sent;
  for (const key of keys) client.send({ type: 'upstream', id: ++sent, kind: 'order', key, body: key });
  const taken = (): number => client.frames.filter((frame) => frame.type === 'taken' && frame.id > first).length;
  await until(`${keys.join()} were taken`, () => taken() === keys.length);
}
const keys = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => `k${from + i}`);

/** What a handler would see, repeats by key left out as the upstream role does. */
async function collect(): Promise<string[]> {
  const seen: string[] = [];
  await openBus().consume({
    topics: [BUS_TOPICS.upstream],
    group: 'handlers',
    handler: (batch) => {
      for (const { headers } of batch) if (!seen.includes(headers['key']!)) seen.push(headers['key']!);
      return Promise.resolve();
    },
  });
  return seen;
}

describe('a gateway on a real Kafka', { skip }, () => {
  test('takes what a router diverts to it, and goes on after the broker was killed', async () => {
    const gateway = await aGateway();
    const publisher = openBus();
    const client = await gateway.connect({ token: await world.device('d') });
    const bodies = (): unknown[] => client.frames.flatMap((frame) => (frame.type === 'message' ? [frame.body] : []));
    const divert = async (body: string): Promise<void> => {
      const entry = await world.appendTo('d', body);
      const frame = { kind: 'deliver-device', seq: 0, app: APP, device: 'd' as DeviceId } as const;
      const address = { key: 'k', app: APP, gateways: [], devices: ['d' as DeviceId], live: false };
      const record = encodeBroadcast({ ...address, sentAtMs: world.clock.nowMs() }, [
        { ...frame, bootId: '' as BootId, lane: 'normal', stamp: 0, ...entry },
      ]);
      await until(`${body} was published`, () =>
        publisher.publish([record], 'leader').then(
          () => true,
          () => false,
        ),
      );
    };
    // A group of its own takes a moment to stand, and starts at the newest record.
    await until('it stands', async () =>
      /broadcast_standing 1/.test(await (await gateway.admin('GET', '/metrics')).text()),
    );
    await divert('one');
    await until('it came', () => bodies().length === 1);
    await broker.kill();
    await broker.start();
    await divert('two');
    await until('it came', () => bodies().length === 2);
    assert.deepEqual(bodies(), ['one', 'two']);
  });

  test('keeps upstream messages in its file while the broker is dead, and they arrive in order, none missing', async () => {
    const gateway = await aGateway();
    const client = await gateway.connect({ token: await world.device('d') });
    await sendUpstream(client, keys(1, 20));
    const seen = await collect();
    await until('the first came', () => seen.length === 20);
    await broker.kill();
    for (const [from, to] of [
      [21, 40],
      [41, 60],
    ] as const)
      await sendUpstream(client, keys(from, to));
    assert.equal((await gateway.state()).bus, 'away');
    await broker.start();
    await sendUpstream(client, keys(61, 80));
    await until('all came', () => seen.length === 80);
    assert.deepEqual(seen, keys(1, 80));
    await until('it is reachable again', async () => (await gateway.state()).bus === 'reachable');
  });

  test('that is killed with messages in its file leaves them to its next life', async () => {
    const gateway = await aGateway();
    const client = await gateway.connect({ token: await world.device('d') });
    await sendUpstream(client, ['k1']);
    await broker.kill();
    await sendUpstream(client, keys(2, 10));
    gateway.kill();
    renameSync(join(dir, 'gateway-0'), join(dir, 'gateway-1')); // in this world the next life has another name
    await broker.start();
    const seen = await collect();
    await aGateway();
    await until('all came', () => seen.length === 10);
    assert.deepEqual(seen, keys(1, 10));
  });
});
