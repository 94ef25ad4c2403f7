// Starts a real Kafka of several brokers for tests, each a process of its own (test-broker.ts) that is both broker and controller, and
// tells who of them does what, so that a test kills the one it means. A start of three takes about 5 s on two cores.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import type { Admin } from 'kafkajs';
import { lastingPort } from '../../runtime/free-port.ts';
import { calmRequestQueues } from './request-queue.ts';
import { archiveClasses } from './test-archive.ts';
import { newClusterId, TestBroker } from './test-broker.ts';

const HOST = '127.0.0.1';
const LOOK_MS = 50;
const WAIT_MS = 45_000;
const OFFSETS = '__consumer_offsets';
/** As test-broker.ts sets it: offsets.topic.num.partitions. */
const OFFSETS_PARTITIONS = 4;

export interface TestClusterOptions {
  /** The launcher: findPart('kafka') of e2e/setup/parts.ts. */
  readonly program: string;
  readonly size?: number;
  /** Lines of server.properties on top of those of test-broker.ts and of replication. */
  readonly properties?: readonly string[];
}

export class TestCluster {
  readonly nodes: TestBroker[] = [];

  /** Resolves once every broker is one of the cluster. What was started is gone when it rejects. */
  static async start(options: TestClusterOptions): Promise<TestCluster> {
    const { program, size = 3, properties = [] } = options;
    await archiveClasses(program);
    const ports: number[] = [];
    while (ports.length < 2 * size) ports.push(await lastingPort(HOST));
    const voters = Array.from({ length: size }, (_, i) => `${i + 1}@${HOST}:${ports[size + i]!}`).join(',');
    const clusterId = newClusterId();
    const cluster = new TestCluster();
    try {
      for (let i = 0; i < size; i++) {
        const node = { id: i + 1, clusterId, port: ports[i]!, controllerPort: ports[size + i]!, voters };
        const broker = { program, host: HOST, properties: [...replicated(size), ...properties], node };
        cluster.nodes.push(await TestBroker.make(broker, cluster.nodes[0]));
      }
      await Promise.all(cluster.nodes.map((node) => node.start()));
      await cluster.#untilAll(size);
      return cluster;
    } catch (error) {
      await cluster.remove();
      throw error;
    }
  }

  get brokers(): readonly string[] {
    return this.nodes.flatMap(({ brokers }) => brokers);
  }

  node(id: number): TestBroker {
    const found = this.nodes.find(({ node }) => node.id === id);
    if (found === undefined) throw new Error(`expected a node of this cluster, got ${id}`);
    return found;
  }

  /** Asks over a connection of its own, again while whoever is asked is on its way out or in. */
  async ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    const brokers = this.nodes.filter(({ pid }) => pid !== undefined).flatMap((node) => node.brokers);
    calmRequestQueues();
    const lastMs = performance.now() + WAIT_MS;
    for (;;) {
      const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING, retry: { retries: 0 } }).admin();
      try {
        await admin.connect();
        return await question(admin);
      } catch (error) {
        if (performance.now() > lastMs) throw error;
        await look();
      } finally {
        await admin.disconnect().catch(() => undefined);
      }
    }
  }

  /** The leader of each partition, in their order. */
  async leaders(topic: string): Promise<readonly number[]> {
    const partitions = await this.#partitions([topic]);
    return partitions.toSorted((a, b) => a.partitionId - b.partitionId).map(({ leader }) => leader);
  }

  /** How many replicas each partition has. */
  async replicas(topic: string): Promise<readonly number[]> {
    return (await this.#partitions([topic])).map(({ replicas }) => replicas.length);
  }

  /** Gives each partition these replicas, in their order; one that is no longer among them leads no longer. */
  async move(topic: string, to: readonly (readonly number[])[]): Promise<void> {
    const partitionAssignment = to.map((replicas, partition) => ({ partition, replicas: [...replicas] }));
    await this.ask((admin) => admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment }] }));
  }

  /** Who keeps the members and offsets of a group: the leader of the group's partition of the offsets. */
  async coordinatorOf(group: string): Promise<TestBroker> {
    const leaders = await this.leaders(OFFSETS);
    return this.node(leaders[(javaHash(group) & 0x7fffffff) % OFFSETS_PARTITIONS]!);
  }

  /** Who leads the controllers, by what they wrote down of their last vote. */
  controller(): TestBroker {
    const votes = this.nodes.flatMap(({ dir }) => {
      const path = join(dir, 'data', '__cluster_metadata-0', 'quorum-state');
      return existsSync(path)
        ? [JSON.parse(readFileSync(path, 'utf8')) as { leaderId: number; leaderEpoch: number }]
        : [];
    });
    const [last] = votes.filter(({ leaderId }) => leaderId > 0).toSorted((a, b) => b.leaderEpoch - a.leaderEpoch);
    if (last === undefined) throw new Error('expected a vote for a controller, got none');
    return this.node(last.leaderId);
  }

  /** Until every replica of these topics, and of the offsets of groups, has all there is: the next broker may go. */
  async untilInSync(topics: readonly string[]): Promise<void> {
    await until('all replicas to be in sync', async () => {
      const all = await this.#partitions([OFFSETS, ...topics]);
      return all.every(({ isr, replicas, leader }) => leader > 0 && isr.length === replicas.length);
    });
  }

  /** Until no partition of these topics is led by that broker. */
  async untilNotLeading(id: number, topics: readonly string[]): Promise<void> {
    await until(`broker ${id} to lead nothing`, async () => {
      const all = await this.#partitions(topics);
      return all.every(({ leader }) => leader > 0 && leader !== id);
    });
  }

  /** Ends every broker, also after a failure. */
  async remove(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.remove()));
  }

  /** Of all of these topics, by one connection: brokers and test share two cores. */
  async #partitions(names: readonly string[]) {
    const { topics } = await this.ask((admin) => admin.fetchTopicMetadata({ topics: [...names] }));
    return topics.flatMap(({ partitions }) => partitions);
  }

  async #untilAll(size: number): Promise<void> {
    await until(`${size} brokers`, async () => {
      const { brokers } = await this.ask((admin) => admin.describeCluster());
      return brokers.length === size;
    });
  }
}

/** What one broker has as 1: kept by all, and by two of three before it counts as kept. */
function replicated(size: number): readonly string[] {
  const most = Math.floor(size / 2) + 1;
  return [
    `default.replication.factor=${size}`,
    `min.insync.replicas=${most}`,
    `offsets.topic.replication.factor=${size}`,
    `transaction.state.log.replication.factor=${size}`,
    `transaction.state.log.min.isr=${most}`,
    `share.coordinator.state.topic.replication.factor=${size}`,
    `share.coordinator.state.topic.min.isr=${most}`,
    // A replica that lags is out of the in-sync ones after this, and a controller is voted out.
    'replica.lag.time.max.ms=3000',
    'controller.quorum.election.timeout.ms=500',
    'controller.quorum.fetch.timeout.ms=1000',
    // Partitions stay where they went until a test moves them.
    'auto.leader.rebalance.enable=false',
  ];
}

/** As Java hashes a string. */
function javaHash(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(31, hash) + text.charCodeAt(i)) | 0;
  return hash;
}

export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const lastMs = performance.now() + WAIT_MS;
  while (!(await isSo())) {
    if (performance.now() > lastMs) throw new Error(`expected ${what} within ${WAIT_MS} ms`);
    await look();
  }
}

function look(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}
