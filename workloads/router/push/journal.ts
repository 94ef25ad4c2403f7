// Fail open (R13): while the store is away, durable pushes are accepted once the bus has journalled them, and stored when the store is back,
// in the order of each stream, by whichever router reads the journal. From the first failure of the store until all of the journal is
// stored, pushes go by the journal, so that a newer one does not overtake those that wait in it. push.ts asks; role.ts starts it.
import { BUS_TOPICS, BusFullError, BusUnavailableError } from '../../bus/port.ts';
import type { Bus, BusRecord, ReceivedRecord } from '../../bus/port.ts';
import { StandingConsumer } from '../../bus/standing-consumer.ts';
import { RefusedError } from '../../protocol/codes.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import type { Store } from '../../store/port.ts';
import type { RouterCounts } from '../counts.ts';
import { InvalidEntryError, decodeEntry, encodeEntry, isOfAccount } from './journal-entry.ts';
import type { JournalEntry } from './journal-entry.ts';

export interface JournalOptions {
  readonly bus: Bus;
  readonly store: Pick<Store, 'health'>;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly counts: RouterCounts;
  /**
   * Makes one ready to be stored, and answers what stores it: that asks the store at once, so that those of one tick are one trip, in
   * their order. Idempotent. Both reject with StoreUnavailableError while it is not possible, with RefusedError when it never will be.
   */
  replay(entry: JournalEntry): Promise<() => Promise<void>>;
}

export const JOURNAL_GROUP = 'router-journal';
/** How often it is looked whether the store is back and everything journalled is stored. */
export const JOURNAL_CHECK_MS = 250;
/** With no more than this left pushes are held until it is stored, or under load the journal would never be empty; */
const CLOSING_MAX = 1000;
/** for no longer than this; then they are journalled again, and closing is tried again after as long. */
const CLOSING_MS = 2000;
const CLOSING_CHECK_MS = 10;
/** Stored in one trip, of one stream. */
const REPLAY_MAX = 100;
/** Pushes that wait for the bus, and that are held while the journal runs empty; at 64 KiB each the worst 320 MiB, at 1 KB 5 MiB. */
export const JOURNAL_WAITING_MAX = 5000;
const RECORDS_PER_PUBLISH = 500;
/** A router that starts waits no longer to know whether something is in the journal. */
const LEFT_MS = 2000;

