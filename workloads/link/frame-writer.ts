// Frames of protocol/link.ts to bytes: everything of one tick in one growing buffer. connection.ts, the bus records and the TCP door
// write with it; codec.ts reads what it wrote.
import { LIMITS } from '../protocol/limits.ts';
import type { LinkFrame } from '../protocol/link.ts';
import { LANES } from '../protocol/streams.ts';
import { FORWARDED, HEADER_BYTES, KIND, LinkFrameError, OUTCOMES } from './frame-kinds.ts';

type HotKind = 'deliver-device' | 'deliver-topic' | 'answer' | 'replaced' | 'ping' | 'pong';
const START_BYTES = 16 * 1024;

/** Many frames in one buffer. `take` hands the bytes out; a buffer that is not in use any more can be given back. */
export class FrameWriter {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #spare: Buffer | null = null;

  /** Bytes written and not yet taken. */
  get length(): number {
    return this.#at;
  }

  /** Appends a frame. Cost: one copy of the record. Throws LinkFrameError, and then nothing was appended. */
  write(frame: LinkFrame): void {
    const start = this.#at;
    this.#room(HEADER_BYTES + 1);
    this.#at += HEADER_BYTES;
    this.#bytes[this.#at++] = KIND[frame.kind];
    this.#body(frame);
    const length = this.#at - start - HEADER_BYTES;
    if (length > LIMITS.linkFrameBytesMax) {
      this.#at = start;
      throw new LinkFrameError('too-large', `expected at most ${LIMITS.linkFrameBytesMax} bytes, got ${length}`);
    }
    this.#bytes.writeUInt32LE(length, start);
  }

  /** Everything written since the last take. The bytes are the caller's until `giveBack`. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#at);
    this.#bytes = this.#spare ?? Buffer.alloc(0);
    this.#spare = null;
    this.#at = 0;
    return taken;
  }

  /** A taken buffer that nobody reads any more; kept for the next tick unless it is unusually large. */
  giveBack(taken: Buffer): void {
    if (this.#spare !== null || taken.buffer.byteLength > 16 * START_BYTES) return;
    this.#spare = Buffer.from(taken.buffer);
  }

  #body(frame: LinkFrame): void {
    switch (frame.kind) {
      case 'deliver-device':
        this.#number(frame.seq);
        this.#text(frame.app);
        this.#text(frame.device);
        this.#text(frame.bootId);
        this.#byte(LANES.indexOf(frame.lane));
        this.#text(frame.epoch ?? '');
        this.#number(frame.offset);
        this.#number(frame.prev);
        this.#number(frame.stamp);
        return this.#raw(frame.record);
      case 'deliver-topic':
        this.#number(frame.seq);
        this.#text(frame.app);
        this.#text(frame.topic);
        this.#text(frame.epoch ?? '');
        this.#number(frame.offset);
        this.#number(frame.prev);
        this.#number(frame.stamp);
        return this.#raw(frame.record);
      case 'answer':
        this.#number(frame.seq);
        this.#byte(OUTCOMES.indexOf(frame.outcome));
        return this.#count(frame.sessions);
      case 'replaced':
        this.#text(frame.app);
        this.#text(frame.device);
        this.#number(frame.generation);
        return this.#byte(frame.resumed ? 1 : 0);
      case 'ping':
      case 'pong':
        return this.#number(frame.seq);
      default:
        return this.#rest(frame);
    }
  }

  /** The frames that are not sent for each message and gateway. */
  #rest(frame: Exclude<LinkFrame, { kind: HotKind }>): void {
    this.#number(frame.seq);
    switch (frame.kind) {
      case 'deliver-many':
        this.#text(frame.app);
        this.#text(frame.bootId);
        this.#byte(LANES.indexOf(frame.lane));
        this.#raw(frame.record);
        this.#count(frame.rows.length);
        for (const { device, epoch, offset, prev } of frame.rows) {
          this.#text(device);
          this.#text(epoch);
          this.#number(offset);
          this.#number(prev);
        }
        return;
      case 'answer-many':
        this.#counts(frame.notHere);
        return this.#counts(frame.slow);
      case 'command':
        this.#text(frame.op);
        this.#text(frame.app);
        this.#text(frame.account);
        this.#text(frame.device);
        return this.#raw(frame.body);
      case 'reply':
        this.#count(frame.status);
        return this.#raw(frame.body);
      case 'forward-live':
        this.#text(frame.app);
        this.#text(frame.topic);
        this.#text(frame.device);
        this.#byte(LANES.indexOf(frame.lane));
        this.#number(frame.floor);
        return this.#raw(frame.record);
      case 'forwarded':
        this.#byte(FORWARDED.indexOf(frame.outcome));
        this.#count(frame.gateways);
        this.#text(frame.bootId);
        return this.#number(frame.stamp);
      case 'feed-request':
        this.#text(frame.app);
        this.#text(frame.device);
        this.#byte(LANES.indexOf(frame.lane));
        this.#text(frame.epoch ?? '');
        this.#number(frame.offset);
        return this.#count(frame.entriesMax);
      case 'feed':
        this.#text(frame.epoch ?? '');
        this.#text(frame.notRecovered);
        this.#number(frame.from);
        this.#number(frame.head);
        this.#byte(frame.complete ? 1 : 0);
        this.#count(frame.entries.length);
        for (const { offset, prev, record } of frame.entries) {
          this.#number(offset);
          this.#number(prev);
          this.#raw(record);
        }
        return;
      case 'feed-later':
        return this.#number(frame.retryAfterMs);
    }
  }
  #count(value: number): void {
    this.#room(4);
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
  }
  #counts(values: readonly number[]): void {
    this.#count(values.length);
    for (const value of values) this.#count(value);
  }

  #byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }
  #number(value: number): void {
    this.#room(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }
  #text(text: string): void {
    this.#room(2 + 3 * text.length);
    const start = this.#at + 2;
    const bytes = this.#bytes;
    let i = 0;
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) break;
      bytes[start + i] = code; // ids are short and ASCII: a plain loop beats the call into native code
    }
    const length = i === text.length ? i : bytes.write(text, start, 'utf8');
    if (length > 0xffff) throw new LinkFrameError('too-large', `expected a text of at most 65535 bytes, got ${length}`);
    bytes.writeUInt16LE(length, this.#at);
    this.#at = start + length;
  }
  #raw(bytes: Uint8Array): void {
    this.#room(4 + bytes.length);
    this.#at = this.#bytes.writeUInt32LE(bytes.length, this.#at);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }
  #room(more: number): void {
    const needed = this.#at + more;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(START_BYTES, this.#bytes.length * 2, needed));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }
}
