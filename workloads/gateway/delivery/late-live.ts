// Live messages for a client that is slow: of one key the newest is kept (conflation), of those without a key the newest few, the oldest
// dropped first; they go out when the socket has drained. A client that stays slow for long is cut. Durable messages need none of this:
// they wait in their streams. fanout.ts and deliver.ts keep, the outbox's drained() flushes. All of it is counted.
import type { Connection } from '../connect/connection.ts';
import type { MessageEncoder } from './encode.ts';
import type { Gateway } from '../gateway.ts';

/** Messages and bytes that wait for one slow client. */
export const LATE_MESSAGES_MAX = 64;
export const LATE_BYTES_MAX = 64 * 1024;
/** A client whose socket takes nothing for so long while live messages come is closed as slow. */
export const LATE_CUT_MS = 60_000;

export class LateLive {
  /** By conflation key, or a number of their own; oldest first. */
  readonly frames = new Map<string | number, Uint8Array>();
  bytes = 0;
  readonly sinceMs: number;
  #serial = 0;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  /** Keeps a frame; answers what became of others: `conflated` ones were replaced by it, `dropped` ones made room. */
  keep(key: string | null, frame: Uint8Array): { readonly conflated: number; readonly dropped: number } {
    const at = key ?? this.#serial++;
    const conflated = this.#remove(at) ? 1 : 0;
    this.frames.set(at, frame); // to the end: messages stay in their order
    this.bytes += frame.length;
    let dropped = 0;
    for (const oldest of this.frames.keys()) {
      const fits = this.frames.size <= LATE_MESSAGES_MAX && (this.bytes <= LATE_BYTES_MAX || this.frames.size === 1);
      if (fits) break;
      this.#remove(oldest);
      dropped++;
    }
    return { conflated, dropped };
  }

  #remove(key: string | number): boolean {
    const frame = this.frames.get(key);
    if (frame === undefined) return false;
    this.bytes -= frame.length;
    return this.frames.delete(key);
  }
}

/** The client took no more of a live message. */
export function keepLate(gateway: Gateway, connection: Connection, encoder: MessageEncoder): void {
  const { counts, wheel } = gateway;
  const late = (connection.late ??= new LateLive(wheel.nowMs));
  if (wheel.nowMs - late.sinceMs > LATE_CUT_MS) {
    counts.cutSlow++;
    connection.close('slow', 'nothing was read for a minute');
    return;
  }
  const { conflated, dropped } = late.keep(encoder.conflationKey(), encoder.frame(0));
  counts.conflatedLive += conflated;
  counts.droppedLive += dropped;
}

/** The socket has room again. What does not fit waits on. */
export function flushLate(gateway: Gateway, connection: Connection): void {
  const { late } = connection;
  if (late === null) return;
  connection.late = null;
  for (const [key, frame] of late.frames) {
    if (gateway.outbox.offer(connection, frame) === 'queued') gateway.counts.deliveredLive++;
    else (connection.late ??= new LateLive(gateway.wheel.nowMs)).keep(typeof key === 'string' ? key : null, frame);
  }
}