interface Waiting {
  readonly record: BusRecord;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Journal {
  readonly #options: JournalOptions;
  readonly #consumer: StandingConsumer;
  #cancelTick = (): void => {};
  #cancelClosing = (): void => {};
  #needed = false;
  /** Since when pushes are held so that the journal runs empty; null: they are not. */
  #closingMs: number | null = null;
  #notBeforeMs = 0;
  #held: ((journal: boolean) => void)[] = [];
  #checking = false;
  #stopped = false;
  #waiting: Waiting[] = [];
  #publishing = false;

  constructor(options: JournalOptions) {
    this.#options = options;
    const { bus, clock, log, random } = options;
    this.#consumer = new StandingConsumer({
      bus,
      consume: {
        topics: [BUS_TOPICS.journal],
        group: JOURNAL_GROUP,
        from: 'oldest',
        handler: (batch) => this.#replayAll(batch),
      },
      clock,
      log,
      random,
      refused: 'the journal is not read',
    });
  }

  /**
   * Reads the journal from now on. What is in it still, by a router before this one or another, is stored first: until then pushes go behind
   * it. Resolves when that is known, or could not be found out in time.
   */
  async start(): Promise<void> {
    const { clock } = this.#options;
    const late = Promise.withResolvers<void>();
    const cancel = clock.after(LEFT_MS, () => late.resolve());
    await Promise.race([this.#lookForLeft(), late.promise]);
    cancel();
    this.#consumer.start();
  }

  async #lookForLeft(): Promise<void> {
    const { bus, log } = this.#options;
    try {
      const left = await bus.lag(JOURNAL_GROUP, BUS_TOPICS.journal);
      if (left > 0) this.#need({ left }, 'the journal is not empty: durable pushes go behind it');
    } catch (error) {
      log.debug({ problem: String(error) }, 'journal: whether anything is left is unknown');
    }
  }

  /** Whether pushes are to go by the journal. */
  get isNeeded(): boolean {
    return this.#needed;
  }

  /** Whether this push goes by the journal, known once it is: while the journal runs empty, pushes wait a moment for that; when too many do, they go by it. */
  takes(): Promise<boolean> {
    if (this.#closingMs === null || this.#held.length >= JOURNAL_WAITING_MAX) return Promise.resolve(this.#needed);
    return new Promise((resolve) => void this.#held.push(resolve));
  }

  /** An operation of the store failed. */
  storeFailed(): void {
    this.#need({}, 'the store is away: durable pushes are journalled');
  }
  #need(fields: Readonly<Record<string, unknown>>, why: string): void {
    if (this.#needed || this.#stopped) return;
    this.#needed = true;
    const { clock, log } = this.#options;
    log.warn(fields, why);
    this.#cancelTick = clock.every(JOURNAL_CHECK_MS, () => void this.#check());
  }

  /** Resolves once every in-sync replica of the bus has it. Rejects with BusUnavailableError or BusFullError, outcome unknown. */
  accept(entry: JournalEntry): Promise<void> {
    if (this.#waiting.length >= JOURNAL_WAITING_MAX)
      return Promise.reject(new BusFullError(`expected at most ${JOURNAL_WAITING_MAX} pushes waiting for the bus`));
    const record = encodeEntry(entry);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject });
      if (this.#publishing) return;
      this.#publishing = true;
      setImmediate(() => void this.#publishAll());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#end();
    await this.#consumer.stop();
  }

  /** One publish at a time, or two pushes of one sender to one stream could change places on their way; each takes all that waits. */
  async #publishAll(): Promise<void> {
    const { bus, counts } = this.#options;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, RECORDS_PER_PUBLISH);
      try {
        await bus.publish(
          batch.map(({ record }) => record),
          'all',
        );
        counts.journal.accepted += batch.length;
        batch.forEach(({ resolve }) => resolve());
      } catch (error) {
        counts.busFailures++;
        batch.forEach(({ reject }) => reject(error));
      }
    }
    this.#publishing = false;
  }

  /** Back to the store when it answers and nothing of the journal waits. Also with the bus away: then there is only the store. */
  async #check(): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    const { bus, store, clock, log } = this.#options;
    try {
      const { reachable } = await store.health();
      const left = reachable && bus.health().reachable ? await bus.lag(JOURNAL_GROUP, BUS_TOPICS.journal) : 0;
      if (!this.#needed) return;
      if (reachable && left === 0 && this.#waiting.length === 0 && !this.#publishing) {
        log.info({}, 'the store is back and has all that was journalled');
        return this.#end();
      }
      const nowMs = clock.monotonicMs();
      if (this.#closingMs !== null && (!reachable || nowMs - this.#closingMs >= CLOSING_MS)) {
        this.#notBeforeMs = nowMs + CLOSING_MS;
        this.#release(true);
      } else if (this.#closingMs === null && reachable && left <= CLOSING_MAX && nowMs >= this.#notBeforeMs)
        this.#closingMs = nowMs;
    } catch (error) {
      this.#release(true);
      log.debug({ problem: String(error) }, 'journal: not yet');
    } finally {
      this.#checking = false;
      if (this.#closingMs !== null) this.#cancelClosing = clock.after(CLOSING_CHECK_MS, () => void this.#check());
    }
  }

  #end(): void {
    this.#needed = false;
    this.#cancelTick();
    this.#cancelClosing();
    this.#release(false);
  }
  /** Those that were held go on, by the journal or to the store. */
  #release(journal: boolean): void {
    const held = this.#held;
    this.#held = [];
    this.#closingMs = null;
    held.forEach((go) => go(journal));
  }

  /** A batch counts as done once all of it is stored or set aside; a store that is away has it come again. */
  async #replayAll(batch: readonly ReceivedRecord[]): Promise<void> {
    const byStream = new Map<string, ReceivedRecord[]>();
    for (const record of batch) {
      const records = byStream.get(record.key);
      if (records === undefined) byStream.set(record.key, [record]);
      else records.push(record);
    }
    const ends = await Promise.allSettled([...byStream.values()].map((records) => this.#replayStream(records)));
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #replayStream(records: readonly ReceivedRecord[]): Promise<void> {
    // Those of an account are many appends each, of which some wait for a body to be kept: one after another.
    const together = isOfAccount(records[0]!.key) ? 1 : REPLAY_MAX;
    for (let from = 0; from < records.length; from += together) {
      const some = records.slice(from, from + together);
      const ready = await Promise.allSettled(some.map((record) => this.#prepare(record)));
      const failed = ready.find((each) => each.status === 'rejected' && !isRefusal(each.reason));
      if (failed?.status === 'rejected') throw this.#failure(failed.reason);
      const ends = await Promise.allSettled(
        ready.map((each) => (each.status === 'fulfilled' ? each.value() : Promise.reject(each.reason as Error))),
      );
      ends.forEach((end, i) => this.#settle(some[i]!, end));
    }
  }
  async #prepare(record: ReceivedRecord): Promise<() => Promise<void>> {
    return await this.#options.replay(decodeEntry(record.value));
  }
  /** Stored or set aside; anything else is thrown, and the batch comes again. */
  #settle(record: ReceivedRecord, end: PromiseSettledResult<void>): void {
    const { counts, log } = this.#options;
    if (end.status === 'fulfilled') return void counts.journal.stored++;
    const error: unknown = end.reason;
    if (!isRefusal(error)) throw this.#failure(error);
    counts.journal.refused++;
    const { headers, partition, offset } = record;
    log.error(
      { ...headers, partition, offset, code: error.code, problem: error.message },
      'a journalled push is set aside',
    );
  }
  #failure(error: unknown): unknown {
    if (error instanceof StoreUnavailableError) this.storeFailed();
    return error;
  }
}

function isRefusal(error: unknown): error is RefusedError | InvalidEntryError {
  return error instanceof RefusedError || error instanceof InvalidEntryError;
}

/** Whether the bus did not take a push, so that another way has to be found. */
export function isBusRefusal(error: unknown): boolean {
  return error instanceof BusUnavailableError || error instanceof BusFullError;
}
