// Acks of device lanes on their way to the store: the newest of each lane and single entries acked by id, all of a tick in one call each
// (R5's counterpart for lanes). While the store is away they are kept, bounded, and go out when it is back; what is lost only repeats a
// delivery, and is counted. What an ack satisfies for an account's other devices goes on to satisfied.ts.
import type { EntrySettle, EntrySettleOutcome, Settle } from '../../store/port.ts';
import type { MessageId } from '../../protocol/ids.ts';
import type { Connection } from '../connect/connection.ts';
import { isBehind } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { Gateway } from '../gateway.ts';
import { endEntries, useRoom } from './window.ts';

const SETTLES_PER_CALL = 512;
/** Lanes and entries that may wait, about 150 bytes each. */
export const SETTLES_WAITING_MAX = 100_000;
const RETRY_MS = 500;

type SettledEntry = Extract<EntrySettleOutcome, { kind: 'settled' }>;
interface WaitingLane {
  readonly connection: Connection;
  readonly cursor: Cursor;
}
interface WaitingEntry {
  readonly connection: Connection;
  readonly cursor: Cursor;
  readonly messageId: MessageId;
  readonly settle: EntrySettle;
}

export class Settles {
  readonly #gateway: Gateway;
  #lanes: WaitingLane[] = [];
  #entries: WaitingEntry[] = [];
  #underWay: Promise<boolean> | null = null;
  #armed = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get waiting(): number {
    return this.#lanes.length + this.#entries.length;
  }

  /** `cursor.acked` has moved. */
  note(connection: Connection, cursor: Cursor): void {
    if (connection.session!.superseded) return;
    if (cursor.settling) return;
    if (!this.#hasRoom()) return;
    cursor.settling = true;
    this.#lanes.push({ connection, cursor });
    this.#arm();
  }

  /** One message was acked by its id, wherever it stands. */
  noteEntry(connection: Connection, cursor: Cursor, messageId: MessageId): void {
    const { permission, generation, superseded } = connection.session!;
    if (superseded || !this.#hasRoom()) return;
    const { app, device } = permission;
    const settle: EntrySettle = {
      app,
      device,
      lane: cursor.lane!,
      entry: { messageId },
      state: 'acked',
      generation,
      gateway: this.#gateway.name,
    };
    this.#entries.push({ connection, cursor, messageId, settle });
    this.#arm();
  }

  /** Sends all that waits; resolves when it is done or the store failed. */
  async flush(): Promise<void> {
    while (this.waiting > 0 || this.#underWay !== null) {
      this.#underWay ??= this.#send();
      if (!(await this.#underWay)) return;
    }
  }

  #hasRoom(): boolean {
    if (this.waiting < SETTLES_WAITING_MAX) return true;
    this.#gateway.counts.settlesDropped++;
    return false;
  }

  #arm(): void {
    if (this.#armed || this.#underWay !== null) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      if (this.#gateway.state.ended || this.waiting === 0) return;
      this.#underWay ??= this.#send();
    });
  }

  async #send(): Promise<boolean> {
    const sent = (await this.#sendEntries()) && (await this.#sendLanes());
    this.#underWay = null;
    if (this.waiting === 0) return sent;
    if (sent) this.#arm();
    else this.#armLater();
    return sent;
  }

  #armLater(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#gateway.clock.after(RETRY_MS, () => {
      this.#armed = false;
      this.#arm();
    });
  }

  async #sendEntries(): Promise<boolean> {
    if (this.#entries.length === 0) return true;
    const batch = this.#entries.slice(0, SETTLES_PER_CALL);
    this.#entries = this.#entries.slice(SETTLES_PER_CALL);
    try {
      const outcomes = await this.#gateway.store.settleEntries(batch.map(({ settle }) => settle));
      this.#gateway.counts.settles += batch.length;
      outcomes.forEach((outcome, i) => {
        if (outcome.kind === 'settled') this.#entryEnded(batch[i]!, outcome);
      });
      return true;
    } catch (error) {
      this.#gateway.log.warn({ entries: batch.length, problem: String(error) }, 'acks not stored, again later');
      this.#entries = [...batch, ...this.#entries];
      return false;
    }
  }

  /** From now on windows and what is written again leave it out (R4). */
  #entryEnded({ connection, cursor, messageId }: WaitingEntry, { epoch, offset, satisfied }: SettledEntry): void {
    const { satisfied: others, trace, reader } = this.#gateway;
    const { permission } = connection.session!;
    others.note(connection, cursor.lane!, satisfied);
    trace.note('acked', permission, { stream: cursor.name, epoch, offset, messageId, attempt: 0 });
    if (connection.phase !== 'live' || cursor.epoch !== epoch) return;
    const { acked } = cursor;
    endEntries(connection, cursor, { from: offset, to: offset, why: 'acked' });
    if (cursor.acked > acked) this.note(connection, cursor);
    if (isBehind(cursor)) reader.want(connection, cursor, 'now');
    useRoom(this.#gateway, connection);
  }

  async #sendLanes(): Promise<boolean> {
    if (this.#lanes.length === 0) return true;
    const batch = this.#lanes.slice(0, SETTLES_PER_CALL);
    this.#lanes = this.#lanes.slice(SETTLES_PER_CALL);
    const settles = batch.map((lane) => settleOf(lane));
    for (const { cursor } of batch) cursor.settling = false;
    try {
      const outcomes = await this.#gateway.store.settle(settles);
      this.#gateway.counts.settles += settles.length;
      outcomes.forEach(({ counted, satisfied }, i) => {
        const { cursor, connection } = batch[i]!;
        if (counted) this.#gateway.satisfied.note(connection, cursor.lane!, satisfied);
      });
      return true;
    } catch (error) {
      this.#gateway.log.warn({ settles: batch.length, problem: String(error) }, 'settles not stored, again later');
      for (const { cursor, connection } of batch) this.note(connection, cursor);
      return false;
    }
  }
}

function settleOf({ cursor, connection }: WaitingLane): Settle {
  const { permission, generation } = connection.session!;
  const { app, device } = permission;
  return {
    app,
    device,
    lane: cursor.lane!,
    epoch: cursor.epoch!,
    offset: cursor.acked,
    generation,
    gateway: connection.gateway.name,
  };
}
