// The bus on a Kafka of three brokers with replication, as production has it: whoever of them goes, what was acknowledged by all in-sync
// replicas is handled, and each key in its order. One load runs through all tests. Prints what it measured; SEED=n sends the same load.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import kafkajs from 'kafkajs';
import { findPart, missingPart } from '../../../e2e/setup/parts.ts';
import { seeded } from '../../link/fixtures.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { Log } from '../../runtime/log.ts';
import { BUS_TOPICS } from '../port.ts';
import type { Bus } from '../port.ts';
import { openKafkaBus } from './kafka-bus.ts';
import type { TestBroker } from './test-broker.ts';
import { TestCluster, until } from './test-cluster.ts';
import { Load } from './test-load.ts';

const skip = missingPart('kafka', 'java') ?? false;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const random = seeded(seed);
const { upstream, journal, broadcast } = BUS_TOPICS;
const BURSTS = { pauseMsMax: 300, togetherMax: 20 };
const PREFIX = 'test.push.';
const TOPICS = [upstream, journal, broadcast].map((topic) => PREFIX + topic);
/** What the buses warn of when they could not do without the broker that went. Of the rest, load alone may be the cause. */
const FAILURES = ['bus unreachable', 'bus does not take records', 'consumer ended, begins again'];
/** What the buses warned of. */
let said: { readonly message: string; readonly text: string }[] = [];
const log: Log = {
  ...silentLog,
  warn: (keys, message) => said.push({ message, text: `${message} ${JSON.stringify(keys)}` }),
};
/** What Node had to say while this file ran. */
const warnings: string[] = [];
process.on('warning', ({ name, message }) => warnings.push(`${name}: ${message}`));

function openBus(cluster: TestCluster): Bus {
  return openKafkaBus({
    brokers: cluster.brokers,
    tls: null,
    sasl: null,
    prefix: PREFIX,
    partitions: 6,
    replication: 3,
    publishTimeoutMs: 20_000,
    clock: systemClock,
    log,
    random,
  });
}

/** What roles do with a bus, all at once: two upstream roles, a gateway and a router, each with a bus of its own. */
class Roles {
  readonly loads = {
    upstream: new Load({ topic: upstream, durability: 'all', ...BURSTS, senders: 8, random }),
    // With so many senders a call to all brokers is under way at any moment, also when one of them dies.
    journal: new Load({ topic: journal, durability: 'all', pauseMsMax: 30, togetherMax: 2, senders: 8, random }),
    broadcast: new Load({ topic: broadcast, durability: 'leader', ...BURSTS, senders: 3, random }),
  };
  readonly #gateway: Bus;
  readonly #router: Bus;
  readonly #members: readonly Bus[];

  constructor(cluster: TestCluster) {
    this.#gateway = openBus(cluster);
    this.#router = openBus(cluster);
    this.#members = [openBus(cluster), openBus(cluster)];
  }

