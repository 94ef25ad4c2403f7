// The pages of backlogs that wait, and when which of them is read: a budget of entries and bytes a second, fair over devices, bounded.
// Pure: time and chance are handed in. Drainers have one (drainer/feeds.ts), and each gateway for when it has no drainer (gateway/page-source.ts).
import { TokenBucket } from './token-bucket.ts';

export interface FeedQueueOptions {
  /** Of all drainers together. */
  readonly entriesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly requestsMax: number;
  readonly waitMaxMs: number;
  readonly nowMs: number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
}
/** One page asked for. */
export interface Asked<T> {
  /** Whose turn it takes: turns go round the devices. */
  readonly device: string;
  readonly entriesMax: number;
  readonly askedAtMs: number;
  readonly request: T;
}

/** One whose turn it is. */
export interface Due<T> extends Asked<T> {
  /** Entries charged for it until it turns out what it holds. */
  readonly charged: number;
}

/** Pages of one device that may wait: its lanes, and one asked again meanwhile. */
export const DEVICE_REQUESTS_MAX = 4;
/** Budget that may be saved up while nobody asks. */
const BURST_SECONDS = 0.25;
/** What a page is thought to hold until some were read; then a moving mean over about 32 of them. */
const PAGE_ENTRIES_FIRST = 32;
const MEAN_SHARE = 1 / 32;
const RETRY_LEAST_MS = 500;

export class FeedQueue<T> {
  readonly #options: FeedQueueOptions;
  readonly #entries: TokenBucket;
  readonly #bytes: TokenBucket;
  /** In the order of their turns. */
  readonly #devices = new Map<string, Asked<T>[]>();
  #waiting = 0;
  #pageEntries = PAGE_ENTRIES_FIRST;

  constructor(options: FeedQueueOptions) {
    const { entriesPerSecond, bytesPerSecond, nowMs } = options;
    this.#options = options;
    this.#entries = new TokenBucket({ ratePerSecond: entriesPerSecond, burstSeconds: BURST_SECONDS, nowMs });
    this.#bytes = new TokenBucket({ ratePerSecond: bytesPerSecond, burstSeconds: BURST_SECONDS, nowMs });
  }

  /** Pages that wait. */
  get waiting(): number {
    return this.#waiting;
  }
  /** This drainer's share of the budget, entries a second. */
  get entriesPerSecond(): number {
    return this.#entries.ratePerSecond;
  }
  /** How long a page that is asked for now waits, about. */
  get waitMs(): number {
    return ((this.#waiting * this.#pageEntries) / this.#entries.ratePerSecond) * 1000;
  }

  /** The budget is shared by so many drainers. */
  share(drainers: number, nowMs: number): void {
    const by = Math.max(1, drainers);
    this.#entries.setRate(this.#options.entriesPerSecond / by, nowMs);
    this.#bytes.setRate(this.#options.bytesPerSecond / by, nowMs);
  }

  /** Takes a page in (null), or says when to ask again. */
  offer(asked: Asked<T>): number | null {
    const { requestsMax, waitMaxMs } = this.#options;
    const list = this.#devices.get(asked.device);
    if (this.#waiting >= requestsMax || this.waitMs > waitMaxMs) return this.retryAfterMs();
    if (list !== undefined && list.length >= DEVICE_REQUESTS_MAX) return this.retryAfterMs();
    if (list === undefined) this.#devices.set(asked.device, [asked]);
    else list.push(asked);
    this.#waiting++;
    return null;
  }

  /** When the queue of now will be done, spread over as much again, so that those refused together do not return together. */
  retryAfterMs(): number {
    return Math.ceil(Math.max(RETRY_LEAST_MS, this.waitMs) * (1 + this.#options.random()));
  }

  /** The next pages that the budget has room for, at most `countMax`; each is charged what pages held lately. */
  take(nowMs: number, countMax: number): Due<T>[] {
    const taken: Due<T>[] = [];
    while (taken.length < countMax && this.#waiting > 0) {
      const [device, list] = this.#devices.entries().next().value!;
      const asked = list[0]!;
      const charged = Math.min(asked.entriesMax, Math.ceil(this.#pageEntries));
      if (this.#bytes.level(nowMs) < 1 || !this.#entries.take(charged, nowMs)) break;
      list.shift();
      this.#waiting--;
      this.#devices.delete(device);
      if (list.length > 0) this.#devices.set(device, list); // its next turn comes after everyone else's
      taken.push({ ...asked, charged });
    }
    return taken;
  }

  /** A page was read: what it held is its price. */
  spend({ charged }: Pick<Due<T>, 'charged'>, read: { readonly entries: number; readonly bytes: number }): void {
    // A page with nothing costs the store a look nevertheless.
    const price = Math.max(1, read.entries);
    this.#entries.giveBack(charged - price);
    this.#bytes.giveBack(-read.bytes);
    this.#pageEntries += (price - this.#pageEntries) * MEAN_SHARE;
  }

  /** Forgets what nobody waits for any more; answers how many. */
  drop(isGone: (request: T) => boolean): number {
    const before = this.#waiting;
    for (const [device, list] of this.#devices) {
      const rest = list.filter(({ request }) => !isGone(request));
      this.#waiting -= list.length - rest.length;
      if (rest.length === 0) this.#devices.delete(device);
      else this.#devices.set(device, rest);
    }
    return before - this.#waiting;
  }
}
