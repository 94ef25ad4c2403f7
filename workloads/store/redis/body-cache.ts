// Records that many streams refer to, kept in the process for a while: they never change. Each until a
// time, all bounded by bytes; the one not asked for the
// longest goes first. messages.ts asks it before the store.

/** What a kept record costs beside its bytes. */
const OVERHEAD_BYTES = 200;

export class BodyCache {
  readonly #bytesMax: number;
  readonly #records = new Map<string, { readonly record: Uint8Array; readonly untilMs: number }>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string, nowMs: number): Uint8Array | null {
    const kept = this.#records.get(key);
    if (kept === undefined) return null;
    this.#drop(key, kept.record);
    if (kept.untilMs <= nowMs) return null;
    this.#add(key, kept);
    return kept.record;
  }

  /** Keeps a copy: `record` may be a part of a larger reply. One larger than all of the cache is not kept. */
  put(key: string, record: Uint8Array, untilMs: number): void {
    if (record.length + OVERHEAD_BYTES > this.#bytesMax || this.#records.has(key)) return;
    this.#add(key, { record: Uint8Array.from(record), untilMs });
    for (const [oldest, kept] of this.#records) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#drop(oldest, kept.record);
    }
  }

  #add(key: string, kept: { record: Uint8Array; untilMs: number }): void {
    this.#records.set(key, kept);
    this.#bytes += kept.record.length + OVERHEAD_BYTES;
  }
  #drop(key: string, record: Uint8Array): void {
    this.#records.delete(key);
    this.#bytes -= record.length + OVERHEAD_BYTES;
  }
}
