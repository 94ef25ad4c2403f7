// Publishes of one durability: everything of a tick, and all that came while the last produce was under way, in one produce call. One call
// at a time keeps the order of each key. A call that fails or takes too long fails all that wait: the brokers are away then, or they
// refuse what stays wrong until someone changes it, which is said in health.
import { sizeOf } from '../record-size.ts';
import { BUS_RECORD_BYTES_MAX, BusFullError, BusRecordError, BusUnavailableError } from '../port.ts';
import type { BusRecord } from '../port.ts';
import { describeKafkaError, isPassing } from './client.ts';
import type { KafkaParts } from './client.ts';
import type { Reach } from './reach.ts';
import { Sender } from './sender.ts';
import type { Topics } from './topics.ts';

/** Of one call: kafkajs makes one batch for each partition of it, and brokers refuse batches past 1 MiB unless they are set otherwise. */
const PRODUCE_BYTES_MAX = BUS_RECORD_BYTES_MAX;
/** Between two tries of a call whose producer failed. */
const AGAIN_MIN_MS = 100;
const AGAIN_MAX_MS = 500;
/** A broker that refuses a batch for what is in it. */
const RECORD_FAULTS = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD', 'INVALID_TIMESTAMP']);

interface Entry {
  readonly records: readonly BusRecord[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** Records given to a call so far. */
  given: number;
}

/** One produce call, while it is waited for. */
interface Call {
  isOver: boolean;
  /** Why its last try failed. */
  problem: string | null;
}

/** The brokers, one of several at least, are away or stuck: another call may do better. */
class LateError extends Error {
  readonly code = 'bus-late';
  readonly retriable = true;
}

export class Publisher {
  readonly #parts: KafkaParts;
  readonly #reach: Reach;
  readonly #sender: Sender;
  readonly #who: string;
  /** What the brokers refuse for good, and until when nobody asks them again. */
  #refusal: { readonly problem: string; readonly untilMs: number } | null = null;
  #waiting: Entry[] = [];
  #bytes = 0;
  #running = false;
  #closed = false;
  #idle: Promise<void> = Promise.resolve();

  constructor(of: { parts: KafkaParts; reach: Reach; topics: Topics }, durability: 'all' | 'leader') {
    this.#parts = of.parts;
    this.#reach = of.reach;
    this.#sender = new Sender(of, durability);
    this.#who = `publish ${durability}`;
  }

