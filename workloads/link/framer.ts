// Bytes that came, cut into payloads wherever their chunks happen to split, and a payload read field by field. codec.ts and the handshake
// make frames of what comes out.
import type { Epoch } from '../protocol/ids.ts';
import { HEADER_BYTES, LinkFrameError } from './frame-kinds.ts';

/** Cuts a byte stream into payloads. A payload that lies within one chunk is a view into it; one that is split is copied once. */
export class Framer {
  #bytesMax: number;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerFill = 0;
  #payload: Buffer | null = null;
  #fill = 0;
  #stopped = false;

  /** @param bytesMax a payload's most bytes; `raise` lifts it once the peer is known */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }
  raise(bytesMax: number): void {
    this.#bytesMax = bytesMax;
  }
  /** A payload or its length has begun and not ended. */
  get isWithinFrame(): boolean {
    return this.#payload !== null || this.#headerFill > 0;
  }
  /** Nothing more is handed out, not even what the present chunk still holds. */
  stop(): void {
    this.#stopped = true;
    this.#payload = null;
  }

  /** Hands out each payload that is whole. Throws LinkFrameError. */
  feed(chunk: Buffer, onPayload: (payload: Buffer) => void): void {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      if (this.#payload !== null) {
        const copied = chunk.copy(this.#payload, this.#fill, at);
        at += copied;
        this.#fill += copied;
        if (this.#fill < this.#payload.length) return;
        const whole = this.#payload;
        this.#payload = null;
        onPayload(whole);
        continue;
      }
      const take = Math.min(HEADER_BYTES - this.#headerFill, chunk.length - at);
      chunk.copy(this.#header, this.#headerFill, at, at + take);
      at += take;
      this.#headerFill += take;
      if (this.#headerFill < HEADER_BYTES) return;
      this.#headerFill = 0;
      const length = this.#checkedLength();
      if (chunk.length - at >= length) {
        onPayload(chunk.subarray(at, at + length));
        at += length;
      } else {
        this.#payload = Buffer.allocUnsafeSlow(length);
        this.#fill = 0;
      }
    }
  }

  #checkedLength(): number {
    const length = this.#header.readUInt32LE(0);
    if (length === 0) throw new LinkFrameError('malformed', 'expected a kind byte, got an empty frame');
    if (length <= this.#bytesMax) return length;
    throw new LinkFrameError('too-large', `expected at most ${this.#bytesMax} bytes, got ${length}`);
  }
}

/** Reads fields in order; running past the end is a RangeError. The handshake reads its frames with it too. */
export class PayloadReader {
  readonly #bytes: Buffer;
  at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  byte(): number {
    return this.#bytes.readUInt8(this.at++);
  }
  count(): number {
    this.at += 4;
    return this.#bytes.readUInt32LE(this.at - 4);
  }
  number(): number {
    this.at += 8;
    return this.#bytes.readDoubleLE(this.at - 8);
  }
  choice<T>(values: readonly T[]): T {
    const index = this.byte();
    const value = values[index];
    if (value === undefined) throw new LinkFrameError('malformed', `expected 0–${values.length - 1}, got ${index}`);
    return value;
  }
  text(): string {
    const length = this.#bytes.readUInt16LE(this.at);
    const start = this.at + 2;
    this.#skip(2 + length);
    return this.#bytes.toString('utf8', start, this.at);
  }
  epoch(): Epoch | null {
    const text = this.text();
    return text === '' ? null : (text as Epoch);
  }
  /** A counted list; each item takes at least a byte, so a forged count ends at the end of the frame. */
  list<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.count(); left > 0; left--) items.push(read());
    return items;
  }
  raw(): Buffer {
    const length = this.#bytes.readUInt32LE(this.at);
    const start = this.at + 4;
    this.#skip(4 + length);
    return this.#bytes.subarray(start, this.at);
  }
  /** Exactly `length` bytes, as a view. */
  bytes(length: number): Buffer {
    const start = this.at;
    this.#skip(length);
    return this.#bytes.subarray(start, this.at);
  }
  #skip(length: number): void {
    if (this.at + length > this.#bytes.length) throw new RangeError('past the end');
    this.at += length;
  }
}
