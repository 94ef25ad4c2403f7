// The bus within one process (embedded, tests): topics of partitions in memory, groups that share them, and bounds instead of
// retention: a record leaves when every group of its topic has settled it. in-process topics are published by upstream paths and
// consumed by handlers; the Kafka bus of a cluster passes the same contract.ts.
import { BusFullError, BusUnavailableError } from './port.ts';
import type { Bus, BusConsumer, BusHealth, BusHandler, BusRecord } from './port.ts';
import { InProcessGroup } from './in-process-group.ts';
import { appendTo, dropSettled, newPartitions, sizeOf } from './in-process-topic.ts';
import type { Partition } from './in-process-topic.ts';
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

interface Topic {
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

  publish(records: readonly BusRecord[]): Promise<void> {
    if (this.#closed) return Promise.reject(new BusUnavailableError('the bus is closed'));
    const touched = new Set<Topic>();
    let full: BusFullError | null = null;
    for (const record of records) {
      full = this.#refusal(record);
      if (full !== null) break;
      const topic = this.#topic(record.topic);
      appendTo(topic.partitions, record);
      this.#records++;
      this.#bytes += sizeOf(record);
      touched.add(topic);
    }
    for (const topic of touched) for (const group of topic.groups.values()) group.wake();
    return full === null ? Promise.resolve() : Promise.reject(full);
  }

  #refusal(record: BusRecord): BusFullError | null {
    const { recordsMax, bytesMax } = this.#options;
    if (this.#records + 1 > recordsMax)
      return new BusFullError(`expected at most ${recordsMax} records held, got one more`);
    const bytes = this.#bytes + sizeOf(record);
    return bytes > bytesMax ? new BusFullError(`expected at most ${bytesMax} bytes held, got ${bytes}`) : null;
  }

  #topic(name: string): Topic {
    const known = this.#topics.get(name);
    if (known !== undefined) return known;
    const topic = { partitions: newPartitions(this.#options.partitions), groups: new Map<string, InProcessGroup>() };
    this.#topics.set(name, topic);
    return topic;
  }

  consume(options: { topics: readonly string[]; group: string; handler: BusHandler }): Promise<BusConsumer> {
    if (this.#closed) return Promise.reject(new BusUnavailableError('the bus is closed'));
    const members = options.topics.map((name) => {
      const group = this.#group(name, options.group);
      return { group, member: group.join(options.handler) };
    });
    return Promise.resolve({
      stop: async () => {
        await Promise.all(members.map(({ group, member }) => group.leave(member)));
      },
    });
  }

  #group(topicName: string, name: string): InProcessGroup {
    const topic = this.#topic(topicName);
    const known = topic.groups.get(name);
    if (known !== undefined) return known;
    const group = new InProcessGroup({ ...this.#options, topic: topicName, group: name }, topic.partitions, () =>
      this.#release(topic),
    );
    topic.groups.set(name, group);
    return group;
  }

  /** Frees what every group of the topic has settled. */
  #release(topic: Topic): void {
    topic.partitions.forEach((partition, i) => {
      const settled = Math.min(...[...topic.groups.values()].map((group) => group.settled(i)));
      const freed = dropSettled(partition, settled);
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
