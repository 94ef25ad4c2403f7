// Frames of protocol/link.ts to bytes and back. connection.ts encodes everything of one tick into one growing buffer (FrameWriter)
// and reads through Framer, which cuts a byte stream into payloads wherever its chunks happen to split; decodeFrame turns a payload
// into a frame whose record is a view into the bytes that came.
import type { AccountId, AppId, BootId, DeviceId, Epoch, TopicName } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Answer, Forwarded, LinkFrame } from '../protocol/link.ts';
import { LANES } from '../protocol/streams.ts';
import type { NotRecoveredReason } from '../protocol/streams.ts';

export type FrameFault = 'too-large' | 'malformed' | 'unknown-kind';

/** Bytes that are not frames of this version; the link they came on is closed with `fault` as the reason. */
export class LinkFrameError extends Error {
  readonly code = 'link-frame';
  readonly fault: FrameFault;
  constructor(fault: FrameFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** The kind byte of each frame. 64 and above belong to the handshake. */
const KIND = {
  'deliver-device': 1,
  'deliver-topic': 2,
  answer: 3,
  replaced: 4,
  ping: 5,
  pong: 6,
  'deliver-many': 7,
  'answer-many': 8,
  command: 9,
  reply: 10,
  'forward-live': 11,
  'feed-request': 12,
  feed: 13,
  'feed-later': 14,
  forwarded: 15,
} as const satisfies Record<LinkFrame['kind'], number>;
type HotKind = 'deliver-device' | 'deliver-topic' | 'answer' | 'replaced' | 'ping' | 'pong';
const FORWARDED = ['sent', 'offline', 'unknown', 'busy'] as const satisfies readonly Forwarded['outcome'][];
const OUTCOMES = ['taken', 'not-here', 'slow'] as const satisfies readonly Answer['outcome'][];
const HEADER_BYTES = 4;
const START_BYTES = 16 * 1024;

// ---- writing

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

// ---- reading

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

/** One payload → frame. `record` is a view into it. Ids are trusted: the peer has proved the link key. Throws LinkFrameError. */
export function decodeFrame(payload: Buffer): LinkFrame {
  const reader = new PayloadReader(payload);
  let frame: LinkFrame;
  try {
    frame = readFrame(reader);
  } catch (error) {
    if (error instanceof RangeError) throw new LinkFrameError('malformed', 'a field runs past the end of its frame');
    throw error;
  }
  if (reader.at !== payload.length)
    throw new LinkFrameError('malformed', `expected ${reader.at} bytes for ${frame.kind}, got ${payload.length}`);
  return frame;
}

function readFrame(r: PayloadReader): LinkFrame {
  const kind = r.byte();
  switch (kind) {
    case KIND['deliver-device']:
      return {
        kind: 'deliver-device',
        seq: r.number(),
        app: r.text() as AppId,
        device: r.text() as DeviceId,
        bootId: r.text() as BootId,
        lane: r.choice(LANES),
        epoch: r.epoch(),
        offset: r.number(),
        prev: r.number(),
        stamp: r.number(),
        record: r.raw(),
      };
    case KIND['deliver-topic']:
      return {
        kind: 'deliver-topic',
        seq: r.number(),
        app: r.text() as AppId,
        topic: r.text() as TopicName,
        epoch: r.epoch(),
        offset: r.number(),
        prev: r.number(),
        stamp: r.number(),
        record: r.raw(),
      };
    case KIND.answer:
      return { kind: 'answer', seq: r.number(), outcome: r.choice(OUTCOMES), sessions: r.count() };
    case KIND.replaced:
      return {
        kind: 'replaced',
        app: r.text() as AppId,
        device: r.text() as DeviceId,
        generation: r.number(),
        resumed: r.choice([false, true]),
      };
    case KIND.ping:
      return { kind: 'ping', seq: r.number() };
    case KIND.pong:
      return { kind: 'pong', seq: r.number() };
    default:
      return readRest(r, kind);
  }
}

function readRest(r: PayloadReader, kind: number): LinkFrame {
  switch (kind) {
    case KIND['deliver-many']:
      return {
        kind: 'deliver-many',
        seq: r.number(),
        app: r.text() as AppId,
        bootId: r.text() as BootId,
        lane: r.choice(LANES),
        record: r.raw(),
        rows: r.list(() => ({
          device: r.text() as DeviceId,
          epoch: r.text() as Epoch,
          offset: r.number(),
          prev: r.number(),
        })),
      };
    case KIND['answer-many']:
      return {
        kind: 'answer-many',
        seq: r.number(),
        notHere: r.list(() => r.count()),
        slow: r.list(() => r.count()),
      };
    case KIND.command:
      return {
        kind: 'command',
        seq: r.number(),
        op: r.text(),
        app: r.text() as AppId | '',
        account: r.text() as AccountId | '',
        device: r.text() as DeviceId | '',
        body: r.raw(),
      };
    case KIND.reply:
      return { kind: 'reply', seq: r.number(), status: r.count(), body: r.raw() };
    case KIND['forward-live']:
      return {
        kind: 'forward-live',
        seq: r.number(),
        app: r.text() as AppId,
        topic: r.text() as TopicName | '',
        device: r.text() as DeviceId | '',
        lane: r.choice(LANES),
        floor: r.number(),
        record: r.raw(),
      };
    case KIND.forwarded:
      return {
        kind: 'forwarded',
        seq: r.number(),
        outcome: r.choice(FORWARDED),
        gateways: r.count(),
        bootId: r.text() as BootId | '',
        stamp: r.number(),
      };
    case KIND['feed-request']:
      return {
        kind: 'feed-request',
        seq: r.number(),
        app: r.text() as AppId,
        device: r.text() as DeviceId,
        lane: r.choice(LANES),
        epoch: r.epoch(),
        offset: r.number(),
        entriesMax: r.count(),
      };
    case KIND.feed:
      return {
        kind: 'feed',
        seq: r.number(),
        epoch: r.epoch(),
        notRecovered: r.text() as NotRecoveredReason | '',
        from: r.number(),
        head: r.number(),
        complete: r.choice([false, true]),
        entries: r.list(() => ({ offset: r.number(), prev: r.number(), record: r.raw() })),
      };
    case KIND['feed-later']:
      return { kind: 'feed-later', seq: r.number(), retryAfterMs: r.number() };
    default:
      throw new LinkFrameError('unknown-kind', `expected a kind of 1–15, got ${kind}`);
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
