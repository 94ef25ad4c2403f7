// One link after or during its handshake, the same at both ends: one write for each tick, a bounded outgoing buffer, keep-alive,
// and one reason when it ends. server.ts and client.ts make them; frames go to whoever opened the link.
import type { Socket } from 'node:net';
import { LIMITS } from '../protocol/limits.ts';
import type { LinkFrame } from '../protocol/link.ts';
import type { Clock } from '../runtime/clock.ts';
import { decodeFrame } from './codec.ts';
import { LinkFrameError } from './frame-kinds.ts';
import { FrameWriter } from './frame-writer.ts';
import { Framer } from './framer.ts';
import { countClose } from './counters.ts';
import type { LinkCloseReason, LinkCounters } from './counters.ts';
import { HANDSHAKE_FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT_MS } from './handshake.ts';
import type { Handshake, LinkIdentity } from './handshake.ts';

/** `queued`: it leaves in this tick's write. `full`: the buffer is at its bound, nothing was taken. `down`: there is no link now. */
export type SendOutcome = 'queued' | 'full' | 'down';

/** A ping each 2 s, and three silent intervals end the link: 6 s, as long as a gateway's lease. */
export const LINK_PING_MS = 2000;
const SILENT_INTERVALS_MAX = 3;
/** Bytes waiting for one peer: about 80,000 messages of 200 bytes. */
export const LINK_BUFFER_BYTES_MAX = 16 * 1024 * 1024;

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly handshake: Handshake;
  readonly clock: Clock;
  readonly counters: LinkCounters;
  readonly bufferBytesMax: number;
  readonly pingMs: number;
  onOpen(peer: LinkIdentity): void;
  onFrame(frame: LinkFrame): void;
  /** Once, whether it was open before or not. */
  onEnd(reason: LinkCloseReason): void;
}

export class LinkConnection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #framer = new Framer(HANDSHAKE_FRAME_BYTES_MAX);
  readonly #writer = new FrameWriter();
  #state: 'handshake' | 'open' | 'ended' = 'handshake';
  #flushAsked = false;
  #heardMs: number;
  #pings = 0;
  #cancelTimer: () => void;

  constructor(options: ConnectionOptions) {
    const { socket, clock } = options;
    this.#options = options;
    this.#socket = socket;
    this.#heardMs = clock.monotonicMs();
    this.#cancelTimer = clock.after(HANDSHAKE_TIMEOUT_MS, () => this.end('handshake-timeout'));
    socket.setNoDelay(true); // a tick is the batch; the kernel must not wait for more
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => this.end(this.#state === 'open' ? 'socket-error' : 'unreachable'));
    socket.on('close', () => this.end('peer-closed'));
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }
  /** Bytes on their way out. */
  get waitingBytes(): number {
    return this.#writer.length + this.#socket.writableLength;
  }

  send(frame: LinkFrame): SendOutcome {
    if (this.#state !== 'open') return 'down';
    if (this.waitingBytes >= this.#options.bufferBytesMax) {
      this.#options.counters.full++;
      return 'full';
    }
    this.#put(frame);
    return 'queued';
  }

  /** Handshake bytes go past the writer: they are few and each waits for an answer. */
  sendRaw(bytes: Buffer): void {
    if (bytes.length > 0 && this.#state !== 'ended') this.#socket.write(bytes);
  }

  /** Everything sent so far leaves, then the connection ends. */
  close(): void {
    if (this.#state === 'ended') return;
    if (this.#state === 'open') this.#flush();
    this.#finish('closed-here');
    this.#socket.end();
    // A peer that never closes its half would keep the socket: a bounded farewell.
    const cancel = this.#options.clock.after(LINK_PING_MS, () => this.#socket.destroy());
    this.#socket.once('close', cancel);
  }

  /** Ends at once, dropping what waits. */
  end(reason: LinkCloseReason): void {
    if (this.#state === 'ended') return;
    this.#finish(reason);
    this.#socket.destroy();
  }

  #finish(reason: LinkCloseReason): void {
    this.#state = 'ended';
    this.#framer.stop();
    this.#cancelTimer();
    countClose(this.#options.counters, reason);
    this.#options.onEnd(reason);
  }

  #put(frame: LinkFrame): void {
    this.#writer.write(frame);
    this.#options.counters.framesOut++;
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushAsked = false;
    if (this.#state !== 'open' || this.#writer.length === 0) return;
    const bytes = this.#writer.take();
    this.#options.counters.bytesOut += bytes.length;
    this.#options.counters.writes++;
    this.#socket.write(bytes, () => this.#writer.giveBack(bytes));
  }

  #read(chunk: Buffer): void {
    this.#heardMs = this.#options.clock.monotonicMs();
    this.#options.counters.bytesIn += chunk.length;
    try {
      this.#framer.feed(chunk, (payload) => (this.#state === 'open' ? this.#take(payload) : this.#shake(payload)));
    } catch (error) {
      if (!(error instanceof LinkFrameError)) throw error;
      this.end(this.#state === 'open' ? error.fault : 'handshake-malformed');
    }
  }

  #shake(payload: Buffer): void {
    const step = this.#options.handshake.step(payload);
    this.sendRaw(step.bytes);
    if (step.kind === 'send') return;
    if (step.kind === 'refused') {
      this.#finish(`handshake-${step.reason}`);
      this.#socket.destroySoon(); // a spoken refusal still leaves
      return;
    }
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.every(this.#options.pingMs, () => this.#keepAlive());
    this.#framer.raise(LIMITS.linkFrameBytesMax);
    this.#state = 'open';
    this.#options.onOpen(step.peer);
  }

  #take(payload: Buffer): void {
    const frame = decodeFrame(payload);
    this.#options.counters.framesIn++;
    if (frame.kind === 'ping') this.#put({ kind: 'pong', seq: frame.seq });
    else if (frame.kind !== 'pong') this.#options.onFrame(frame);
  }

  #keepAlive(): void {
    const silentMs = this.#options.clock.monotonicMs() - this.#heardMs;
    if (silentMs >= SILENT_INTERVALS_MAX * this.#options.pingMs) this.end('silent');
    else this.#put({ kind: 'ping', seq: ++this.#pings });
  }
}
