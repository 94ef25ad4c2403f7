// Fail open (R13): while the store is away, durable pushes are accepted once the bus has journalled them, and stored when the store is back,
// in the order of each stream, by whichever router reads the journal. From the first failure of the store until all of the journal is
// stored, pushes go by the journal, so that a newer one does not overtake those that wait in it. push.ts asks; role.ts starts it.
import { BUS_TOPICS, BusFullError, BusUnavailableError } from '../bus/port.ts';
import type { Bus, BusConsumer, BusRecord, ReceivedRecord } from '../bus/port.ts';
import { RefusedError } from '../protocol/codes.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { Store } from '../store/port.ts';
import type { RouterCounts } from './counts.ts';
import { InvalidEntryError, decodeEntry, encodeEntry } from './journal-entry.ts';
import type { JournalEntry } from './journal-entry.ts';

export interface JournalOptions {
  readonly bus: Bus;
  readonly store: Pick<Store, 'health'>;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly counts: RouterCounts;
  /** Stores one; idempotent. Rejects with StoreUnavailableError while that is not possible, with RefusedError when it never will be. */
  replay(entry: JournalEntry): Promise<void>;
}

export const JOURNAL_GROUP = 'router-journal';
/** How often it is looked whether the store is back and everything journalled is stored. */
export const JOURNAL_CHECK_MS = 250;
/** Pushes that wait for the bus; at 64 KiB each the worst 320 MiB, at 1 KB 5 MiB. */
const WAITING_MAX = 5000;
const RECORDS_PER_PUBLISH = 500;
const BACKOFF_START_MS = 500;
const BACKOFF_MAX_MS = 30_000;

interface Waiting {
  readonly record: BusRecord;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Journal {
  readonly #options: JournalOptions;
  #consumer: BusConsumer | null = null;
  #cancels: (() => void)[] = [];
  #needed = false;
  #checking = false;
  #failures = 0;
  #stopped = false;
  #waiting: Waiting[] = [];
  #publishing = false;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** Reads the journal from now on; what a router before this one left is stored too. */
  start(): void {
    void this.#consume();
  }

  /** Whether pushes are to go by the journal. */
  get isNeeded(): boolean {
    return this.#needed;
  }

  /** An operation of the store failed. */
  storeFailed(): void {
    if (this.#needed || this.#stopped) return;
    this.#needed = true;
    const { clock, log } = this.#options;
    log.warn({}, 'the store is away: durable pushes are journalled');
    const cancel = clock.every(JOURNAL_CHECK_MS, () => {
      if (this.#needed) void this.#check();
      else cancel();
    });
    this.#cancels.push(cancel);
  }

  /** Resolves once every in-sync replica of the bus has it. Rejects with BusUnavailableError or BusFullError, outcome unknown. */
  accept(entry: JournalEntry): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX)
      return Promise.reject(new BusFullError(`expected at most ${WAITING_MAX} pushes waiting for the bus`));
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
    this.#needed = false;
    this.#cancels.forEach((cancel) => cancel());
    await this.#consumer?.stop();
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
    const { bus, store, log } = this.#options;
    try {
      const { reachable } = await store.health();
      if (!reachable || !this.#needed) return;
      if (bus.health().reachable && (await bus.lag(JOURNAL_GROUP, BUS_TOPICS.journal)) > 0) return;
      this.#needed = false;
      log.info({}, 'the store is back and has all that was journalled');
    } catch (error) {
      log.debug({ problem: String(error) }, 'journal: not yet');
    } finally {
      this.#checking = false;
    }
  }

  async #consume(): Promise<void> {
    const { bus, log, clock, random } = this.#options;
    try {
      const consumer = await bus.consume({
        topics: [BUS_TOPICS.journal],
        group: JOURNAL_GROUP,
        from: 'oldest',
        handler: (batch) => this.#replayAll(batch),
      });
      this.#failures = 0;
      if (this.#stopped) await consumer.stop();
      else this.#consumer = consumer;
    } catch (error) {
      if (this.#stopped) return;
      const waitMs = Math.ceil(
        random() * Math.min(BACKOFF_MAX_MS, BACKOFF_START_MS * 2 ** Math.min(this.#failures++, 10)),
      );
      log.warn({ waitMs, problem: String(error) }, 'the journal is not read, again later');
      this.#cancels.push(clock.after(waitMs, () => void this.#consume()));
    }
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
    const { counts, log } = this.#options;
    for (const record of records) {
      try {
        await this.#options.replay(decodeEntry(record.value));
        counts.journal.stored++;
      } catch (error) {
        if (error instanceof StoreUnavailableError) {
          this.storeFailed();
          throw error;
        }
        if (!(error instanceof RefusedError) && !(error instanceof InvalidEntryError)) throw error;
        counts.journal.refused++;
        const { headers, partition, offset } = record;
        log.error(
          { ...headers, partition, offset, code: error.code, problem: error.message },
          'a journalled push is set aside',
        );
      }
    }
  }
}

/** Whether the bus did not take a push, so that another way has to be found. */
export function isBusRefusal(error: unknown): boolean {
  return error instanceof BusUnavailableError || error instanceof BusFullError;
}
