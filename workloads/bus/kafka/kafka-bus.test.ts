// The bus on a real Kafka: the contract, and what only a broker between can do.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import kafkajs from 'kafkajs';
import { findPart, missingPart } from '../../../e2e/setup/parts.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { Log } from '../../runtime/log.ts';
import { aCollector, aRecord, busContract, valueOf } from '../contract.ts';
import { BusFullError, busState, BusUnavailableError } from '../port.ts';
import type { Bus } from '../port.ts';
import type { KafkaTuning } from './client.ts';
import { openKafkaBus } from './kafka-bus.ts';
import { TestBroker } from './test-broker.ts';

const skip = missingPart('kafka', 'java') ?? null;
let broker: TestBroker;
let opened = 0;
/** What Node had to say while this file ran. */
const warnings: string[] = [];
process.on('warning', ({ name, message }) => warnings.push(`${name}: ${message}`));

before(async () => {
  if (skip === null) broker = await TestBroker.start({ program: findPart('kafka')! });
});
after(async () => {
  if (skip === null) await broker.remove();
});

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** A bus with names of its own on the broker of this file. */
interface BusTestOptions {
  prefix?: string;
  publishTimeoutMs?: number;
  replication?: number;
  log?: Log;
  tuning?: Partial<KafkaTuning>;
}
function openBus(options: BusTestOptions = {}): Bus {
  const {
    prefix = `t${++opened}.`,
    publishTimeoutMs = 20_000,
    replication = 1,
    log = silentLog,
    tuning = {},
  } = options;
  return openKafkaBus({
    brokers: broker.brokers,
    tls: null,
    sasl: null,
    prefix,
    partitions: 8,
    replication,
    publishTimeoutMs,
    clock: systemClock,
    log,
    random: Math.random,
    tuning,
  });
}

busContract({
  name: 'kafka',
  skip,
  open: () => Promise.resolve({ bus: openBus(), advance: wait }),
  restart: async () => {
    await broker.kill();
    await broker.start();
  },
});

const yes = (): boolean => true;
const no = (): boolean => false;

