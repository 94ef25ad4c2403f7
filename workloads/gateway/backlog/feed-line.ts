// The line in which sessions of one gateway wait for their next page: so many entries a second, and no more asked for at once than a short
// time is worth, so that a rate that falls is felt soon. Pure: time is handed in. backlog.ts moves it on; what a drainer then has in its
// queue is the budget of the store.
import { TokenBucket } from '../../runtime/token-bucket.ts';

export interface FeedLineOptions<T> {
  readonly entriesPerSecond: number;
  readonly nowMs: number;
  /** Entries that the next page of one of them is thought to hold; 0: it does not want any more. */
  readonly expected: (who: T) => number;
}
export interface FeedTurn<T> {
  readonly who: T;
  /** Entries charged until it turns out what the page holds. */
  readonly charged: number;
}

const BURST_SECONDS = 0.05;
/** Entries asked for and not answered, in seconds' worth of the rate: several times what a drainer takes for a page. */
export const UNDER_WAY_SECONDS = 0.25;

export class FeedLine<T> {
  readonly #expected: FeedLineOptions<T>['expected'];
  readonly #entries: TokenBucket;
  /** In the order of their turns. */
  readonly #line = new Set<T>();
  #underWay = 0;

  constructor({ entriesPerSecond, nowMs, expected }: FeedLineOptions<T>) {
    this.#expected = expected;
    this.#entries = new TokenBucket({ ratePerSecond: entriesPerSecond, burstSeconds: BURST_SECONDS, nowMs });
  }

  /** Who waits for a turn. */
  get waiting(): number {
    return this.#line.size;
  }
  /** Entries asked for and not answered. */
  get underWay(): number {
    return this.#underWay;
  }
  setRate(entriesPerSecond: number, nowMs: number): void {
    this.#entries.setRate(entriesPerSecond, nowMs);
  }

  /** Who is in the line already keeps the place. */
  join(who: T): void {
    this.#line.add(who);
  }
  leave(who: T): void {
    this.#line.delete(who);
  }

  /** The next whose turn it is; null: nobody, or not yet. Each turn ends with `end`. */
  next(nowMs: number): FeedTurn<T> | null {
    const underWayMax = this.#entries.ratePerSecond * UNDER_WAY_SECONDS;
    for (const who of this.#line) {
      const charged = this.#expected(who);
      if (charged > 0 && this.#underWay > 0 && this.#underWay + charged > underWayMax) return null;
      if (charged > 0 && !this.#entries.take(charged, nowMs)) return null;
      this.#line.delete(who);
      if (charged === 0) continue;
      this.#underWay += charged;
      return { who, charged };
    }
    return null;
  }

  /** A page came with so many entries, or did not. */
  end({ charged }: Pick<FeedTurn<T>, 'charged'>, entries: number): void {
    this.#underWay -= charged;
    this.#entries.giveBack(charged - entries);
  }
}
