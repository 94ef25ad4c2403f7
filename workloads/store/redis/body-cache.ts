// Records that many streams refer to, kept in the process for a while: they never change. Bounded by bytes; the one not asked for the
// longest goes first. messages.ts asks it before the store.

/** What a kept record costs beside its bytes. */
const OVERHEAD_BYTES = 200;

export class BodyCache {
  readonly #bytesMax: number;
  readonly #records = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Uint8Array | null {
    const record = this.#records.get(key);
    if (record === undefined) return null;
    this.#records.delete(key);
    this.#records.set(key, record);
    return record;
  }

  /** Keeps a copy: `record` may be a part of a larger reply. One larger than all of the cache is not kept. */
  put(key: string, record: Uint8Array): void {
    const cost = record.length + OVERHEAD_BYTES;
    if (cost > this.#bytesMax || this.#records.has(key)) return;
    this.#records.set(key, Uint8Array.from(record));
    this.#bytes += cost;
    for (const [oldest, { length }] of this.#records) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#records.delete(oldest);
      this.#bytes -= length + OVERHEAD_BYTES;
    }
  }
}
