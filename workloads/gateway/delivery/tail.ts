// The tail of a topic: its newest entries as hints brought them, so that hearers who are behind by a few (a gap, a window that was full, a
// resume after a moment) are served without a read of the store (R11). fanout.ts fills it, stream-reader.ts and recovery.ts ask. It holds an
// unbroken chain of one epoch; whatever does not continue it begins it anew.
import type { Epoch } from '../../protocol/ids.ts';
import type { ReadOutcome } from '../../store/port.ts';
import type { MessageEncoder } from './encode.ts';
import type { Place } from '../connect/start.ts';

/** Entries and bytes of one topic's tail. */
export const TAIL_ENTRIES_MAX = 32;
export const TAIL_BYTES_MAX = 64 * 1024;
/** Older ones are read from the store: an entry may have been cancelled there since. */
export const TAIL_AGE_MS_MAX = 5000;

interface TailEntry {
  readonly prev: number;
  readonly encoder: MessageEncoder;
  readonly record: Uint8Array;
  readonly atMs: number;
}
/** What a read of the store would have answered, with the entries encoded already. */
export interface TailPage {
  readonly outcome: ReadOutcome;
  readonly encoders: readonly MessageEncoder[];
}

export class Tail {
  #epoch: Epoch | null = null;
  #entries: TailEntry[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** The newest entry. */
  push(epoch: Epoch, entry: TailEntry): void {
    const last = this.#entries.at(-1);
    if (this.#epoch === epoch && last !== undefined && entry.encoder.offset <= last.encoder.offset) return; // a hint that came again
    if (this.#epoch !== epoch || last?.encoder.offset !== entry.prev) this.clear();
    this.#epoch = epoch;
    this.#entries.push(entry);
    this.#bytes += entry.record.length;
    while (this.#entries.length > TAIL_ENTRIES_MAX || (this.#bytes > TAIL_BYTES_MAX && this.#entries.length > 1))
      this.#bytes -= this.#entries.shift()!.record.length;
  }

  clear(): void {
    this.#entries = [];
    this.#bytes = 0;
  }

  /** All that follows a place up to the newest entry; null: not (all) here. `head`: how far the stream is known to reach. */
  after(place: Place, head: number, nowMs: number): TailPage | null {
    const last = this.#entries.at(-1);
    if (this.#epoch !== place.epoch || last === undefined || last.encoder.offset < head) return null;
    const first = this.#entries.findIndex(({ encoder }) => encoder.offset > place.offset);
    if (first === -1 || this.#entries[first]!.prev > place.offset) return null;
    const some = this.#entries.slice(first);
    if (some[0]!.atMs < nowMs - TAIL_AGE_MS_MAX) return null;
    const alive = some.filter(({ encoder: { record } }) => record.expiresAtMs === 0 || record.expiresAtMs > nowMs);
    const entries = alive.map(({ encoder, prev, record }) => ({ offset: encoder.offset, prev, record }));
    return {
      outcome: {
        epoch: place.epoch,
        notRecovered: null,
        from: place.offset,
        entries,
        head: last.encoder.offset,
        complete: true,
      },
      encoders: alive.map(({ encoder }) => encoder),
    };
  }
}
