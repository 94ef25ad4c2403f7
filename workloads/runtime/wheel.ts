// A hashed time wheel: many deadlines, one timer. Gateways keep heartbeats, hello timeouts and ack timeouts on it, so that no
// connection has a timer of its own. Entries link themselves into their slot: nothing is allocated, all steps are O(1).
// Whoever owns the wheel calls advance() every tick; gateway/role.ts does so through the clock.

/** What waits. A class that extends it becomes its own wheel entry, at the cost of three fields. */
export abstract class WheelEntry {
  /** Neighbours in the slot; null: not waiting. The wheel's own. */
  wheelNext: WheelEntry | null = null;
  wheelPrevious: WheelEntry | null = null;
  /** When due, ms of the wheel's time; 0 while not waiting. */
  wheelDueMs = 0;
  /** Called once when due, after it left the wheel; it may schedule itself again. */
  abstract due(nowMs: number): void;
}

/** Head of a slot's ring, so that linking and unlinking know no special case. */
class Slot extends WheelEntry {
  constructor() {
    super();
    this.wheelNext = this;
    this.wheelPrevious = this;
  }
  due(): void {}
}

export class TimeWheel {
  readonly #slots: readonly Slot[];
  readonly #tickMs: number;
  #nowMs: number;
  #tick: number;
  #size = 0;

  /**
   * @param options.tickMs how fine deadlines are: entries run up to one tick late, never early
   * @param options.slots ticks in one turn; later deadlines stay in their slot for further turns
   */
  constructor(options: { tickMs: number; slots: number; nowMs: number }) {
    this.#tickMs = options.tickMs;
    this.#slots = Array.from({ length: options.slots }, () => new Slot());
    this.#nowMs = options.nowMs;
    this.#tick = Math.floor(options.nowMs / options.tickMs);
  }

  /** Time of the last tick: good enough, and free, for whoever notes when something happened. */
  get nowMs(): number {
    return this.#nowMs;
  }
  /** Entries waiting. */
  get size(): number {
    return this.#size;
  }

  /** Puts an entry in, or moves it. A deadline that has passed is due at the next tick. */
  schedule(entry: WheelEntry, dueMs: number): void {
    if (entry.wheelNext !== null) this.cancel(entry);
    const tick = Math.max(Math.ceil(dueMs / this.#tickMs), this.#tick + 1);
    const slot = this.#slots[tick % this.#slots.length]!;
    entry.wheelDueMs = tick * this.#tickMs;
    entry.wheelPrevious = slot.wheelPrevious;
    entry.wheelNext = slot;
    slot.wheelPrevious!.wheelNext = entry;
    slot.wheelPrevious = entry;
    this.#size++;
  }

  /** Takes an entry out; nothing happens when it does not wait. */
  cancel(entry: WheelEntry): void {
    if (entry.wheelNext === null) return;
    entry.wheelPrevious!.wheelNext = entry.wheelNext;
    entry.wheelNext.wheelPrevious = entry.wheelPrevious;
    entry.wheelNext = null;
    entry.wheelPrevious = null;
    entry.wheelDueMs = 0;
    this.#size--;
  }

  /** Runs what is due by `nowMs`. Cost: the slots passed (one turn at most) and the entries in them. */
  advance(nowMs: number): void {
    const target = Math.floor(nowMs / this.#tickMs);
    if (target <= this.#tick) return; // a clock set back waits until it has caught up
    const first = Math.max(this.#tick + 1, target - this.#slots.length + 1);
    this.#tick = target;
    this.#nowMs = nowMs;
    for (let tick = first; tick <= target; tick++) this.#runSlot(this.#slots[tick % this.#slots.length]!, nowMs);
  }

  #runSlot(slot: Slot, nowMs: number): void {
    // What is due leaves its slot first: due() may cancel a neighbour or schedule into this very slot.
    const ready = new Slot();
    for (let entry = slot.wheelNext!; entry !== slot;) {
      const next = entry.wheelNext!;
      if (entry.wheelDueMs <= nowMs) moveTo(ready, entry);
      entry = next;
    }
    for (let entry = ready.wheelNext!; entry !== ready; entry = ready.wheelNext!) {
      this.cancel(entry);
      entry.due(nowMs);
    }
  }
}

function moveTo(ring: WheelEntry, entry: WheelEntry): void {
  entry.wheelPrevious!.wheelNext = entry.wheelNext;
  entry.wheelNext!.wheelPrevious = entry.wheelPrevious;
  entry.wheelPrevious = ring.wheelPrevious;
  entry.wheelNext = ring;
  ring.wheelPrevious!.wheelNext = entry;
  ring.wheelPrevious = entry;
}