  /** As Bus.publish. */
  publish(records: readonly BusRecord[]): Promise<void> {
    if (this.#closed) return Promise.reject(new BusUnavailableError('the bus is closed'));
    if (this.#reach.isAway)
      return Promise.reject(new BusUnavailableError(`the bus is away: ${this.#reach.health().problem ?? 'unknown'}`));
    if (this.#refusal !== null && this.#parts.clock.monotonicMs() < this.#refusal.untilMs)
      return Promise.reject(new BusUnavailableError(`not published: ${this.#refusal.problem}`));
    let bytes = 0;
    for (const record of records) {
      const size = sizeOf(record);
      if (size > PRODUCE_BYTES_MAX) {
        const expected = `expected a record of at most ${PRODUCE_BYTES_MAX} bytes, got ${size}`;
        return Promise.reject(new BusRecordError(expected));
      }
      bytes += size;
    }
    const most = this.#parts.tuning.waitingBytesMax;
    if (this.#bytes + bytes > most)
      return Promise.reject(new BusFullError(`expected at most ${most} bytes waiting, got ${this.#bytes + bytes}`));
    if (records.length === 0) return Promise.resolve();
    this.#bytes += bytes;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, bytes, resolve, reject, given: 0 });
      if (this.#running) return;
      this.#running = true;
      this.#idle = new Promise((idle) => setImmediate(() => void this.#run().then(idle)));
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const { records, touched } = this.#take();
      try {
        await this.#produce(records);
        this.#reach.succeeded();
        this.#taken();
        for (const entry of touched) if (entry.given === entry.records.length) this.#end(entry);
      } catch (error) {
        this.#failed(error, touched);
      }
    }
    this.#running = false;
  }

  /** The next call's records, and the publishes that they are of; one that does not fit whole goes on waiting with its rest. */
  #take(): { records: BusRecord[]; touched: Set<Entry> } {
    const records: BusRecord[] = [];
    const touched = new Set<Entry>();
    let bytes = 0;
    let whole = 0;
    for (const entry of this.#waiting) {
      while (entry.given < entry.records.length) {
        const record = entry.records[entry.given]!;
        bytes += sizeOf(record);
        if (bytes > PRODUCE_BYTES_MAX && records.length > 0) break;
        records.push(record);
        touched.add(entry);
        entry.given++;
      }
      if (entry.given < entry.records.length) break;
      whole++;
    }
    this.#waiting.splice(0, whole);
    return { records, touched };
  }

  #failed(error: unknown, touched: ReadonlySet<Entry>): void {
    const problem = describeKafkaError(error);
    const { type } = error as { type?: unknown };
    if (typeof type === 'string' && RECORD_FAULTS.has(type)) {
      this.#waiting = this.#waiting.filter((entry) => !touched.has(entry));
      for (const entry of touched) this.#end(entry, new BusRecordError(`refused: ${problem}`, { cause: error }));
      return;
    }
    this.#sender.drop();
    if (isPassing(error)) this.#reach.failed(error);
    else this.#refused(problem);
    const failed = new Set([...touched, ...this.#waiting]);
    this.#waiting = [];
    for (const entry of failed)
      this.#end(entry, new BusUnavailableError(`not published: ${problem}`, { cause: error }));
  }

  /** Brokers that answer are not away; as seldom as those that are they are asked again, by whoever publishes next. */
  #refused(problem: string): void {
    const { clock, log, tuning } = this.#parts;
    if (this.#refusal?.problem !== problem) log.warn({ who: this.#who, problem }, 'bus does not take records');
    this.#refusal = { problem, untilMs: clock.monotonicMs() + tuning.probeAwayMs };
    this.#reach.trouble(this.#who, `${this.#who}: ${problem}`);
  }

  #taken(): void {
    if (this.#refusal === null) return;
    this.#refusal = null;
    this.#parts.log.info({ who: this.#who }, 'bus takes records');
    this.#reach.trouble(this.#who, null);
  }

  #end(entry: Entry, error?: Error): void {
    this.#bytes -= entry.bytes;
    if (error === undefined) entry.resolve();
    else entry.reject(error);
  }

  async #produce(records: readonly BusRecord[]): Promise<void> {
    const { publishTimeoutMs, clock } = this.#parts;
    const call: Call = { isOver: false, problem: null };
    const late = Promise.withResolvers<never>();
    const cancel = clock.after(publishTimeoutMs, () => {
      const why = call.problem === null ? '' : `: ${call.problem}`;
      late.reject(new LateError(`expected an answer within ${publishTimeoutMs} ms${why}`));
    });
    try {
      await Promise.race([this.#send(records, call), late.promise]);
    } finally {
      call.isOver = true;
      cancel();
    }
  }

  /** Again, by a new producer, while it is a matter of time: one broker of several is on its way out or in. */
  async #send(records: readonly BusRecord[], call: Call): Promise<void> {
    for (let waitMs = AGAIN_MIN_MS; ; waitMs = Math.min(AGAIN_MAX_MS, waitMs * 2)) {
      try {
        await this.#sender.send(records);
        return;
      } catch (error) {
        if (call.isOver || !isPassing(error)) throw error;
        call.problem = describeKafkaError(error);
      }
      this.#sender.drop();
      await new Promise<void>((resolve) => void this.#parts.clock.after(waitMs, resolve));
      if (call.isOver) return;
    }
  }

  /** Lets what waits be published, then ends. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#idle;
    await this.#sender.close();
  }
}
