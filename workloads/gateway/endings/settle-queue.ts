// Which acks of device lanes go to the store now, and which wait so that one settle stands for several (R5's counterpart for lanes). Within a
// budget each goes at once. Beyond it a lane waits for its turn, oldest first, but not longer than topic cursors do; not once it has
// several entries to end, which its stream holds until then; and not with one that settles others, or of which the store would say
// something else meanwhile: it expires, or a later message takes its place. Pure: settles.ts sends them. What is lost with the
// gateway only repeats a delivery, and not even that to a client that says what it has.
import { TokenBucket } from '../../runtime/token-bucket.ts';
import type { Connection } from '../connect/connection.ts';
import type { Cursor } from './cursor.ts';

/** Acked entries that a lane lets wait: of the largest ones a quarter of what a device's stream holds. */
export const SETTLE_ENTRIES_MAX = 8;
/** A settle is in the store so long after it was due. */
const TRIP_MS = 2000;
/** What may be saved up: a burst that is settled at once. */
const BURST_SECONDS = 1;
/** Places of the queue that were passed are given up together. */
const PASSED_MAX = 1024;

export interface WaitingLane {
  readonly connection: Connection;
  readonly cursor: Cursor;
}
type QueuedLane = WaitingLane & { readonly sinceMs: number };

export class SettleQueue {
  readonly #latestMs: number;
  readonly #budget: TokenBucket;
  #due: WaitingLane[] = [];
  /** Oldest first. Who has become due meanwhile is passed over, and who then waits again has the place that it had. */
  #queued: (QueuedLane | null)[] = [];
  #passed = 0;
  #waiting = 0;

  /** @param options.perSecond settles beside those that may not wait; `latestMs`: nothing waits longer */
  constructor(options: { perSecond: number; latestMs: number; nowMs: number }) {
    this.#latestMs = options.latestMs;
    this.#budget = new TokenBucket({
      ratePerSecond: options.perSecond,
      burstSeconds: BURST_SECONDS,
      nowMs: options.nowMs,
    });
  }

  /** Lanes of which the store does not have everything. */
  get waiting(): number {
    return this.#waiting;
  }

  /** `cursor.acked` has moved. Cost: some comparisons. */
  note(connection: Connection, cursor: Cursor, nowMs: number): void {
    if (cursor.settling === 'due') return;
    if (this.#mayNotWait(cursor, nowMs)) {
      this.hurry(connection, cursor);
      return;
    }
    if (cursor.settling === 'waits') return;
    this.#waiting++;
    cursor.settling = 'waits';
    if (cursor.settleQueued) return;
    cursor.settleQueued = true;
    this.#queued.push({ connection, cursor, sinceMs: nowMs });
  }

  /** It does not wait any longer: its session begins or ends, or the send of it failed. */
  hurry(connection: Connection, cursor: Cursor): void {
    if (cursor.settling === 'due') return;
    if (cursor.settling === null) this.#waiting++;
    cursor.settling = 'due';
    this.#due.push({ connection, cursor });
  }

  /** The same for all that wait. */
  hurryAll(): void {
    for (const lane of this.#queued) if (lane?.cursor.settling === 'waits') this.hurry(lane.connection, lane.cursor);
  }

  /** Those that do not wait any longer. */
  get due(): number {
    return this.#due.length;
  }

  /** Whether `take` would answer any. */
  isReady(nowMs: number): boolean {
    if (this.#due.length > 0) return true;
    const first = this.#first();
    return first !== null && (this.#isLate(first, nowMs) || this.#budget.level(nowMs) >= 1);
  }

  /** The next ones, at most `max`. What they have acked until they are sent goes with them. */
  take(max: number, nowMs: number): readonly WaitingLane[] {
    const taken: WaitingLane[] = this.#due.slice(0, max);
    this.#due = this.#due.slice(max);
    for (let lane = this.#first(); lane !== null && taken.length < max; lane = this.#first()) {
      if (!this.#isLate(lane, nowMs) && !this.#budget.take(1, nowMs)) break;
      this.#pass(lane);
      taken.push(lane);
    }
    for (const { cursor } of taken) cursor.settling = null;
    this.#waiting -= taken.length;
    return taken;
  }

  #mayNotWait({ acked, saved, hurriesTo, expiresFirstMs }: Cursor, nowMs: number): boolean {
    if (acked - saved >= SETTLE_ENTRIES_MAX || hurriesTo > saved) return true;
    return expiresFirstMs > 0 && expiresFirstMs - nowMs <= this.#latestMs + TRIP_MS;
  }

  #isLate({ sinceMs }: QueuedLane, nowMs: number): boolean {
    return nowMs - sinceMs >= this.#latestMs;
  }

  /** The oldest that waits. */
  #first(): QueuedLane | null {
    for (;;) {
      const lane = this.#queued[this.#passed] ?? null;
      if (lane === null || lane.cursor.settling === 'waits') return lane;
      this.#pass(lane);
    }
  }

  #pass({ cursor }: QueuedLane): void {
    cursor.settleQueued = false;
    this.#queued[this.#passed++] = null;
    if (this.#passed < PASSED_MAX && this.#passed < this.#queued.length) return;
    this.#queued = this.#queued.slice(this.#passed);
    this.#passed = 0;
  }
}