  async join(): Promise<void> {
    await Promise.all([
      ...this.#members.map((member) => this.loads.upstream.join(member, 'upstream')),
      this.loads.journal.join(this.#router, 'journal'),
      this.loads.broadcast.join(this.#gateway, 'gateway', { from: 'newest', isOfOneLife: true }),
    ]);
  }

  /** Sends while `broken` does its worst, until all go on after it; then all is settled and compared. */
  async under(t: TestContext, broken: () => Promise<void>): Promise<void> {
    const { loads } = this;
    said = [];
    try {
      loads.upstream.send(this.#gateway);
      loads.journal.send(this.#router);
      loads.broadcast.send(this.#router);
      await this.goOn();
      await broken();
      await this.goOn();
      const failures = said.filter(({ message }) => FAILURES.includes(message)).map(({ text }) => text);
      assert.deepEqual(failures, [], 'two brokers are enough: nothing is away, no consumer begins again');
    } finally {
      await Promise.all(Object.values(loads).map((load) => load.stopSending()));
      for (const [name, load] of Object.entries(loads)) t.diagnostic(`${name}: ${load.describe()}`);
      for (const { text } of said) t.diagnostic(text);
    }
    for (const [group, topic] of Object.entries({ upstream, journal, gateway: broadcast }))
      await until(`${group} to have settled all`, async () => (await this.#gateway.lag(group, topic)) === 0);
    assert.deepEqual(loads.upstream.lost(), {}, 'acknowledged upstream messages that no handler got');
    assert.deepEqual(loads.journal.lost(), {}, 'acknowledged pushes of the journal that no handler got');
    for (const load of Object.values(loads)) load.assertOrder();
  }

  /** Until each kind of publish, and each group, got on from where it is now. */
  async goOn(): Promise<void> {
    const was = Object.values(this.loads).map((load) => ({ load, acked: load.ackedCount, got: load.got.length }));
    await until('every load to go on', () =>
      was.every(({ load, acked, got }) => load.ackedCount > acked + 20 && load.got.length > got + 20),
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.#gateway, this.#router, ...this.#members].map((bus) => bus.close()));
  }
}

/** Of three, in turn, so that each still leads as many. */
function othersOf(id: number): readonly number[] {
  return [(id % 3) + 1, ((id + 1) % 3) + 1];
}

describe('the bus on three brokers', { skip }, () => {
  let cluster: TestCluster;
  let roles: Roles;
  before(async () => {
    console.log(`SEED=${seed}`);
    cluster = await TestCluster.start({ program: findPart('kafka')! });
    roles = new Roles(cluster);
    await roles.join();
  });
  after(async () => {
    await roles?.close();
    await cluster?.remove();
  });

  /** One broker goes, the others take over, all go on, and it comes back. */
  async function without(broker: TestBroker, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await broker.kill(signal);
    await cluster.untilNotLeading(broker.node.id, TOPICS);
    await Promise.all([roles.goOn(), broker.start()]);
    await cluster.untilInSync(TOPICS);
  }

  /** Each partition to another leader, and the one before back as a follower. */
  async function moveAll(topic: string): Promise<void> {
    const led = await cluster.leaders(topic);
    await cluster.move(topic, led.map(othersOf));
    await until(`${topic} to be led by others`, async () =>
      (await cluster.leaders(topic)).every((leader, partition) => leader > 0 && leader !== led[partition]),
    );
    await cluster.move(
      topic,
      led.map((leader) => [...othersOf(leader), leader]),
    );
    await until(`${topic} to be whole`, async () => (await cluster.replicas(topic)).every((count) => count === 3));
  }

  test('topics have three replicas; two must have what counts as kept, one what is only a hint', async () => {
    const { resources } = await cluster.ask((admin) =>
      admin.describeConfigs({
        includeSynonyms: false,
        resources: TOPICS.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
      }),
    );
    const least = resources.map(({ resourceName, configEntries }) => [
      resourceName,
      configEntries.find(({ configName }) => configName === 'min.insync.replicas')?.configValue,
    ]);
    assert.deepEqual(Object.fromEntries(least), {
      [PREFIX + upstream]: '2',
      [PREFIX + journal]: '2',
      [PREFIX + broadcast]: '1',
    });
    for (const topic of TOPICS) assert.deepEqual(new Set(await cluster.replicas(topic)), new Set([3]));
  });

  test('nothing is lost when partitions move to other leaders', (t) =>
    roles.under(t, async () => {
      await Promise.all(TOPICS.map(moveAll));
      await cluster.untilInSync(TOPICS);
    }));

  test('nothing is lost when a coordinator and then the controller are killed (kill -9), leaders of partitions both', (t) =>
    roles.under(t, async () => {
      for (const find of [() => cluster.coordinatorOf(`${PREFIX}upstream`), () => cluster.controller()]) {
        const victim = await find();
        assert.ok((await cluster.leaders(PREFIX + upstream)).includes(victim.node.id), 'it leads nothing');
        await without(victim, 'SIGKILL');
      }
    }));

  test('nothing is lost when all brokers are restarted in turn (SIGTERM)', (t) =>
    roles.under(t, async () => {
      for (const node of cluster.nodes) await without(node, 'SIGTERM');
    }));
});

test('Node has nothing to warn of', () => assert.deepEqual(warnings, []));
