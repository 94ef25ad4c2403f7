// The rates at which sessions of one gateway are given what they missed: first reads, pages fed in line, pulls. Each is what the gateway can
// bear at the most, times the share that live traffic leaves (load/headroom.ts). Pure: time is handed in. backlog.ts asks, and ticks.
import { TokenBucket } from '../../runtime/token-bucket.ts';
import { FeedLine } from './feed-line.ts';
import type { FeedLineOptions } from './feed-line.ts';

/** Messages that a gateway with nothing else to do takes a second: at about 20 µs each two fifths of its core. */
export const FEED_ENTRIES_PER_SECOND = 20_000;
/** First reads that sessions may save up while nobody comes, and pulls. */
const FIRST_READS_BURST_SECONDS = 1;
const PULLS_BURST_SECONDS = 0.25;
const PULL_AGAIN_MS = 500;

export class Rates<T> {
  readonly line: FeedLine<T>;
  readonly #firstReadsPerSecond: number;
  readonly #firstReads: TokenBucket;
  readonly #pulls: TokenBucket;
  #share: number;

  constructor(options: {
    readonly firstReadsPerSecond: number;
    readonly share: number;
    readonly nowMs: number;
    readonly expected: FeedLineOptions<T>['expected'];
  }) {
    const { firstReadsPerSecond, share, nowMs, expected } = options;
    this.#firstReadsPerSecond = firstReadsPerSecond;
    this.#share = share;
    const bucket = (whole: number, burstSeconds: number): TokenBucket =>
      new TokenBucket({ ratePerSecond: whole * share, burstSeconds, nowMs });
    this.#firstReads = bucket(firstReadsPerSecond, FIRST_READS_BURST_SECONDS);
    this.#pulls = bucket(FEED_ENTRIES_PER_SECOND, PULLS_BURST_SECONDS);
    this.line = new FeedLine({ entriesPerSecond: FEED_ENTRIES_PER_SECOND * share, nowMs, expected });
  }

  /** From now on this share of each. */
  follow(share: number, nowMs: number): void {
    if (share === this.#share) return;
    this.#share = share;
    this.#firstReads.setRate(this.#firstReadsPerSecond * share, nowMs);
    this.#pulls.setRate(FEED_ENTRIES_PER_SECOND * share, nowMs);
    this.line.setRate(FEED_ENTRIES_PER_SECOND * share, nowMs);
  }

  /** Whether a stream may be read at once. */
  takeFirstRead(nowMs: number): boolean {
    return this.#firstReads.take(1, nowMs);
  }
  /** It was read without being asked for. */
  owedFirstRead(): void {
    this.#firstReads.giveBack(-1);
  }

  /** Null: a pull of so many messages is taken. Otherwise how long until the next one may be. */
  putOffPull(entries: number, nowMs: number): number | null {
    if (this.#pulls.take(entries, nowMs)) return null;
    return Math.max(PULL_AGAIN_MS, this.#pulls.waitMs(nowMs));
  }
}
