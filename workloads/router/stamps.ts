// Stamps of live messages (R11): µs since 1970 by this router's clock, always rising, and above whatever stamp it has seen. So that a stream
// whose owner changes does not fall back when the next owner's clock is behind, each router keeps to the clock that is furthest ahead
// among its peers (router-peers.ts asks them for theirs). Pure but for the clock.
//
// What this gives: of two messages of a stream the later has the higher stamp whenever one router sent both, or the sender waited for the
// first one's answer, whichever routers took them: the answer of a forwarded message carries its stamp, and what is forwarded carries the
// newest stamp its router has seen. Messages of senders that do not wait for each other have no order to keep.
import type { Clock } from '../runtime/clock.ts';

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
    return (this.#newest = Math.max(this.#newest + 1, (this.#clock.nowMs() + this.#aheadMs) * 1000));
  }

  /** A stamp that another router gave. */
  observe(stamp: number): void {
    if (stamp > this.#newest) this.#newest = stamp;
  }

  /**
   * A peer's clock as it told it in answer to a question.
   * @param reading.askedMs own time when it was asked: the peer's clock was read after that, so the difference is at most too large
   */
  heardClock(peer: string, reading: { peerMs: number; askedMs: number }): void {
    this.#ahead.set(peer, Math.max(0, reading.peerMs - reading.askedMs));
    this.#aheadMs = Math.max(0, ...this.#ahead.values());
  }

  /** A peer is gone. What it may have stamped until now stays below what comes next. */
  forget(peer: string): void {
    const aheadMs = this.#ahead.get(peer);
    if (aheadMs === undefined) return;
    if (aheadMs > 0) this.observe((this.#clock.nowMs() + aheadMs) * 1000);
    this.#ahead.delete(peer);
    this.#aheadMs = Math.max(0, ...this.#ahead.values());
  }
}
