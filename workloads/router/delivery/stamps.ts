// Stamps of live messages (R11): µs since 1970 by this router's clock, always rising, and above whatever stamp it has seen. So that a stream
// whose owner changes does not fall back when the next owner's clock is behind, each router keeps to the clock that is furthest ahead
// among its peers (router-peers.ts asks them for theirs). Pure but for the clock.
//
// What this gives: of two messages of a stream the later has the higher stamp whenever one router sent both, or the sender waited for the
// first one's answer and its router passes that on: the answer of a forwarded message carries its stamp, and what is forwarded carries the
// newest stamp its router has seen. In the moment in which owners change, clocks that are known but for a round trip may have the new
// owner's first message count as older: it is dropped then, never passed on out of order.
import type { BootId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

/** What a router tells of its clock. */
export interface ClockTold {
  readonly nowMs: number;
  /** The newest stamp it gave or saw. */
  readonly newest: number;
  /** How far ahead of its own it takes the clocks of others to be, ms: some of them may be gone already. */
  readonly ahead: Readonly<Record<string, number>>;
}

/** Who takes over streams starts so far ahead: more than the round trip by which two routers may differ about a third one's clock. */
export const LEAP_MS = 50;

export class Stamps {
  readonly #clock: Clock;
  readonly #ahead = new Map<string, number>();
  #aheadMs = 0;
  #newest = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The newest stamp given or seen. */
  get newest(): number {
    return this.#newest;
  }

  /** The next stamp: above every one before. */
  next(): number {
    return (this.#newest = Math.max(this.#newest + 1, this.#now()));
  }

  /** A stamp that another router gave. */
  observe(stamp: number): void {
    if (stamp > this.#newest) this.#newest = stamp;
  }

  /** This router takes over streams of others: it came just now, or one of them cannot be reached. */
  leap(): void {
    this.observe(this.#now() + LEAP_MS * 1000);
  }

  tell(): ClockTold {
    return { nowMs: this.#clock.nowMs(), newest: this.#newest, ahead: Object.fromEntries(this.#ahead) };
  }

  /**
   * A peer's clock as it told it in answer to a question.
   * @param askedMs own time when it was asked: the peer's clock was read after that, so the difference is at most too large
   */
  heard(peer: BootId, told: ClockTold, askedMs: number): void {
    const aheadMs = told.nowMs - askedMs;
    this.#ahead.set(peer, Math.max(0, aheadMs));
    // Hearsay is taken once, or two routers would raise each other by a round trip each time.
    for (const [other, ms] of Object.entries(told.ahead))
      if (!this.#ahead.has(other)) this.#ahead.set(other, Math.max(0, aheadMs + ms));
    this.observe(told.newest);
    this.#aheadMs = Math.max(0, ...this.#ahead.values());
  }

  /** Only these are there still. What one that is gone may have stamped until now stays below what comes next. */
  keep(alive: ReadonlySet<string>): void {
    for (const [peer, aheadMs] of this.#ahead) {
      if (alive.has(peer)) continue;
      this.observe((this.#clock.nowMs() + aheadMs) * 1000);
      this.#ahead.delete(peer);
    }
    this.#aheadMs = Math.max(0, ...this.#ahead.values());
  }

  #now(): number {
    return (this.#clock.nowMs() + this.#aheadMs) * 1000;
  }
}

/** A peer's answer, of which nothing is taken for granted; null: not one. */
export function parseClockTold(text: string): ClockTold | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const { nowMs, newest, ahead } = (value ?? {}) as Record<string, unknown>;
  if (!Number.isFinite(nowMs) || !Number.isFinite(newest) || typeof ahead !== 'object' || ahead === null) return null;
  if (!Object.values(ahead).every((ms) => Number.isFinite(ms))) return null;
  return { nowMs: nowMs as number, newest: newest as number, ahead: ahead as Record<string, number> };
}
