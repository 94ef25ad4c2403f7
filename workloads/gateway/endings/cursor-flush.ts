// Topic cursors on their way to the store (R5): one packed row for each device that acked, on a budget of rows for each flush, and at
// once when the session ends or is asked to leave. Never one write for each recipient of a broadcast; a lost flush repeats a delivery.
// A row whose outcome is unknown goes out again unchanged before the next one, so that the ledger counts what it says once (R12).
import type { Connection } from '../connect/connection.ts';
import { isUnsaved, noteSaved, prepareMoves } from './cursor-move.ts';
import type { PreparedMoves } from './cursor-move.ts';
import type { Gateway } from '../gateway.ts';
import type { Session } from '../connect/session.ts';

/** Rows written in one flush of the budget: 2,000 each 5 s is 400/s for a gateway; the rest waits for the next one, oldest first. */
export const ROWS_PER_FLUSH = 2000;
const ROWS_PER_CALL = 256;
/** Ended sessions whose rows may wait for a store that is away, about 500 bytes each. */
export const ENDED_WAITING_MAX = 50_000;
const RETRY_MS = 1000;

export class CursorFlush {
  readonly #gateway: Gateway;
  /** Sessions with cursors that the store does not have, oldest first. */
  readonly #waiting = new Set<Session>();
  readonly #ended = new Set<Session>();
  /** What was sent without an answer. */
  readonly #unsure = new Map<Session, PreparedMoves>();
  /** One save at a time: a session's moves follow each other. */
  #tail: Promise<unknown> = Promise.resolve();
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
    this.#waiting.delete(session);
    if (!this.#unsure.has(session) && !session.cursors.some((cursor) => isUnsaved(cursor, true))) return;
    if (this.#ended.size >= ENDED_WAITING_MAX) {
      this.#unsure.delete(session);
      this.#gateway.counts.cursorsDropped++;
      return;
    }
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
      if (!(await this.#saveNext(sessions.slice(i, i + ROWS_PER_CALL)))) return false;
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

  #saveNext(sessions: readonly Session[]): Promise<boolean> {
    const saved = this.#tail.then(() => this.#save(sessions));
    this.#tail = saved;
    return saved;
  }

  /** Never rejects. */
  async #save(sessions: readonly Session[]): Promise<boolean> {
    const prepared = sessions.map(
      (session) => this.#unsure.get(session) ?? prepareMoves(session, this.#ended.has(session)),
    );
    const written = prepared.filter(({ row }) => row.topics.length > 0);
    for (const moves of written) this.#unsure.set(moves.session, moves);
    try {
      if (written.length > 0) await this.#gateway.store.saveCursors(written.map(({ row }) => row));
    } catch (error) {
      this.#gateway.log.warn({ rows: written.length, problem: String(error) }, 'cursors not stored, again later');
      return false;
    }
    this.#gateway.counts.cursorsSaved += written.length;
    for (const moves of prepared) this.#arrived(moves);
    return true;
  }

  #arrived(moves: PreparedMoves): void {
    const { session } = moves;
    noteSaved(moves);
    this.#unsure.delete(session);
    const ending = this.#ended.has(session);
    if (session.cursors.some((cursor) => isUnsaved(cursor, ending))) return; // it moved on meanwhile
    this.#ended.delete(session);
    this.#waiting.delete(session);
  }
}
