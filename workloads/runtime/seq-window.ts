// What is under way, by numbers that only grow: put at the end, taken mostly from the front. A Map would do, and costs a garbage-collected
// process dearly: V8's grows anew after each so many changes, and leaves the old table behind with what it held then, which links to its
// successor; once one such table is in the old generation, all that follow are carried there as well, with every message in them. Here a
// slot is emptied when it is taken.

const SLOTS_LEAST = 16;
/** Slots of an empty window that stay. */
const SLOTS_KEPT = 4096;

export class SeqWindow<T> {
  /** As a ring: number n is at n modulo its length, a power of two. */
  #slots: (T | undefined)[] = emptySlots(SLOTS_LEAST);
  /** Below it nothing is there. */
  #first = 0;
  /** From it on nothing is there. */
  #next = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param seq above every one before; gaps are fine. Cost: a slot for each number between the oldest that is there and it. */
  put(seq: number, value: T): void {
    if (seq < this.#next) throw new RangeError(`expected a number from ${this.#next} on, got ${seq}`);
    if (this.#size === 0) this.#first = seq;
    this.#next = seq + 1;
    if (this.#next - this.#first > this.#slots.length) this.#grow();
    this.#slots[seq & (this.#slots.length - 1)] = value;
    this.#size++;
  }

  /** Takes it out; undefined: it is not there. */
  take(seq: number): T | undefined {
    if (seq < this.#first || seq >= this.#next) return undefined;
    const mask = this.#slots.length - 1;
    const value = this.#slots[seq & mask];
    if (value === undefined) return undefined;
    this.#slots[seq & mask] = undefined;
    this.#size--;
    if (this.#size === 0) this.#rest();
    else while (this.#slots[this.#first & mask] === undefined) this.#first++;
    return value;
  }

  /** The oldest; undefined: nothing is there. */
  oldest(): T | undefined {
    return this.#size === 0 ? undefined : this.#slots[this.#first & (this.#slots.length - 1)];
  }

  /** In the order of their numbers; what is walked may be taken meanwhile. */
  *[Symbol.iterator](): Generator<readonly [number, T]> {
    for (let seq = this.#first; seq < this.#next; seq++) {
      const value = this.#slots[seq & (this.#slots.length - 1)];
      if (value !== undefined && seq >= this.#first) yield [seq, value];
    }
  }

  /** Empty: a ring that a stuck one had made wide is let go. */
  #rest(): void {
    this.#first = this.#next;
    if (this.#slots.length > SLOTS_KEPT) this.#slots = emptySlots(SLOTS_LEAST);
  }

  #grow(): void {
    const before = this.#slots;
    let length = before.length;
    while (length < this.#next - this.#first) length *= 2;
    const slots = emptySlots<T>(length);
    for (let seq = this.#first; seq < this.#next - 1; seq++)
      if (seq - this.#first < before.length) slots[seq & (length - 1)] = before[seq & (before.length - 1)];
    this.#slots = slots;
    before.fill(undefined); // it may be in the old generation already
  }
}

function emptySlots<T>(length: number): (T | undefined)[] {
  return Array.from({ length }, () => undefined);
}
