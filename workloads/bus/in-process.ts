// The bus within one process (embedded, tests): topics of partitions in memory, groups that share them, and bounds instead of
// retention: a record leaves when every group of its topic has settled it; a group of one life goes with its last member. in-process topics are published by upstream paths and
// consumed by handlers; the Kafka bus of a cluster passes the same contract.ts.
import { BUS_RECORD_BYTES_MAX, BUS_TOPICS, BusFullError, BusRecordError, BusUnavailableError } from './port.ts';
import type { Bus, BusConsume, BusConsumer, BusHealth, BusRecord } from './port.ts';
import { InProcessGroup } from './in-process-group.ts';
import { appendTo, dropSettled, newPartitions } from './in-process-topic.ts';
import type { Partition } from './in-process-topic.ts';
import { sizeOf } from './record-size.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';

export interface InProcessBusOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Default 8. */
  readonly partitions?: number;
  /** Records and bytes held over all topics. Defaults: 100,000 and 64 MiB. */
  readonly recordsMax?: number;
  readonly bytesMax?: number;
  /** Records handed at once. Default 100. */
  readonly batchMax?: number;
  /** The first wait after a handler threw, doubled each time up to `backoffMaxMs`. Defaults 100 and 10,000. */
  readonly backoffMinMs?: number;
  readonly backoffMaxMs?: number;
}

/**
 * Records of a topic that are kept, for each partition, though every group has settled them: whoever asks for dead letters reads them
 * from the oldest, with a group of its own.
 */
const KEPT: Readonly<Record<string, number>> = { [BUS_TOPICS.upstreamDead]: 250 };
/** Topics that are read from the newest on only: what no group waits for is nobody's. Of others it waits for the first group. */
const UNHEARD: ReadonlySet<string> = new Set([BUS_TOPICS.broadcast]);

interface Topic {
  readonly kept: number;
  /** Whether records stay that no group waits for. */
  readonly waits: boolean;
  readonly partitions: readonly Partition[];
  readonly groups: Map<string, InProcessGroup>;
}

export function openInProcessBus(options: InProcessBusOptions): Bus {
  return new InProcessBus(options);
}

class InProcessBus implements Bus {
  readonly #options: Required<InProcessBusOptions>;
  readonly #topics = new Map<string, Topic>();
  #records = 0;
  #bytes = 0;
  #closed = false;

  constructor(options: InProcessBusOptions) {
    const defaults = { partitions: 8, recordsMax: 100_000, bytesMax: 64 * 1024 * 1024, batchMax: 100 };
    this.#options = { ...defaults, backoffMinMs: 100, backoffMaxMs: 10_000, ...options };
  }

  health(): BusHealth {
    return { reachable: !this.#closed, problem: this.#closed ? 'the bus is closed' : null };
  }

  /** Either durability is the same here: records are kept as long as the process lives. */
  publish(records: readonly BusRecord[]): Promise<void> {
    if (this.#closed) return Promise.reject(new BusUnavailableError('the bus is closed'));
    const touched = new Set<Topic>();
    let full: BusFullError | BusRecordError | null = null;
    for (const record of records) {
      full = this.#refusal(record);
      if (full !== null) break;
      const topic = this.#topic(record.topic);
      appendTo(topic.partitions, record);
      this.#records++;
      this.#bytes += sizeOf(record);
      touched.add(topic);
    }
    for (const topic of touched) {
      for (const group of topic.groups.values()) group.wake();
      if (topic.groups.size === 0) this.#release(topic);
    }
    return full === null ? Promise.resolve() : Promise.reject(full);
  }

  #refusal(record: BusRecord): BusFullError | BusRecordError | null {
    const { recordsMax, bytesMax } = this.#options;
    const size = sizeOf(record);
    if (size > BUS_RECORD_BYTES_MAX)
      return new BusRecordError(`expected a record of at most ${BUS_RECORD_BYTES_MAX} bytes, got ${size}`);
    if (this.#records + 1 > recordsMax)
      return new BusFullError(`expected at most ${recordsMax} records held, got one more`);
    const bytes = this.#bytes + size;
    return bytes > bytesMax ? new BusFullError(`expected at most ${bytesMax} bytes held, got ${bytes}`) : null;
  }

  #topic(name: string): Topic {
    const known = this.#topics.get(name);
    if (known !== undefined) return known;
    const topic = {
      kept: KEPT[name] ?? 0,
      waits: KEPT[name] === undefined && !UNHEARD.has(name),
      partitions: newPartitions(this.#options.partitions),
      groups: new Map<string, InProcessGroup>(),
    };
    this.#topics.set(name, topic);
    return topic;
  }

  consume(options: BusConsume): Promise<BusConsumer> {
    if (this.#closed) return Promise.reject(new BusUnavailableError('the bus is closed'));
    const members = options.topics.map((name) => {
      const group = this.#group(name, options);
      return { group, member: group.join(options) };
    });
    return Promise.resolve({
      stop: async () => {
        await Promise.all(members.map(({ group, member }) => group.leave(member)));
        if (options.isOfOneLife === true) for (const name of options.topics) await this.#forget(name, options.group);
      },
    });
  }

  /** A group without members that nobody comes back to holds nothing back any more. */
  async #forget(topicName: string, name: string): Promise<void> {
    const topic = this.#topic(topicName);
    const group = topic.groups.get(name);
    if (group === undefined || group.size > 0) return;
    topic.groups.delete(name);
    await group.close();
    this.#release(topic);
  }

  #group(topicName: string, { group: name, from = 'oldest' }: BusConsume): InProcessGroup {
    const topic = this.#topic(topicName);
    const known = topic.groups.get(name);
    if (known !== undefined) return known;
    const options = { ...this.#options, topic: topicName, group: name };
    const group = new InProcessGroup(options, topic.partitions, { from, onSettled: () => this.#release(topic) });
    topic.groups.set(name, group);
    return group;
  }

  /** Frees what every group of the topic has settled, but for what is kept. */
  #release(topic: Topic): void {
    if (topic.groups.size === 0 && topic.waits) return;
    topic.partitions.forEach((partition, i) => {
      const settled = Math.min(partition.end, ...[...topic.groups.values()].map((group) => group.settled(i)));
      const free = Math.min(settled, partition.end - topic.kept);
      const freed = dropSettled(partition, free);
      this.#records -= freed.records;
      this.#bytes -= freed.bytes;
    });
  }

  lag(group: string, topic: string): Promise<number> {
    const partitions = this.#topics.get(topic)?.partitions ?? [];
    const of = this.#topics.get(topic)?.groups.get(group);
    return Promise.resolve(partitions.reduce((sum, p, i) => sum + p.end - (of?.settled(i) ?? p.start), 0));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const groups = [...this.#topics.values()].flatMap((topic) => [...topic.groups.values()]);
    await Promise.all(groups.map((group) => group.close()));
  }
}
