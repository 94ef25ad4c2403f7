// The outbox: what waits to be written, for all connections of a gateway. Frames are appended in a plain loop and leave in ONE write
// for each connection and tick; a tick ends at setImmediate, so a lone message waits for no timer.
//
// What a connection has waiting is a path in a tree of parts, and the connection holds only the path's end. Connections that were
// given the same frames in the same order share one path: a broadcast costs each of them one pointer, and the bytes of a batch are
// joined once for all. Trial: one socket write costs ~8.5 µs, so the writes that are spared are what counts.
//
// Frames are complete WebSocket frames (ws-frame.ts) and go straight to the TCP socket. That is safe because server frames are not
// masked, ws writes whole frames synchronously as long as no compression is negotiated (it never is here), and everything that ws
// itself writes (pong, close) comes after a flush of that connection or between two whole frames.
import type { Socket } from 'node:net';

/** One frame after those before it. */
class Part {
  readonly before: Part | null;
  readonly frame: Uint8Array;
  /** Of the whole path, this one included. */
  readonly bytes: number;
  /** The continuation asked for last. */
  next: Part | null = null;
  /** The path's bytes, joined when first needed. */
  joined: Uint8Array | null = null;

  constructor(before: Part | null, frame: Uint8Array) {
    this.before = before;
    this.frame = frame;
    this.bytes = frame.length + (before === null ? 0 : before.bytes);
  }
}

/** What the outbox keeps with each connection. */
export interface Writer {
  /** Null once the connection is gone. */
  readonly tcp: Socket | null;
  /** End of what waits for the next flush. */
  tail: Part | null;
  /** Bytes in the socket while it is full. */
  backlog: number;
  /** The socket said it is full, and will say when it is not. */
  full: boolean;
  /** A message was refused as `slow` since the last drained(). */
  starved: boolean;
  /** There is room again; called once after the socket had been full, or after a message had been refused. */
  drained(): void;
}

export interface OutboxCounts {
  bytes: number;
  writes: number;
  frames: number;
}

/** Connections written between two turns of the event loop: 512 × ~8.5 µs is about 4 ms before frames of clients are read again. */
const WRITES_PER_TURN = 512;
/** Under lasting load the list never runs empty: what is done is cut off when it has grown this long. */
const COMPACT_AT = 32_768;

export class Outbox {
  readonly counts: OutboxCounts = { bytes: 0, writes: 0, frames: 0 };
  readonly #bytesMax: number;
  #root: Part | null = null;
  #dirty: Writer[] = [];
  #flushed = 0;
  #armed = false;
  /** Writers whose socket takes no more for now. */
  readonly #blocked = new Set<Writer>();
  readonly #flush = (): void => this.#flushSome();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Appends a message, or says `slow`: then the caller drops it (live) or stops and reads it later (durable). */
  offer(writer: Writer, frame: Uint8Array): 'queued' | 'slow' {
    if (writer.starved) return 'slow'; // nothing overtakes what was refused
    const { tail } = writer;
    const waiting = writer.backlog + (tail === null ? 0 : tail.bytes);
    // With nothing waiting any frame is taken, however small the limit: or it could never be sent.
    if (waiting > 0 && waiting + frame.length > this.#bytesMax && !this.#fits(writer, frame.length)) {
      writer.starved = true;
      return 'slow';
    }
    this.push(writer, frame);
    return 'queued';
  }

  /** Appends an answer of ours, which is never dropped; the answers of one connection are bounded by the frames it sends. */
  push(writer: Writer, frame: Uint8Array): void {
    const { tail } = writer;
    if (tail === null) {
      this.#dirty.push(writer);
      if (!this.#armed) {
        this.#armed = true;
        setImmediate(this.#flush);
      }
    }
    writer.tail = this.#after(tail, frame);
    this.counts.frames++;
  }

  /** Bytes that wait, for all connections together. Cost: O(connections that are written or full now). */
  waitingBytes(): number {
    let sum = 0;
    for (let i = this.#flushed; i < this.#dirty.length; i++) sum += this.#dirty[i]!.tail?.bytes ?? 0;
    for (const writer of this.#blocked) {
      if (writer.tcp === null) this.#blocked.delete(writer);
      else sum += writer.tcp.writableLength;
    }
    return sum;
  }

  /** Whether so much waits that nothing of the other side's fault fits any more. */
  isFull(writer: Writer): boolean {
    return !this.#fits(writer, 0);
  }

  /** Writes now what waits for one connection: before a close. */
  flushOne(writer: Writer): void {
    const { tail } = writer;
    writer.tail = null;
    if (tail !== null && writer.tcp !== null) this.#write(writer, writer.tcp, tail);
  }

  #fits(writer: Writer, bytes: number): boolean {
    if (writer.full && writer.tcp !== null) writer.backlog = writer.tcp.writableLength;
    return writer.backlog + (writer.tail === null ? 0 : writer.tail.bytes) + bytes <= this.#bytesMax;
  }

  #after(tail: Part | null, frame: Uint8Array): Part {
    const known = tail === null ? this.#root : tail.next;
    if (known !== null && known.frame === frame) return known;
    const part = new Part(tail, frame);
    if (tail === null) this.#root = part;
    else tail.next = part;
    return part;
  }

  #flushSome(): void {
    const dirty = this.#dirty;
    const end = Math.min(dirty.length, this.#flushed + WRITES_PER_TURN);
    for (let i = this.#flushed; i < end; i++) this.flushOne(dirty[i]!);
    if (end < dirty.length) {
      this.#flushed = end;
      if (end >= COMPACT_AT) {
        this.#dirty = dirty.slice(end);
        this.#flushed = 0;
      }
      setImmediate(this.#flush);
      return;
    }
    this.#dirty = [];
    this.#flushed = 0;
    this.#armed = false;
    this.#root = null; // what was written may go
  }

  #relieve(writer: Writer): void {
    if (!writer.starved) return;
    writer.starved = false;
    writer.drained();
  }

  #write(writer: Writer, tcp: Socket, tail: Part): void {
    const taken = tcp.write(tail.before === null ? tail.frame : (tail.joined ??= join(tail)));
    this.counts.writes++;
    this.counts.bytes += tail.bytes;
    if (taken) return this.#relieve(writer);
    writer.backlog = tcp.writableLength;
    if (writer.full) return;
    writer.full = true;
    this.#blocked.add(writer);
    tcp.once('drain', () => {
      writer.full = false;
      this.#blocked.delete(writer);
      writer.backlog = 0;
      writer.starved = true;
      this.#relieve(writer);
    });
  }
}

function join(tail: Part): Uint8Array {
  const out = Buffer.allocUnsafeSlow(tail.bytes);
  for (let part: Part | null = tail; part !== null; part = part.before)
    out.set(part.frame, part.bytes - part.frame.length);
  return out;
}
