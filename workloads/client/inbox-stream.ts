// One stream as the inbox knows it. `received`: accepted in order. `held`: given to the application and saved, without a hole; acks and
// hellos name only this one. Between the two stands the line: what was accepted and is not held, each entry settled or not.
import type { StreamState } from '../protocol/frames.ts';
import type { Epoch } from '../protocol/ids.ts';

export interface Place {
  readonly epoch: Epoch;
  readonly offset: number;
}

/** Places where earlier epochs ended. */
const PAST_EPOCHS_MAX = 4;
/** What cannot be placed and comes so often is asked for by connecting anew: nobody sends what it waits for. */
const DROPS_MAX = 3;
/** Held places at the front of a line before it is cut. */
const LINE_SLACK = 256;

export class InboxStream {
  received: Place | null = null;
  held: Place | null = null;
  /** Where earlier epochs ended for us, newest last. */
  readonly past = new Map<Epoch, number>();
  /** Up to here something came that could not be taken: it is awaited again, and not reported twice. Null: nothing is missing. */
  missedTo: number | null = null;
  #line: Place[] = [];
  /** Where the line begins: what is before it is held. */
  #head = 0;
  /** Settled although one before them is not. */
  readonly #settled = new Set<Place>();
  /** Given back with all behind them: whoever still settles them comes too late. */
  readonly #dropped = new WeakSet<Place>();
  /** Given back one by one: the gateway sends them again, or ends them. */
  readonly #awaited = new Map<string, Place>();
  #unplaced = { offset: 0, times: 0 };

  /** How many stand settled behind one that is not. */
  get settledAbove(): number {
    return this.#settled.size;
  }
  get awaits(): boolean {
    return this.#awaited.size > 0;
  }

  receive(place: Place): void {
    this.received = place;
    this.#line.push(place);
  }

  /** What will be held once these are settled too. Cost: O(these). */
  heldWith(places: ReadonlySet<Place>): Place | null {
    let held = this.held;
    for (let i = this.#head; i < this.#line.length; i++) {
      const place = this.#line[i]!;
      if (!places.has(place) && !this.#settled.has(place)) break;
      held = place;
    }
    return held;
  }

  /** It was given to the application and saved. What was given back with all behind it meanwhile does not count. */
  settle(place: Place): void {
    if (this.#dropped.has(place)) return;
    if (this.#line[this.#head] !== place) {
      this.#settled.add(place);
      return;
    }
    this.#advance();
    while (this.#settled.size > 0 && this.#settled.delete(this.#line[this.#head]!)) this.#advance();
    if (this.#head < LINE_SLACK || this.#head * 2 < this.#line.length) return;
    this.#line = this.#line.slice(this.#head);
    this.#head = 0;
  }
  #advance(): void {
    this.held = this.#line[this.#head++]!;
  }

  /** Whether the entry was settled although one before it was not. Cost: O(such entries). */
  isSettledAbove(place: Place): boolean {
    for (const { epoch, offset } of this.#settled) if (offset === place.offset && epoch === place.epoch) return true;
    return false;
  }

  /** Everything behind what is held is awaited again. */
  rewind(): void {
    this.#unplaced = { offset: 0, times: 0 };
    const sameEpoch = this.held !== null && this.held.epoch === this.received?.epoch;
    this.miss(sameEpoch ? this.received!.offset : Infinity);
    this.received = this.held;
    this.past.clear();
    for (const place of this.#line) this.#dropped.add(place);
    this.#line = [];
    this.#head = 0;
    this.#settled.clear();
    this.#awaited.clear();
  }

  /** This one alone is awaited again; what is behind it stays. */
  awaitAgain(place: Place): void {
    this.#awaited.set(keyOf(place), place);
  }
  /** The awaited entry that this is; null: nobody waits for it. */
  takeAwaited(place: Place): Place | null {
    const key = keyOf(place);
    const awaited = this.#awaited.get(key) ?? null;
    this.#awaited.delete(key);
    return awaited;
  }
  /** The awaited entries that the gateway does not send any more, now that it goes on from there. */
  takeEnded(state: StreamState): Place[] {
    const line = this.#line.slice(this.#head);
    const begins = this.held?.epoch === state.epoch ? 0 : line.findIndex((p) => p.epoch === state.epoch);
    const before = new Set(begins < 0 ? line : line.slice(0, begins));
    const ended = [...this.#awaited.values()].filter(
      (p) => before.has(p) || (p.epoch === state.epoch && p.offset <= state.offset),
    );
    for (const place of ended) this.#awaited.delete(keyOf(place));
    return ended;
  }

  miss(offset: number): void {
    this.missedTo = Math.max(this.missedTo ?? 0, offset);
  }
  /** There was no room for it: it is awaited again, however often. */
  overflow(offset: number): void {
    this.miss(offset);
    this.#unplaced = { offset: 0, times: 0 };
  }
  /** Counts what could not be placed; true when the same came so often that waiting for what is before it is of no use. */
  isStuckAt(offset: number): boolean {
    if (this.#unplaced.times === 0 || offset < this.#unplaced.offset) this.#unplaced = { offset, times: 1 };
    else if (offset === this.#unplaced.offset) this.#unplaced.times++;
    if (this.#unplaced.times < DROPS_MAX) return false;
    this.#unplaced = { offset: 0, times: 0 };
    return true;
  }
  /** What was missing came. */
  caughtUp(): void {
    this.missedTo = null;
    this.#unplaced = { offset: 0, times: 0 };
  }

  /** An epoch is over for us at this place. */
  remember(place: Place): void {
    this.past.delete(place.epoch);
    this.past.set(place.epoch, place.offset);
    for (const oldest of this.past.keys()) {
      if (this.past.size <= PAST_EPOCHS_MAX) return;
      this.past.delete(oldest);
    }
  }

  isBefore(state: StreamState): boolean {
    const { received } = this;
    return received === null || state.epoch !== received.epoch || state.offset > received.offset;
  }
}

function keyOf({ epoch, offset }: Place): string {
  return `${offset} ${epoch}`;
}
