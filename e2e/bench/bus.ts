// What the Kafka bus does on this machine, broker included: publishes and hand-offs a second by durability, latency, how long a rebalance
// takes, what is seen of a broker that is killed and starts again, and how fast the upstream role stores (SQLite, each message once).
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openKafkaBus } from '../../workloads/bus/kafka/kafka-bus.ts';
import { TestBroker } from '../../workloads/bus/kafka/test-broker.ts';
import type { Bus, BusHandler, BusRecord } from '../../workloads/bus/port.ts';
import { BUS_TOPICS } from '../../workloads/bus/port.ts';
import { systemClock } from '../../workloads/runtime/clock.ts';
import { silentLog } from '../../workloads/runtime/log.ts';
import { BatchWork } from '../../workloads/upstream/batch.ts';
import { UpstreamCounts } from '../../workloads/upstream/counts.ts';
import { openSqliteTable } from '../../workloads/upstream/handlers/sqlite.ts';
import { Lane } from '../../workloads/upstream/lane.ts';
import { findPart, missingPart } from '../setup/parts.ts';
import { MissingPartError } from './stage.ts';
import { cpuSeconds } from './usage.ts';

const RECORDS = 200_000;
const VALUE_BYTES = 200;
/** Records of one publish, and publishes under way: what a gateway's tick and a few gateways make. */
const TOGETHER = 100;
const IN_FLIGHT = 32;
const KEYS = 1000;
const STORED = 50_000;
const PARTITIONS = 8;

type Result = Readonly<Record<string, unknown>>;

export async function bus(): Promise<Result> {
  const missing = missingPart('kafka', 'java');
  if (missing !== undefined) throw new MissingPartError(missing);
  const startedAt = performance.now();
  const broker = await TestBroker.start({ program: findPart('kafka')! });
  const brokerStartMs = msSince(startedAt);
  try {
    return {
      counts: 'records of this process; its CPU seconds and the broker’s beside them',
      settings: { valueBytes: VALUE_BYTES, perPublish: TOGETHER, publishesInFlight: IN_FLIGHT, partitions: PARTITIONS },
      brokerStartMs,
      publishAll: await publishing(broker, 'all'),
      publishLeader: await publishing(broker, 'leader'),
      consume: await consuming(broker),
      latency: await latency(broker),
      upstreamToSqlite: await storing(broker),
      rebalance: await rebalancing(broker),
      brokerKilled: await outage(broker),
    };
  } finally {
    await broker.remove();
  }
}

function open(broker: TestBroker, prefix: string): Bus {
  return openKafkaBus({
    brokers: broker.brokers,
    tls: null,
    sasl: null,
    prefix,
    partitions: PARTITIONS,
    replication: 1,
    publishTimeoutMs: 30_000,
    clock: systemClock,
    log: silentLog,
    random: Math.random,
  });
}

/** JSON that differs from record to record, so that the codec has what it would have. */
function aRecord(i: number, topic = 'bench'): BusRecord {
  const text = JSON.stringify({ i, text: randomBytes(VALUE_BYTES / 4).toString('hex') }).padEnd(VALUE_BYTES, ' ');
  return { topic, key: `key-${i % KEYS}`, headers: { app: 'bench', kind: 'order' }, value: Buffer.from(text) };
}

function upstreamRecord(i: number): BusRecord {
  const device = `device-${i % KEYS}`;
  const headers = {
    app: 'bench',
    account: 'ann',
    device,
    gateway: 'gw-0',
    kind: 'order',
    key: `${i}`,
    receivedAtMs: `${Date.now()}`,
  };
  return { ...aRecord(i, BUS_TOPICS.upstream), key: `bench/${device}`, headers };
}

