// One member of a consumer group that is kept alive: it joins, hands each partition's records to a PartitionRun, and when kafkajs gives up
// (a broker gone for long, a batch in a codec it lacks) it says so and begins again with a client of its own after a jittered wait.
import type { Consumer, EachBatchPayload } from 'kafkajs';
import type { BusConsume, BusConsumer } from '../port.ts';
import { describeKafkaError, newKafka, retriesFor } from './client.ts';
import type { KafkaParts } from './client.ts';
import { PartitionRun } from './partition-run.ts';
import type { PartitionHost, PartitionPlace } from './partition-run.ts';
import type { Reach } from './reach.ts';
import type { Topics } from './topics.ts';

/** Waits between two lives: doubled from the first to the last, jittered by half, back to the first after a fetch that worked. */
const AGAIN_MIN_MS = 250;
const AGAIN_MAX_MS = 10_000;
/** As long as it keeps trying it keeps its place in the group; a new life has to wait until the one before is out of it. */
const PATIENCE_MS = 60_000;
/** A broker that is away must not hold up who stops. */
const LEAVE_MS = 3000;

export class GroupConsumer implements BusConsumer {
  readonly #parts: KafkaParts;
  readonly #reach: Reach;
  readonly #topics: Topics;
  readonly #consume: BusConsume;
  readonly #host: PartitionHost;
  readonly #runs = new Map<string, PartitionRun>();
  /** Of a group that starts behind the newest record: where that was, by partition, until it is committed. */
  #starts: ReadonlyMap<string, PartitionPlace & { readonly offset: number }> | null = null;
  #consumer: Consumer | null = null;
  #lives = 0;
  #failures = 0;
  #stopping: Promise<void> | null = null;
  #cancelAgain: () => void = () => {};
  readonly #joined = Promise.withResolvers<void>();

