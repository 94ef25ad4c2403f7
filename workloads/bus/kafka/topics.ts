// Topics as this cluster makes them: their names on the brokers, their partitions and replicas, and how long what is of no use later is
// kept. Whoever publishes to or consumes a topic has it made first; one that is there stays as it is.
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
    const retention = RETENTION[topic];
    const made = await this.#reach.ask((admin) =>
      admin.createTopics({
        waitForLeaders: true,
        topics: [
          {
            topic: name,
            numPartitions: partitions,
            replicationFactor: replication,
            // As producers send them: brokers that recompress could choose a codec that consumers lack.
            configEntries: [
              { name: 'compression.type', value: 'producer' },
              ...(retention === undefined ? [] : [{ name: 'retention.ms', value: `${retention}` }]),
            ],
          },
        ],
      }),
    );
    if (made) log.info({ topic: name, partitions, replication }, 'topic made');
  }
}
