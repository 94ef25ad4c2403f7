// Acks of device lanes on their way to the store: the newest of each lane, when settle-queue.ts says so, and single entries acked by id, all
// of a tick in one call each. While the store is away they are kept, bounded, and go out when it is back; what is lost only repeats a
// delivery, and is counted. What an ack satisfies for an account's other devices goes on to satisfied.ts.
import type { EntrySettle, EntrySettleOutcome, Settle } from '../../store/port.ts';
import type { MessageId } from '../../protocol/ids.ts';
import type { Connection } from '../connect/connection.ts';
import { isBehind, noteSettled } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { Gateway } from '../gateway.ts';
import { SettleQueue } from './settle-queue.ts';
import type { WaitingLane } from './settle-queue.ts';
import { endEntries, useRoom } from './window.ts';

const SETTLES_PER_CALL = 512;
/** Lanes and entries that may wait, about 150 bytes each. */
export const SETTLES_WAITING_MAX = 100_000;
const RETRY_MS = 500;

type SettledEntry = Extract<EntrySettleOutcome, { kind: 'settled' }>;
interface WaitingEntry {
  readonly connection: Connection;
  readonly cursor: Cursor;
  readonly messageId: MessageId;
  readonly settle: EntrySettle;
}

export class Settles {
  readonly #gateway: Gateway;
  readonly #lanes: SettleQueue;
  #entries: WaitingEntry[] = [];
  #underWay: Promise<boolean> | null = null;
  #armed = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    const { settlesPerSecond: perSecond, cursorFlushMs: latestMs } = gateway.settings;
    this.#lanes = new SettleQueue({ perSecond, latestMs, nowMs: gateway.wheel.nowMs });
  }

  get waiting(): number {
    return this.#lanes.waiting + this.#entries.length;
  }

  /** `cursor.acked` has moved. */
  note(connection: Connection, cursor: Cursor): void {
    if (!this.#takes(connection, cursor)) return;
    this.#lanes.note(connection, cursor, this.#gateway.wheel.nowMs);
    this.#arm();
  }

  /** The same, and it does not wait: nobody knows what entries the client acked elsewhere. */
  noteNow(connection: Connection, cursor: Cursor): void {
    if (!this.#takes(connection, cursor)) return;
    this.#lanes.hurry(connection, cursor);
    this.#arm();
  }

  /** The session ends: what it acked does not wait any longer. */
  end(connection: Connection): void {
    for (const cursor of connection.session!.cursors)
      if (cursor.settling === 'waits') this.#lanes.hurry(connection, cursor);
    this.#arm();
  }

  /** Sends what these sessions have acked until now; resolves when the store has it, or failed. */
  async flushSessions(connections: readonly Connection[]): Promise<void> {
    for (const connection of connections) this.end(connection);
    const calls = Math.ceil(this.#lanes.due / SETTLES_PER_CALL) + 1; // one may be under way
    for (let i = 0; i < calls; i++) {
      this.#underWay ??= this.#send();
      if (!(await this.#underWay)) return;
    }
  }

  /** Those whose time has come; role.ts ticks. */
  tick(): void {
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

  /** Sends all that waits, for the end of the gateway; resolves when it is done or the store failed. */
  async flush(): Promise<void> {
    while (this.waiting > 0 || this.#underWay !== null) {
      this.#lanes.hurryAll();
      this.#underWay ??= this.#send();
      if (!(await this.#underWay)) return;
    }
  }

  /** The acks of a superseded session do not count (R8); a lane that is among those that wait has its room. */
  #takes({ session }: Connection, { settling }: Cursor): boolean {
    return !session!.superseded && (settling !== null || this.#hasRoom());
  }

  #hasRoom(): boolean {
    if (this.waiting < SETTLES_WAITING_MAX) return true;
    this.#gateway.counts.settlesDropped++;
    return false;
  }

  #arm(): void {
    if (this.#armed || this.#underWay !== null || !this.#isReady()) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      if (this.#gateway.state.ended || !this.#isReady()) return;
      this.#underWay ??= this.#send();
    });
  }

  #isReady(): boolean {
    return this.#entries.length > 0 || this.#lanes.isReady(this.#gateway.wheel.nowMs);
  }

  async #send(): Promise<boolean> {
    const sent = (await this.#sendEntries()) && (await this.#sendLanes());
    this.#underWay = null;
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
    const batch = this.#lanes.take(SETTLES_PER_CALL, this.#gateway.wheel.nowMs);
    if (batch.length === 0) return true;
    const settles = batch.map((lane) => settleOf(lane));
    try {
      const outcomes = await this.#gateway.store.settle(settles);
      this.#gateway.counts.settles += settles.length;
      outcomes.forEach(({ counted, satisfied }, i) => {
        const { cursor, connection } = batch[i]!;
        if (!counted) return;
        noteSettled(cursor, settles[i]!.epoch, settles[i]!.offset);
        this.#gateway.satisfied.note(connection, cursor.lane!, satisfied);
      });
      return true;
    } catch (error) {
      this.#gateway.log.warn({ settles: batch.length, problem: String(error) }, 'settles not stored, again later');
      for (const { cursor, connection } of batch) if (this.#hasRoom()) this.#lanes.hurry(connection, cursor);
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
