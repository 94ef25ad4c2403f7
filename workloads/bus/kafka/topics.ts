// Topics as this cluster makes them: their names on the brokers, their partitions and replicas, and how long what is of no use later is
// kept. Whoever publishes to or consumes a topic has it made first; one that is there stays as it is.
import type { Admin } from 'kafkajs';
import { BUS_TOPICS } from '../port.ts';
import type { KafkaParts } from './client.ts';
import type { Reach } from './reach.ts';

/** ms. The others keep what the brokers are set to (7 days where nothing is). */
const RETENTION: Readonly<Record<string, number>> = {
  [BUS_TOPICS.broadcast]: 3600_000, // a hint of yesterday is of no use: the streams have what it was about
  [BUS_TOPICS.upstreamDead]: 30 * 24 * 3600_000,
};

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
    const made = await this.#reach.ask(
      async (admin) => (await isThere(admin, name)) || (await this.#create(admin, topic)),
    );
    if (made === 'made') log.info({ topic: name, partitions, replication }, 'topic made');
  }

  /** Two roles at once: one makes it, the other finds it made. */
  async #create(admin: Admin, topic: string): Promise<'made' | 'there'> {
    const { partitions, replication } = this.#parts;
    const retention = RETENTION[topic];
    const made = await admin.createTopics({
      waitForLeaders: false,
      topics: [
        {
          topic: this.nameOf(topic),
          numPartitions: partitions,
          replicationFactor: replication,
          // As producers send them: brokers that recompress could choose a codec that consumers lack.
          configEntries: [
            { name: 'compression.type', value: 'producer' },
            ...(retention === undefined ? [] : [{ name: 'retention.ms', value: `${retention}` }]),
          ],
        },
      ],
    });
    await this.#untilThere(admin, this.nameOf(topic));
    return made ? 'made' : 'there';
  }

  /** Brokers hear of a new topic a moment after it was made. */
  async #untilThere(admin: Admin, name: string): Promise<void> {
    const { clock, publishTimeoutMs } = this.#parts;
    const lastMs = clock.monotonicMs() + publishTimeoutMs;
    while (!(await isThere(admin, name))) {
      if (clock.monotonicMs() > lastMs) throw new Error(`expected ${name} to be there within ${publishTimeoutMs} ms`);
      await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve));
    }
  }
}

const LOOK_MS = 20;
/** Not there, or not yet: its partitions have no leader. */
const NOT_THERE = new Set<unknown>(['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE']);

/** Asked first, so that where topics are there already no right to make them is needed. */
async function isThere(admin: Admin, name: string): Promise<boolean> {
  try {
    await admin.fetchTopicMetadata({ topics: [name] });
    return true;
  } catch (error) {
    if (NOT_THERE.has((error as { type?: unknown }).type)) return false;
    throw error;
  }
}
