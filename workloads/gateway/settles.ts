// Acks of device lanes on their way to the store: the newest of each lane, all of a tick in one call (R5's counterpart for lanes). While
// the store is away they are kept, bounded, and go out when it is back; what is lost only repeats a delivery.
import type { Settle } from '../store/port.ts';
import { laneOf } from '../protocol/streams.ts';
import type { Connection } from './connection.ts';
import type { Cursor } from './cursor.ts';
import type { Gateway } from './gateway.ts';

const SETTLES_PER_CALL = 512;
/** Lanes that may wait, about 150 bytes each. */
export const SETTLES_WAITING_MAX = 100_000;
const RETRY_MS = 500;

export class Settles {
  readonly #gateway: Gateway;
  readonly #waiting = new Map<Cursor, Connection>();
  #underWay: Promise<void> | null = null;
  #armed = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** `cursor.acked` has moved. */
  note(connection: Connection, cursor: Cursor): void {
    if (connection.session!.superseded) return;
    if (this.#waiting.size >= SETTLES_WAITING_MAX && !this.#waiting.has(cursor)) return;
    this.#waiting.set(cursor, connection);
    this.#arm();
  }

  /** Sends all that waits; resolves when it is done or the store failed. */
  async flush(): Promise<void> {
    while (this.#waiting.size > 0 || this.#underWay !== null) {
      this.#underWay ??= this.#send();
      const before = this.#waiting.size;
      await this.#underWay;
      if (this.#waiting.size >= before && before > 0) return;
    }
  }

  #arm(): void {
    if (this.#armed || this.#underWay !== null) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      if (this.#gateway.state.ended || this.#waiting.size === 0) return;
      this.#underWay ??= this.#send();
    });
  }

  async #send(): Promise<void> {
    const batch = [...this.#waiting.entries().take(SETTLES_PER_CALL)];
    const settles = batch.map(([cursor, connection]) => settleOf(cursor, connection));
    for (const [cursor] of batch) this.#waiting.delete(cursor);
    try {
      const counted = await this.#gateway.store.settle(settles);
      this.#gateway.counts.settles += settles.length;
      batch.forEach(([cursor], i) => {
        const { epoch, offset } = settles[i]!;
        if (counted[i]!.counted && cursor.epoch === epoch && cursor.saved < offset) cursor.saved = offset;
      });
      this.#underWay = null;
      if (this.#waiting.size > 0) this.#arm();
    } catch (error) {
      this.#gateway.log.warn({ settles: batch.length, problem: String(error) }, 'settles not stored, again later');
      for (const [cursor, connection] of batch) this.note(connection, cursor);
      this.#underWay = null;
      this.#armed = true;
      this.#gateway.clock.after(RETRY_MS, () => {
        this.#armed = false;
        this.#arm();
      });
    }
  }
}

function settleOf(cursor: Cursor, connection: Connection): Settle {
  const { permission, generation } = connection.session!;
  const { app, device } = permission;
  return {
    app,
    device,
    lane: laneOf(cursor.name)!,
    epoch: cursor.epoch!,
    offset: cursor.acked,
    generation,
    gateway: connection.gateway.name,
  };
}
