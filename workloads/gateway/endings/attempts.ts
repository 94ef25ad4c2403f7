// Deliveries of the lowest unsettled entry of lanes, on their way to the store (R9): so that a message that crashes its client is not given
// all its attempts anew with each connection. Written when they pass one, and when a session ends; topics keep theirs with the cursor
// (cursor-flush.ts). What is lost on the way only makes a count too low.
import type { Attempts } from '../../store/port.ts';
import type { Connection } from '../connect/connection.ts';
import type { Cursor } from './cursor.ts';
import type { Gateway } from '../gateway.ts';

const ROWS_PER_CALL = 512;
/** Rows that may wait, about 200 bytes each. */
export const ATTEMPTS_WAITING_MAX = 20_000;
const RETRY_MS = 1000;

export class AttemptsFlush {
  readonly #gateway: Gateway;
  readonly #waiting = new Map<Cursor, Attempts>();
  #busy = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** The lowest entry of this cursor was delivered again, or its session ends. */
  note(connection: Connection, cursor: Cursor): void {
    if (cursor.attempts === cursor.attemptsSaved || connection.session!.superseded) return;
    if (cursor.lane === null) {
      this.#gateway.cursorFlush.note(connection);
      return;
    }
    if (cursor.epoch === null || this.#waiting.size >= ATTEMPTS_WAITING_MAX) return;
    const { permission, generation } = connection.session!;
    const { app, device } = permission;
    const { name: stream, epoch, attempts } = cursor;
    this.#waiting.set(cursor, { app, device, generation, stream, epoch, offset: cursor.acked + 1, attempts });
    this.#arm();
  }

  /** Sends all that waits; resolves when it is done or the store failed. */
  async flush(): Promise<void> {
    while (this.#waiting.size > 0 && (await this.#send()));
  }

  #arm(): void {
    if (this.#busy) return;
    this.#busy = true;
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    if (this.#gateway.state.ended) return;
    const done = await this.#send();
    this.#busy = false;
    if (this.#waiting.size === 0) return;
    if (done) this.#arm();
    else {
      this.#busy = true;
      this.#gateway.clock.after(RETRY_MS, () => void this.#run());
    }
  }

  async #send(): Promise<boolean> {
    const batch = [...this.#waiting.entries().take(ROWS_PER_CALL)];
    try {
      await this.#gateway.store.saveAttempts(batch.map(([, row]) => row));
    } catch (error) {
      this.#gateway.log.warn({ rows: batch.length, problem: String(error) }, 'attempts not stored, again later');
      return false;
    }
    for (const [cursor, row] of batch) {
      if (this.#waiting.get(cursor) === row) this.#waiting.delete(cursor);
      if (cursor.acked + 1 === row.offset) cursor.attemptsSaved = row.attempts;
    }
    return true;
  }
}
