// R13 on a real Kafka: a journal whose router and broker die.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPart, missingPart } from '../../../e2e/setup/parts.ts';
import { openKafkaBus } from '../../bus/kafka/kafka-bus.ts';
import { TestBroker } from '../../bus/kafka/test-broker.ts';
import { BUS_TOPICS } from '../../bus/port.ts';
import type { Bus } from '../../bus/port.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { Store } from '../../store/port.ts';
import { SHOP, aDevice, aRouter, aStore } from '../fixtures.ts';
import { JOURNAL_GROUP } from './journal.ts';

const skip = missingPart('kafka', 'java') ?? false;
const PUSHES = 150;

test(
  'R13 on Kafka: what was answered is stored once and in order, though router and broker are killed meanwhile',
  { skip },
  async (t) => {
    const broker = await TestBroker.start({ program: findPart('kafka')! });
    const buses: Bus[] = [];
    t.after(async () => {
      await Promise.all(buses.map((bus) => bus.close()));
      await broker.remove();
    });
    const openBus = () => {
      const bus = openKafkaBus({
        brokers: broker.brokers,
        tls: null,
        sasl: null,
        prefix: 't.',
        partitions: 8,
        replication: 1,
        publishTimeoutMs: 20_000,
        clock: systemClock,
        log: silentLog,
        random: Math.random,
      });
      buses.push(bus);
      return bus;
    };
    const { store, failing } = await aStore(t);
    const devices = ['phone-1', 'phone-2', 'phone-3'];
    for (const device of devices) await aDevice(store, device);
    const first = await aRouter(t, { store, bus: openBus() });
    const away: (keyof Store)[] = ['append', 'putMessages', 'claimKey', 'accountDevices', 'routes', 'health'];
    away.forEach((operation) => failing.set(operation, 'before'));
    const answered = new Map<string, string[]>(devices.map((device) => [device, []]));
    const send = async (router: typeof first, i: number): Promise<void> => {
      const device = devices[i % devices.length]!;
      const text = `${i}`;
      const message = { target: { device }, text, idempotencyKey: `k-${i}` };
      for (;;) {
        const { status, body } = await router.push(message);
        if (status === 202) return void answered.get(device)!.push(String(body['id']));
        assert.equal(status, 503, JSON.stringify(body));
      }
    };
    for (let i = 0; i < PUSHES / 3; i++) await send(first, i);
    const killed = broker.kill().then(() => broker.start());
    for (let i = PUSHES / 3; i < (2 * PUSHES) / 3; i++) await send(first, i);
    await killed;
    first.role.kill();
    const second = await aRouter(t, { store, bus: openBus() });
    for (let i = (2 * PUSHES) / 3; i < PUSHES; i++) await send(second, i);
    failing.clear();
    const third = openBus();
    while ((await third.lag(JOURNAL_GROUP, BUS_TOPICS.journal)) > 0) await new Promise(setImmediate);
    for (const device of devices) {
      const stream = { app: SHOP, kind: 'device', device: device as DeviceId, lane: 'normal' } as const;
      const [read] = await store.read([{ stream, after: null, entriesMax: 500 }]);
      const ids = read!.entries.map(({ record }) => decodeRecord(Buffer.from(record)).id);
      assert.deepEqual(ids, answered.get(device), device);
    }
  },
);
