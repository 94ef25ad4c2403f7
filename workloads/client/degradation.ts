// Whether the serving gateway sheds load, and until about when: the application falls back to other ways meanwhile. client.ts keeps one and
// tells the application of changes only.
import type { DegradedFrame } from '../protocol/frames.ts';

export interface Degraded {
  /** Live messages below this level are not sent. */
  readonly levelMin: number;
  /** About until then, ms by this device's clock. */
  readonly untilMs: number;
}

export class Degradation {
  #now: Degraded | null = null;

  get now(): Degraded | null {
    return this.#now;
  }

  /** A gateway said so. Answers what the application is told; a mere extension in time is shown, not told. */
  begin({ levelMin, forMs }: DegradedFrame, nowMs: number): Degraded | null {
    const isNew = this.#now?.levelMin !== levelMin;
    this.#now = { levelMin, untilMs: nowMs + forMs };
    return isNew ? this.#now : null;
  }

  /** It is over, or another gateway serves. True when the application was told of one. */
  end(): boolean {
    const was = this.#now !== null;
    this.#now = null;
    return was;
  }
}
