// Acks and nacks on their way to the gateway: on the serving connection only, and only where it speaks the epoch. client.ts has one; what
// cannot be sent is not lost: it stays unacked, and comes again.
import { LIMITS } from '../protocol/limits.ts';
import type { ClientFrame } from '../protocol/frames.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import type { IdAck, Inbox, InboxItem, Place } from './inbox.ts';
import type { Nack } from './nack.ts';

/** Duplicates of what is held come in crowds: one ack answers those of so long. */
const AGAIN_AFTER_MS = 50;

export interface AcksOptions {
  readonly inbox: Inbox;
  /** The connection that serves; null: none. */
  readonly serving: () => number | null;
  readonly send: (conn: number, frame: ClientFrame) => void;
  readonly after: (delayMs: number, fn: () => void) => () => void;
}

export class Acks {
  readonly #options: AcksOptions;
  #cancelAgain: (() => void) | null = null;
  #acks = 0;
  #nacks = 0;

  constructor(options: AcksOptions) {
    this.#options = options;
  }

  counters(): { acks: number; nacks: number } {
    return { acks: this.#acks, nacks: this.#nacks };
  }

  /** These were saved. */
  saved(positions: readonly Position[], items: readonly InboxItem[]): void {
    const { inbox, serving } = this.#options;
    const conn = serving();
    if (conn === null) return;
    const streams = new Set(positions.map(({ stream }) => stream));
    this.#send(conn, inbox.acks(conn, streams), inbox.idAcks(conn, items));
  }

  /** A duplicate came: acks that were lost are sent once more, soon. */
  againSoon(): void {
    const { inbox, serving, after } = this.#options;
    this.#cancelAgain ??= after(AGAIN_AFTER_MS, () => {
      this.#cancelAgain = null;
      const conn = serving();
      const { streams, ids } = inbox.takeAcksAgain();
      if (conn !== null) this.#send(conn, inbox.acks(conn, streams), ids);
    });
  }

  nack(stream: StreamName, place: Place, nack: Nack): void {
    const { inbox, serving, send } = this.#options;
    const conn = serving();
    if (conn === null || !inbox.speaks(conn, stream, place)) return;
    send(conn, { type: 'nack', stream, ...place, ...nack });
    this.#nacks++;
  }

  stop(): void {
    this.#cancelAgain?.();
  }

  #send(conn: number, positions: readonly Position[], ids: readonly IdAck[]): void {
    const max = LIMITS.positionsPerFrameMax;
    for (let i = 0; i < Math.max(positions.length, ids.length); i += max) {
      const some = ids.slice(i, i + max);
      const ack = { type: 'ack', positions: positions.slice(i, i + max) } as const;
      this.#options.send(conn, some.length === 0 ? ack : { ...ack, ids: some });
      this.#acks++;
    }
  }
}