async function publishAll(
  to: Bus,
  count: number,
  options: { durability: 'all' | 'leader'; make: (i: number) => BusRecord },
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const from = next;
      next += TOGETHER;
      await to.publish(
        Array.from({ length: TOGETHER }, (_, i) => options.make(from + i)),
        options.durability,
      );
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

async function publishing(broker: TestBroker, durability: 'all' | 'leader'): Promise<Result> {
  const to = open(broker, `${durability}.`);
  const records = Array.from({ length: RECORDS }, (_, i) => aRecord(i));
  await to.publish(records.slice(0, 1), durability); // topic and connection
  const usage = measure(broker);
  await publishAll(to, RECORDS, { durability, make: (i) => records[i]! });
  const result = usage(RECORDS);
  const alone: number[] = [];
  for (let i = 0; i < 300; i++) {
    const at = performance.now();
    await to.publish([records[i]!], durability);
    alone.push(performance.now() - at);
  }
  await to.close();
  return { ...result, oneInFlight: percentiles(alone) };
}

async function consuming(broker: TestBroker): Promise<Result> {
  const from = open(broker, 'all.');
  const usage = measure(broker);
  let got = 0;
  const all = Promise.withResolvers<void>();
  const handler: BusHandler = (batch) => {
    got += batch.length;
    if (got >= RECORDS) all.resolve();
    return Promise.resolve();
  };
  await from.consume({ topics: ['bench'], group: 'g', handler });
  await all.promise;
  const result = usage(RECORDS);
  await from.close();
  return result;
}

/** From publish to hand-off, durability all, 500 a second one by one. */
async function latency(broker: TestBroker): Promise<Result> {
  const both = open(broker, 'latency.');
  const tookMs: number[] = [];
  const handler: BusHandler = (batch) => {
    for (const { headers } of batch) tookMs.push(performance.now() - Number(headers['at']));
    return Promise.resolve();
  };
  await both.consume({ topics: ['bench'], group: 'g', handler });
  await both.publish([{ ...aRecord(0), headers: { at: `${performance.now()}` } }]);
  tookMs.length = 0;
  for (let i = 0; i < 2000; i++) {
    void both.publish([{ ...aRecord(i), headers: { at: `${performance.now()}` } }]).catch(() => undefined);
    if (i % 5 === 4) await sleep(10);
  }
  while (tookMs.length < 1990) await sleep(20);
  await both.close();
  return percentiles(tookMs);
}

async function storing(broker: TestBroker): Promise<Result> {
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-bench-'));
  const both = open(broker, 'upstream.');
  const counts = new UpstreamCounts();
  const lane = new Lane(openSqliteTable(join(dir, 'upstream.sqlite'), () => Date.now()));
  const work = new BatchWork({
    bus: both,
    rules: [{ kinds: ['*'], type: 'database' }],
    lanes: [lane],
    counts,
    clock: systemClock,
    log: silentLog,
    random: Math.random,
    attemptsMax: 5,
    backoffMs: 200,
    holdMs: 60_000,
  });
  await publishAll(both, STORED, { durability: 'all', make: upstreamRecord });
  const usage = measure(broker);
  const handled = (): number => [...counts.outcomes.values()].reduce((sum, { count }) => sum + count, 0);
  const consumer = await both.consume({
    topics: [BUS_TOPICS.upstream],
    group: 'upstream',
    handler: (batch) => work.handleBatch(batch),
  });
  while (handled() < STORED) await sleep(10);
  const result = usage(STORED);
  await consumer.stop();
  await both.close();
  await lane.close();
  rmSync(dir, { recursive: true, force: true });
  return result;
}

/** Until both members have records: when the second joins; and when it has left, until the first has all partitions again. */
async function rebalancing(broker: TestBroker): Promise<Result> {
  const [one, two, source] = ['one', 'two', 'source'].map(() => open(broker, 'rebalance.')) as [Bus, Bus, Bus];
  const seen = { one: new Set<number>(), two: new Set<number>() };
  const into =
    (set: Set<number>): BusHandler =>
    (batch) => {
      for (const { partition } of batch) set.add(partition);
      return Promise.resolve();
    };
  await one.consume({ topics: ['bench'], group: 'g', handler: into(seen.one) });
  let goesOn = true;
  let i = 0;
  const publishing = (async () => {
    while (goesOn) {
      await source.publish(Array.from({ length: 50 }, () => aRecord(i++)));
      await sleep(10);
    }
  })();
  await until(() => seen.one.size === PARTITIONS);
  const joinedAt = performance.now();
  const second = await two.consume({ topics: ['bench'], group: 'g', handler: into(seen.two) });
  seen.one.clear();
  await until(() => seen.two.size >= PARTITIONS / 2 && seen.one.size >= PARTITIONS / 2);
  const joinMs = msSince(joinedAt);
  const leftAt = performance.now();
  await second.stop();
  seen.one.clear();
  await until(() => seen.one.size === PARTITIONS);
  const leaveMs = msSince(leftAt);
  goesOn = false;
  await publishing;
  await Promise.all([one, two, source].map((each) => each.close()));
  return { joinMs, leaveMs };
}

/** kill -9 under load: how long the broker was away, and the longest wait of a publish and between two hand-offs. */
async function outage(broker: TestBroker): Promise<Result> {
  const both = open(broker, 'outage.');
  let [handedAt, consumeGapMs, publishGapMs, rejected, published] = [performance.now(), 0, 0, 0, 0];
  const handler: BusHandler = () => {
    consumeGapMs = Math.max(consumeGapMs, msSince(handedAt));
    handedAt = performance.now();
    return Promise.resolve();
  };
  await both.publish([aRecord(0)]);
  await both.consume({ topics: ['bench'], group: 'g', handler });
  let goesOn = true;
  const publishing = (async () => {
    for (let i = 0; goesOn; i++) {
      const at = performance.now();
      await both.publish([aRecord(i)]).then(
        () => published++,
        () => rejected++,
      );
      publishGapMs = Math.max(publishGapMs, msSince(at));
      await sleep(2);
    }
  })();
  await sleep(1000);
  const killedAt = performance.now();
  await broker.kill();
  await broker.start();
  const awayMs = msSince(killedAt);
  const before = published;
  await until(() => published > before + 200);
  await until(() => msSince(handedAt) < 200);
  goesOn = false;
  await publishing;
  while ((await both.lag('g', 'bench')) > 0) await sleep(20);
  await both.close();
  return { awayMs, publishGapMs, consumeGapMs, rejected, published };
}

function measure(broker: TestBroker): (records: number) => Result {
  const startedAt = performance.now();
  const [ownBefore, brokerBefore] = [process.cpuUsage(), cpuSeconds(broker.pid!)];
  return (records) => {
    const seconds = (performance.now() - startedAt) / 1000;
    const own = process.cpuUsage(ownBefore);
    return {
      recordsPerSecond: Math.round(records / seconds),
      records,
      seconds: round(seconds),
      cpuSeconds: round((own.user + own.system) / 1e6),
      brokerCpuSeconds: round(cpuSeconds(broker.pid!) - brokerBefore),
    };
  };
}

function percentiles(values: number[]): Result {
  values.sort((a, b) => a - b);
  const at = (share: number): number =>
    round(values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0);
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

function msSince(startedAt: number): number {
  return Math.round(performance.now() - startedAt);
}
function round(value: number): number {
  return Math.round(value * 100) / 100;
}
function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; !isSo(); i++) {
    if (i > 6000) throw new Error('expected it within a minute');
    await sleep(10);
  }
}