describe('the bus on Kafka', { skip: skip ?? false }, () => {
  const topic = 'pushcluster.test';

  async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    for (let i = 0; !(await isSo()); i++) {
      if (i > 600) throw new Error(`never came: ${what}`);
      await wait(25);
    }
  }

  test('reads what others compressed with gzip, and what it compressed itself with zstd', async () => {
    const bus = openBus({ prefix: 'codecs.' });
    const to = aCollector();
    await bus.consume({ topics: [topic], group: 'g', handler: to.handler });
    const long = 'a text that repeats itself '.repeat(200);
    await bus.publish([aRecord('k', long)]);
    const other = new kafkajs.Kafka({ brokers: [...broker.brokers], logLevel: kafkajs.logLevel.NOTHING }).producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await other.connect();
    const messages = [{ key: 'k', value: `${long}!` }];
    await other.send({ topic: `codecs.${topic}`, compression: kafkajs.CompressionTypes.GZIP, messages });
    await to.until(2);
    assert.deepEqual(to.got.map(valueOf), [long, `${long}!`]);
    await other.disconnect();
    await bus.close();
  });

  test('says which codec it lacks instead of dying, and goes on once such records are gone', async () => {
    const admin = new kafkajs.Kafka({ brokers: [...broker.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
    await admin.connect();
    const name = `lz4.${topic}`;
    const compression = (value: string) => [{ name: 'compression.type', value }];
    await admin.createTopics({ topics: [{ topic: name, numPartitions: 1, configEntries: compression('lz4') }] });
    const bus = openBus({ prefix: 'lz4.' });
    const to = aCollector();
    await bus.publish([aRecord('k', 'a text that repeats itself '.repeat(200))]);
    await bus.consume({ topics: [topic], group: 'g', handler: to.handler });
    await until('the problem', () => bus.health().problem !== null);
    assert.match(bus.health().problem ?? '', /group g: .*LZ4/);
    assert.equal(bus.health().reachable, true);
    assert.deepEqual(to.got, []);
    assert.equal(await bus.lag('g', topic), 1);
    const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name, configEntries: compression('producer') }];
    await admin.alterConfigs({ validateOnly: false, resources });
    await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '1' }] });
    await bus.publish([aRecord('k', 'after')]);
    await to.until(1);
    assert.deepEqual(to.got.map(valueOf), ['after']);
    await until('the problem to be over', () => bus.health().problem === null);
    await bus.close();
    await admin.disconnect();
  });

  test('more replicas than there are brokers: says so and what to set, in health too, and is not away for it', async () => {
    const said: string[] = [];
    const log: Log = { ...silentLog, warn: (_, message) => said.push(message) };
    const bus = openBus({ prefix: 'many.', replication: 3, log, tuning: { probeAwayMs: 100 } });
    const problem =
      /many\.pushcluster\.test was not made: INVALID_REPLICATION_FACTOR.*3 replicas.*1 brokers.*replicationFactor/;
    for (let i = 0; i < 3; i++) {
      await assert.rejects(bus.publish([aRecord('k', 'never')]), { code: 'bus-unavailable', message: problem });
      await until('it to be reached', () => bus.health().reachable);
      assert.match(bus.health().problem ?? '', problem);
      assert.equal(busState(bus), 'away', 'whoever looks from outside is told');
      await wait(120);
    }
    assert.deepEqual(said, ['bus does not take records'], 'once; it does not go away and come back');
    const admin = new kafkajs.Kafka({ brokers: [...broker.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: `many.${topic}`, numPartitions: 1, replicationFactor: 1 }] });
    await until('it to take records', () => bus.publish([aRecord('k', 'kept')]).then(yes, no));
    assert.deepEqual(bus.health(), { reachable: true, problem: null });
    await admin.disconnect();
    await bus.close();
  });

  test('between two tries of what it refuses, brokers are not asked', async () => {
    const bus = openBus({ prefix: 'seldom.', replication: 3, tuning: { probeAwayMs: 60_000 } });
    await assert.rejects(bus.publish([aRecord('k', 'never')]), BusUnavailableError);
    const startedAt = performance.now();
    await assert.rejects(bus.publish([aRecord('k', 'nor this')]), /INVALID_REPLICATION_FACTOR/);
    assert.ok(performance.now() - startedAt < 5, 'it asked, though it knew');
    await bus.close();
  });

  test('replicas as the brokers are set, where none are asked for', async () => {
    const bus = openBus({ prefix: 'theirs.', replication: 0 });
    const to = aCollector();
    await bus.publish([aRecord('k', 'kept')]);
    await bus.consume({ topics: [topic], group: 'g', handler: to.handler });
    await to.until(1);
    await bus.close();
  });

  test('a topic that is there and keeps less than asked for is used, and said once', async () => {
    const made = openBus({ prefix: 'less.' });
    await made.publish([aRecord('k', 'by one')]);
    await made.close();
    const said: unknown[] = [];
    const log: Log = { ...silentLog, warn: (keys, message) => said.push([message, keys]) };
    const bus = openBus({ prefix: 'less.', replication: 3, log });
    await bus.publish([aRecord('k', 'by three')]);
    await bus.publish([aRecord('k', 'again')]);
    const keys = { topic: `less.${topic}`, replicas: 1, replicasAsked: 3, minInSync: 1, minInSyncAsked: 2 };
    assert.deepEqual(said, [['topic keeps its records on fewer brokers than asked for', keys]]);
    await bus.close();
  });

  test('takes bytes up to its limit and rejects the next publish with BusFullError, until some are published', async () => {
    const bus = openBus({ tuning: { waitingBytesMax: 3000 } });
    const record = { topic, key: 'k', headers: {}, value: Buffer.alloc(999) };
    const fit = [1, 2, 3].map(() => bus.publish([record]));
    await assert.rejects(bus.publish([{ ...record, key: '', value: Buffer.alloc(1) }]), BusFullError);
    await Promise.all(fit);
    await bus.publish([record]);
    await bus.close();
  });

  test('rejects in time while no broker answers, at once after that, and begins by itself when one is there', async () => {
    const bus = openBus({ publishTimeoutMs: 1000, tuning: { joinWaitMs: 300, probeMs: 200, probeAwayMs: 200 } });
    await bus.publish([aRecord('k', 'before')]);
    await broker.kill();
    const startedAt = performance.now();
    await assert.rejects(bus.publish([aRecord('k', 'lost')]), BusUnavailableError);
    assert.ok(performance.now() - startedAt < 3000);
    await until('it to know', () => !bus.health().reachable);
    const away = performance.now();
    await assert.rejects(bus.publish([aRecord('k', 'lost too')]), BusUnavailableError);
    assert.ok(performance.now() - away < 20, 'it tried, though it knew');
    const to = aCollector();
    await bus.consume({ topics: [topic], group: 'late', handler: to.handler });
    await broker.start();
    await until('it to know', () => bus.health().reachable);
    // A broker that is back needs a moment more for its first producer; a second is short on a busy machine.
    await until('it to take records', () => bus.publish([aRecord('k', 'after')]).then(yes, no));
    await until('the record after', () => to.got.map(valueOf).includes('after'));
    assert.equal(to.got.map(valueOf)[0], 'before');
    await bus.close();
  });

  test('what a member has not settled when it leaves goes to the next one', async () => {
    const prefix = 'heirs.';
    const first = openBus({ prefix });
    const stuck = Promise.withResolvers<void>();
    let held = 0;
    const never = (): Promise<void> => {
      held++;
      return stuck.promise;
    };
    await first.publish(['a', 'b', 'c'].map((key) => aRecord(key, key)));
    await first.consume({ topics: [topic], group: 'g', handler: never });
    await until('it to hold them', () => held > 0);
    const second = openBus({ prefix });
    const to = aCollector();
    await second.consume({ topics: [topic], group: 'g', handler: to.handler });
    stuck.reject(new Error('it never handled them'));
    await first.close();
    await to.until(3);
    assert.deepEqual(new Set(to.got.map(valueOf)), new Set(['a', 'b', 'c']));
    await second.close();
  });
});

test('Node has nothing to warn of: kafkajs sets no timer into the past', () => assert.deepEqual(warnings, []));
