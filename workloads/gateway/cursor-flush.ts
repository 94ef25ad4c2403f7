// Topic cursors on their way to the store (R5): one packed row for each device that acked, on a budget of rows for each flush, and at
// once when the session ends or is asked to leave. Never one write for each recipient of a broadcast; a lost flush repeats a delivery.
import { TOPIC_ALL } from '../protocol/ids.ts';
import type { TopicName } from '../protocol/ids.ts';
import { laneOf } from '../protocol/streams.ts';
import type { CursorMove, CursorMoves } from '../store/port.ts';
import type { Connection } from './connection.ts';
import type { Cursor } from './cursor.ts';
import type { Gateway } from './gateway.ts';
import type { Session } from './session.ts';

/** Rows written in one flush of the budget: 2,000 each 5 s is 400/s for a gateway; the rest waits for the next one, oldest first. */
export const ROWS_PER_FLUSH = 2000;
const ROWS_PER_CALL = 256;
/** Ended sessions whose rows may wait for a store that is away, about 500 bytes each. */
const ENDED_WAITING_MAX = 50_000;
const RETRY_MS = 1000;

type Row = CursorMoves;

export class CursorFlush {
  readonly #gateway: Gateway;
  /** Sessions with cursors that the store does not have, oldest first. */
  readonly #waiting = new Set<Session>();
  readonly #ended = new Set<Session>();
  #armed = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get waiting(): number {
    return this.#waiting.size + this.#ended.size;
  }

  /** A topic cursor of the session moved. */
  note(connection: Connection): void {
    this.#waiting.add(connection.session!);
  }

  /** The session ends: what it has goes out with this tick. */
  end(session: Session): void {
    if (!this.#waiting.delete(session) || this.#ended.size >= ENDED_WAITING_MAX) return;
    this.#ended.add(session);
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(() => void this.#flushEnded());
  }

  /** One flush of the budget; role.ts calls it every cursorFlushMs. */
  async flushSome(): Promise<void> {
    await this.flushSessions([...this.#waiting.values().take(ROWS_PER_FLUSH)]);
  }

  /** Everything, for the end of the gateway. */
  async flushAll(): Promise<void> {
    await this.flushSessions([...this.#ended, ...this.#waiting]);
  }

  /** Writes what these sessions have. Sessions whose write failed wait on. */
  async flushSessions(sessions: readonly Session[]): Promise<boolean> {
    for (let i = 0; i < sessions.length; i += ROWS_PER_CALL)
      if (!(await this.#save(sessions.slice(i, i + ROWS_PER_CALL)))) return false;
    return true;
  }

  async #flushEnded(): Promise<void> {
    if (this.#gateway.state.ended) return;
    const flushed = await this.flushSessions([...this.#ended]);
    this.#armed = false;
    if (this.#ended.size === 0) return;
    this.#armed = true;
    if (flushed) setImmediate(() => void this.#flushEnded());
    else this.#gateway.clock.after(RETRY_MS, () => void this.#flushEnded());
  }

  async #save(sessions: readonly Session[]): Promise<boolean> {
    const rows = sessions.map((session) => ({ session, row: rowOf(session) }));
    try {
      const written = rows.filter(({ row }) => row.topics.length > 0);
      if (written.length > 0) await this.#gateway.store.saveCursors(written.map(({ row }) => row));
      this.#gateway.counts.cursorsSaved += written.length;
      for (const { session, row } of rows) this.#noteSaved(session, row);
      return true;
    } catch (error) {
      this.#gateway.log.warn({ rows: rows.length, problem: String(error) }, 'cursors not stored, again later');
      return false;
    }
  }

  #noteSaved(session: Session, row: Row): void {
    for (const { topic, epoch, offset } of row.topics) {
      const cursor = session.find(topic);
      if (cursor !== null && cursor.epoch === epoch) cursor.saved = offset;
    }
    this.#ended.delete(session);
    if (!session.cursors.some(isUnsaved)) this.#waiting.delete(session);
  }
}

function rowOf(session: Session): Row {
  const { app, device } = session.permission;
  const topics: CursorMove[] = [];
  for (const cursor of session.cursors) if (isUnsaved(cursor)) topics.push(moveOf(cursor));
  return { app, device, generation: session.generation, topics };
}

function moveOf(cursor: Cursor): CursorMove {
  const { epoch, saved, acked } = cursor;
  const from = saved;
  return {
    topic: cursor.name as TopicName,
    epoch,
    from,
    offset: acked,
    filtered: 0,
    expired: 0,
    cancelled: 0,
    dead: 0,
    attempts: 0,
  };
}

function isUnsaved(cursor: Cursor): boolean {
  if (cursor.epoch === null || cursor.acked === cursor.saved) return false;
  return cursor.name === TOPIC_ALL || laneOf(cursor.name) === null;
}