  constructor(of: { parts: KafkaParts; reach: Reach; topics: Topics }, consume: BusConsume) {
    this.#parts = of.parts;
    this.#reach = of.reach;
    this.#topics = of.topics;
    this.#consume = consume;
    this.#host = {
      parts: of.parts,
      consume,
      isStopping: () => this.#stopping !== null,
      commit: (place, next) => this.#commit([{ ...place, offset: next }]),
      pause: ({ topic, partition }) =>
        this.#consumer?.pause([{ topic: this.#topics.nameOf(topic), partitions: [partition] }]),
      resume: (place, next) => this.#resume(place, next),
    };
  }

  /** Resolves at the first assignment, or after joinWaitMs while the bus is away. */
  async start(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const cancel = this.#parts.clock.after(this.#parts.tuning.joinWaitMs, late.resolve);
    void this.#live();
    await Promise.race([this.#joined.promise, late.promise]);
    cancel();
  }

  stop(): Promise<void> {
    this.#stopping ??= Promise.resolve().then(() => this.#stop());
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#cancelAgain();
    await Promise.all([...this.#runs.values()].map((run) => run.stop()));
    await this.#end(this.#consumer);
    this.#reach.trouble(this.#who, null);
  }

  get #who(): string {
    return `group ${this.#consume.group}`;
  }

  /** One life: from a new client to the join. What happens afterwards comes by events. */
  async #live(): Promise<void> {
    const life = ++this.#lives;
    const { tuning } = this.#parts;
    const { topics, group } = this.#consume;
    try {
      await this.#topics.ensure(topics);
      await this.#findStarts();
      if (this.#stopping !== null) return;
      const consumer = newKafka(this.#parts, 'consumer', PATIENCE_MS).consumer({
        groupId: this.#parts.prefix + group,
        allowAutoTopicCreation: false,
        sessionTimeout: tuning.sessionTimeoutMs,
        rebalanceTimeout: tuning.rebalanceTimeoutMs,
        heartbeatInterval: tuning.heartbeatMs,
        maxWaitTimeInMs: tuning.fetchWaitMs,
        retry: { ...retriesFor(PATIENCE_MS), restartOnFailure: () => Promise.resolve(false) },
      });
      this.#consumer = consumer;
      this.#watch(consumer, life);
      await consumer.connect();
      await consumer.subscribe({
        topics: topics.map((topic) => this.#topics.nameOf(topic)),
        fromBeginning: this.#consume.from !== 'newest',
      });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 64,
        eachBatch: (payload) => this.#take(payload, consumer),
      });
    } catch (error) {
      this.#ended(life, error);
    }
  }

  #watch(consumer: Consumer, life: number): void {
    const { GROUP_JOIN, CRASH, FETCH } = consumer.events;
    consumer.on(GROUP_JOIN, ({ payload }) => {
      if (consumer === this.#consumer) this.#assigned(consumer, payload.memberAssignment);
    });
    consumer.on(CRASH, ({ payload }) => this.#ended(life, payload.error));
    consumer.on(FETCH, () => {
      if (this.#failures === 0 || consumer !== this.#consumer) return;
      this.#failures = 0;
      this.#reach.trouble(this.#who, null);
    });
  }

  /** It is over with this life; the next begins after a wait. */
  #ended(life: number, error: unknown): void {
    if (life !== this.#lives || this.#stopping !== null) return;
    this.#lives++;
    const waitMs = Math.min(AGAIN_MAX_MS, AGAIN_MIN_MS * 2 ** this.#failures) * (0.5 + this.#parts.random());
    this.#failures = Math.min(this.#failures + 1, 10);
    const problem = describeKafkaError(error);
    this.#parts.log.warn(
      { group: this.#consume.group, problem, waitMs: Math.round(waitMs) },
      'consumer ended, begins again',
    );
    this.#reach.trouble(this.#who, `${this.#who}: ${problem}`);
    void this.#end(this.#consumer);
    this.#cancelAgain = this.#parts.clock.after(waitMs, () => void this.#live());
  }

  /** kafkajs emits this before it fetches. */
  #assigned(consumer: Consumer, assignment: Readonly<Record<string, readonly number[]>>): void {
    const mine = new Set<string>();
    for (const [name, partitions] of Object.entries(assignment)) {
      const topic = this.#topics.topicOf(name);
      for (const partition of partitions) {
        const key = keyOf({ topic, partition });
        mine.add(key);
        const start = this.#starts?.get(key);
        if (start !== undefined) consumer.seek({ topic: name, partition, offset: `${start.offset}` });
        const run = this.#runs.get(key);
        if (run?.isBusy === true) run.hold();
        else consumer.resume([{ topic: name, partitions: [partition] }]);
      }
    }
    for (const [key, run] of this.#runs) if (!mine.has(key)) run.lose();
    // kafkajs takes commits a moment after it has told of the join.
    setImmediate(() => void this.#keepStarts(mine).then(this.#joined.resolve));
  }

  /** Where a group that wants only what is new begins, asked once. A group that has committed before goes on from there. */
  async #findStarts(): Promise<void> {
    if (this.#consume.from !== 'newest' || this.#starts !== null) return;
    const starts = new Map<string, PartitionPlace & { readonly offset: number }>();
    for (const topic of this.#consume.topics) {
      const name = this.#topics.nameOf(topic);
      const groupId = this.#parts.prefix + this.#consume.group;
      const { ends, committed } = await this.#reach.askPatiently(async (admin) => ({
        ends: await admin.fetchTopicOffsets(name),
        committed: await admin.fetchOffsets({ groupId, topics: [name] }),
      }));
      const known = new Set(
        committed.flatMap(({ partitions }) => partitions.filter(isCommitted).map(({ partition }) => partition)),
      );
      for (const { partition, high } of ends)
        if (!known.has(partition)) starts.set(keyOf({ topic, partition }), { topic, partition, offset: Number(high) });
    }
    this.#starts = starts;
  }

  /** From here on a new life goes on where this one was, instead of behind what is then the newest record. */
  async #keepStarts(assigned: ReadonlySet<string>): Promise<void> {
    const starts = [...(this.#starts ?? [])].filter(([key]) => assigned.has(key));
    if (starts.length === 0) return;
    try {
      await this.#commit(starts.map(([, start]) => start));
      this.#starts = new Map([...(this.#starts ?? [])].filter(([key]) => !assigned.has(key)));
    } catch (error) {
      this.#parts.log.debug({ group: this.#consume.group, problem: describeKafkaError(error) }, 'start not kept');
    }
  }

  async #take(payload: EachBatchPayload, consumer: Consumer): Promise<void> {
    if (this.#stopping !== null || consumer !== this.#consumer) return;
    const { batch } = payload;
    const place = { topic: this.#topics.topicOf(batch.topic), partition: batch.partition };
    const next = await this.#runOf(place).take(batch.messages, Number(batch.lastOffset()));
    if (next !== null) payload.resolveOffset(`${next - 1}`);
  }

  #runOf(place: PartitionPlace): PartitionRun {
    const key = keyOf(place);
    const known = this.#runs.get(key);
    if (known !== undefined) return known;
    const run = new PartitionRun(place, this.#host);
    this.#runs.set(key, run);
    return run;
  }

  async #commit(offsets: readonly (PartitionPlace & { readonly offset: number })[]): Promise<void> {
    if (this.#consumer === null) throw new Error('there is no consumer now');
    await this.#consumer.commitOffsets(
      offsets.map(({ topic, partition, offset }) => ({
        topic: this.#topics.nameOf(topic),
        partition,
        offset: `${offset}`,
      })),
    );
  }

  #resume({ topic, partition }: PartitionPlace, next: number | null): void {
    if (this.#stopping !== null || this.#consumer === null) return;
    const name = this.#topics.nameOf(topic);
    try {
      if (next !== null) this.#consumer.seek({ topic: name, partition, offset: `${next}` });
      this.#consumer.resume([{ topic: name, partitions: [partition] }]);
    } catch {
      // It has ended: the next life fetches from what is committed.
    }
  }

  async #end(consumer: Consumer | null): Promise<void> {
    if (consumer === null) return;
    if (this.#consumer === consumer) this.#consumer = null;
    const late = Promise.withResolvers<void>();
    const cancel = this.#parts.clock.after(LEAVE_MS, late.resolve);
    await Promise.race([consumer.disconnect().catch(() => undefined), late.promise]);
    cancel();
  }
}

function keyOf({ topic, partition }: PartitionPlace): string {
  return `${partition} ${topic}`;
}
function isCommitted({ offset }: { readonly offset: string }): boolean {
  return Number(offset) >= 0;
}
