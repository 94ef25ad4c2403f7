// The bus on Kafka, by kafkajs: publishers for each durability, a GroupConsumer for each `consume`, lag by admin requests. What kafkajs
// cannot do is written down in ../README.md; the port stays narrow so that another client can take its place.
import { BusUnavailableError } from '../port.ts';
import type { Bus, BusConsume, BusConsumer, BusHealth, BusRecord } from '../port.ts';
import { describeKafkaError, KAFKA_TUNING } from './client.ts';
import type { KafkaBusOptions, KafkaParts } from './client.ts';
import { GroupConsumer } from './group-consumer.ts';
import { Publisher } from './publisher.ts';
import { Reach } from './reach.ts';
import { Topics } from './topics.ts';

/** Opens it at once; connections come with the first use. */
export function openKafkaBus(options: KafkaBusOptions): Bus {
  return new KafkaBus({ ...options, tuning: { ...KAFKA_TUNING, ...options.tuning } });
}

class KafkaBus implements Bus {
  readonly #parts: KafkaParts;
  readonly #reach: Reach;
  readonly #topics: Topics;
  readonly #publishers: Readonly<Record<'all' | 'leader', Publisher>>;
  readonly #consumers = new Set<GroupConsumer>();
  #closing: Promise<void> | null = null;

  constructor(parts: KafkaParts) {
    this.#parts = parts;
    this.#reach = new Reach(parts);
    this.#topics = new Topics(parts, this.#reach);
    const of = this.#of();
    this.#publishers = { all: new Publisher(of, 'all'), leader: new Publisher(of, 'leader') };
  }

  #of(): { parts: KafkaParts; reach: Reach; topics: Topics } {
    return { parts: this.#parts, reach: this.#reach, topics: this.#topics };
  }

  publish(records: readonly BusRecord[], durability: 'all' | 'leader' = 'all'): Promise<void> {
    return this.#publishers[durability].publish(records);
  }

  async consume(options: BusConsume): Promise<BusConsumer> {
    if (this.#closing !== null) throw new BusUnavailableError('the bus is closed');
    const consumer = new GroupConsumer(this.#of(), options);
    this.#consumers.add(consumer);
    await consumer.start();
    return {
      stop: async () => {
        await consumer.stop();
        this.#consumers.delete(consumer);
      },
    };
  }

  /** Two requests to the brokers. Rejects with BusUnavailableError. */
  async lag(group: string, topic: string): Promise<number> {
    if (this.#closing !== null) throw new BusUnavailableError('the bus is closed');
    const name = this.#topics.nameOf(topic);
    try {
      await this.#topics.ensure([topic]);
      return await this.#reach.askPatiently(async (admin) => {
        const settled = await admin.fetchOffsets({ groupId: this.#parts.prefix + group, topics: [name] });
        const ends = await admin.fetchTopicOffsets(name);
        const by = new Map(
          settled.flatMap(({ partitions }) => partitions.map((row) => [row.partition, Number(row.offset)])),
        );
        // A partition that the group never settled anything of counts from its oldest record.
        return ends.reduce(
          (sum, { partition, high, low }) => sum + Number(high) - Math.max(Number(low), by.get(partition) ?? -1),
          0,
        );
      });
    } catch (error) {
      throw new BusUnavailableError(`lag not read: ${describeKafkaError(error)}`, { cause: error });
    }
  }

  health(): BusHealth {
    return this.#reach.health();
  }

  close(): Promise<void> {
    this.#closing ??= Promise.resolve().then(() => this.#close());
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { all, leader } = this.#publishers;
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    await Promise.all([all.close(), leader.close()]);
    await this.#reach.close();
  }
}
