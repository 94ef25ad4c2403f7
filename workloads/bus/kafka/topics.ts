// Topics as this cluster makes them: their names on the brokers, their partitions and replicas, and how long what is of no use later is
// kept. Whoever publishes to or consumes a topic has it made first; one that is there stays as it is.
import kafkajs from 'kafkajs';
import type { Admin, ITopicMetadata } from 'kafkajs';
import { BUS_TOPICS } from '../port.ts';
import { describeKafkaError } from './client.ts';
import type { KafkaParts } from './client.ts';
import type { Reach } from './reach.ts';

/** ms. The others keep what the brokers are set to (7 days where nothing is). */
const RETENTION: Readonly<Record<string, number>> = {
  [BUS_TOPICS.broadcast]: 3600_000, // a hint of yesterday is of no use: the streams have what it was about
  [BUS_TOPICS.upstreamDead]: 30 * 24 * 3600_000,
};

/** Published with durability `leader`: one in-sync replica is enough. */
const HINTS: ReadonlySet<string> = new Set([BUS_TOPICS.broadcast]);

/**
 * How many replicas must have a record before it counts as kept: half of them, rounded up, so that one of three brokers may be away and
 * nothing that was acknowledged is on one alone. Null: as the brokers are set, where the replicas are too.
 */
export function leastInSync(topic: string, replication: number): number | null {
  if (HINTS.has(topic)) return 1;
  return replication < 1 ? null : Math.ceil(replication / 2);
}

export class Topics {
  readonly #parts: KafkaParts;
  readonly #reach: Reach;
  readonly #made = new Map<string, Promise<void>>();

  constructor(parts: KafkaParts, reach: Reach) {
    this.#parts = parts;
    this.#reach = reach;
  }

  /** The name on the brokers. */
  nameOf(topic: string): string {
    return this.#parts.prefix + topic;
  }
  /** And back. */
  topicOf(name: string): string {
    return name.slice(this.#parts.prefix.length);
  }

  /** Resolves once they are there. Rejects with kafkajs's errors; then the next call tries again. */
  async ensure(topics: Iterable<string>): Promise<void> {
    await Promise.all([...topics].map((topic) => this.#ensure(topic)));
  }

  #ensure(topic: string): Promise<void> {
    const known = this.#made.get(topic);
    if (known !== undefined) return known;
    const making = this.#make(topic);
    this.#made.set(topic, making);
    making.catch(() => this.#made.delete(topic));
    return making;
  }

  async #make(topic: string): Promise<void> {
    const { partitions, replication, log } = this.#parts;
    const name = this.nameOf(topic);
    const made = await this.#reach.ask(async (admin) => {
      const there = await findTopic(admin, name);
      if (there === null) return await this.#create(admin, topic);
      await this.#compare(admin, topic, there);
      return 'there';
    });
    if (made === 'made') log.info({ topic: name, partitions, replication }, 'topic made');
  }

  /** Two roles at once: one makes it, the other finds it made. */
  async #create(admin: Admin, topic: string): Promise<'made' | 'there'> {
    const { partitions, replication } = this.#parts;
    const retention = RETENTION[topic];
    const least = leastInSync(topic, replication);
    try {
      const made = await admin.createTopics({
        waitForLeaders: false,
        topics: [
          {
            topic: this.nameOf(topic),
            numPartitions: partitions,
            replicationFactor: replication === 0 ? AS_BROKERS_SAY : replication,
            // As producers send them: brokers that recompress could choose a codec that consumers lack.
            configEntries: [
              { name: 'compression.type', value: 'producer' },
              ...(least === null ? [] : [{ name: MIN_IN_SYNC, value: `${least}` }]),
              ...(retention === undefined ? [] : [{ name: 'retention.ms', value: `${retention}` }]),
            ],
          },
        ],
      });
      await this.#untilThere(admin, this.nameOf(topic));
      return made ? 'made' : 'there';
    } catch (error) {
      throw await this.#explained(admin, topic, error);
    }
  }

  /** kafkajs says `Topic creation errors`, and the broker that a number is wrong. */
  async #explained(admin: Admin, topic: string, error: unknown): Promise<unknown> {
    const [first] = error instanceof kafkajs.KafkaJSAggregateError ? error.errors : [];
    if (first === undefined) return error;
    const { type } = first as { type?: unknown };
    const problem = `${this.nameOf(topic)} was not made: ${describeKafkaError(first)}`;
    if (type !== 'INVALID_REPLICATION_FACTOR') return new Error(problem, { cause: first });
    const { brokers } = await admin.describeCluster();
    const asked = `${this.#parts.replication} replicas asked for, ${brokers.length} brokers there`;
    return new Error(`${problem} (${asked}: ${SET_BY})`, { cause: first });
  }

  /** A topic that is there stays as it is; that it keeps less than was asked for is said once. Of hints nothing is asked. */
  async #compare(admin: Admin, topic: string, there: ITopicMetadata): Promise<void> {
    const { replication, log } = this.#parts;
    const least = leastInSync(topic, replication);
    if (least === null || HINTS.has(topic)) return;
    const replicas = Math.min(...there.partitions.map((partition) => partition.replicas.length));
    const inSync = await minInSync(admin, there.name).catch(() => null); // the right to read it may be missing
    if (replicas >= replication && (inSync === null || inSync >= least)) return;
    const keys = { topic: there.name, replicas, replicasAsked: replication, minInSync: inSync, minInSyncAsked: least };
    log.warn(keys, 'topic keeps its records on fewer brokers than asked for');
  }

  /** Brokers hear of a new topic a moment after it was made. */
  async #untilThere(admin: Admin, name: string): Promise<void> {
    const { clock, publishTimeoutMs } = this.#parts;
    const lastMs = clock.monotonicMs() + publishTimeoutMs;
    while ((await findTopic(admin, name)) === null) {
      if (clock.monotonicMs() > lastMs) throw new Error(`expected ${name} to be there within ${publishTimeoutMs} ms`);
      await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve));
    }
  }
}

const LOOK_MS = 20;
const MIN_IN_SYNC = 'min.insync.replicas';
/** What brokers take for their own default.replication.factor. */
const AS_BROKERS_SAY = -1;
const SET_BY = 'bus.kafka.replicationFactor of the PushCluster, or PUSHCLUSTER_BUS_REPLICATION';
/** Not there, or not yet: its partitions have no leader. */
const NOT_THERE = new Set<unknown>(['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE']);

/** Asked first, so that where topics are there already no right to make them is needed. Null: it is not. */
async function findTopic(admin: Admin, name: string): Promise<ITopicMetadata | null> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [name] });
    return topics[0] ?? null;
  } catch (error) {
    if (NOT_THERE.has((error as { type?: unknown }).type)) return null;
    throw error;
  }
}

async function minInSync(admin: Admin, name: string): Promise<number> {
  const resource = { type: kafkajs.ConfigResourceTypes.TOPIC, name, configNames: [MIN_IN_SYNC] };
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] });
  return Number(resources[0]?.configEntries[0]?.configValue);
}
