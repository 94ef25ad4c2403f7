// Messages in SQLite: what was asked, its recipients in chunks, its record where streams keep the body elsewhere (R6, R10). Kept for a
// while after they are due. sqlite-store.ts calls these inside a tick's transaction.
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import { withChunksDone } from '../chunk-marks.ts';
import type { Message, MessageChange, MessageChunk, MessageState } from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AppId, MessageId } from '../../protocol/ids.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { Clock } from '../../runtime/clock.ts';

interface Columns {
  readonly target: string;
  readonly lane: Lane;
  readonly state: MessageState;
  readonly accepted_at: number;
  readonly due_at: number;
  readonly expires_at: number;
  readonly recipients: number;
  readonly chunks: number;
  readonly chunks_done: number;
  readonly chunk_marks: string;
  readonly options: string;
  readonly record: Uint8Array | null;
}

export class SqliteMessages {
  readonly #clock: Clock;
  readonly #keptMs: number;
  readonly #put;
  readonly #putChunk;
  readonly #keptUntil;
  readonly #find;
  readonly #change;
  readonly #chunk;
  readonly #body;
  readonly #expire;

  constructor({ db, clock, limits }: { db: DatabaseSync; clock: Clock; limits: StoreLimits }) {
    this.#clock = clock;
    this.#keptMs = limits.messageKeptMs;
    const fields =
      'target, lane, state, accepted_at, due_at, expires_at, recipients, chunks, chunks_done, chunk_marks, options, record';
    this.#put = prepare(
      db,
      `INSERT OR IGNORE INTO messages (app, id, kept_until, ${fields}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#putChunk = prepare(
      db,
      'INSERT OR IGNORE INTO message_chunks (app, id, part, names, kept_until) VALUES (?, ?, ?, ?, ?)',
    );
    const kept = 'app = ? AND id = ? AND kept_until > ?';
    this.#keptUntil = prepare<{ kept_until: number }>(db, 'SELECT kept_until FROM messages WHERE app = ? AND id = ?');
    this.#find = prepare<Columns>(db, `SELECT ${fields} FROM messages WHERE ${kept}`);
    this.#change = prepare(
      db,
      'UPDATE messages SET state = ?, chunks_done = ?, chunk_marks = ? WHERE app = ? AND id = ?',
    );
    this.#chunk = prepare<{ names: string }>(db, `SELECT names FROM message_chunks WHERE ${kept} AND part = ?`);
    this.#body = prepare<{ record: Uint8Array | null }>(db, `SELECT record FROM messages WHERE ${kept}`);
    this.#expire = [
      prepare(db, 'DELETE FROM messages WHERE kept_until <= ?'),
      prepare(db, 'DELETE FROM message_chunks WHERE kept_until <= ?'),
    ] as const;
  }

  put(messages: readonly Message[], chunks: readonly MessageChunk[]): void {
    const nowMs = this.#clock.nowMs();
    for (const message of messages) {
      const { app, id, lane, state, acceptedAtMs, dueAtMs, expiresAtMs, recipients, options, record } = message;
      const keptUntil = Math.max(
        Math.max(nowMs, dueAtMs) + this.#keptMs,
        // Streams hold entries without their body until then.
        record === null ? 0 : expiresAtMs,
      );
      const times = [acceptedAtMs, dueAtMs, expiresAtMs] as const;
      const counts = [recipients, message.chunks, message.chunksDone, message.chunkMarks] as const;
      const target = JSON.stringify(message.target);
      this.#put.run(app, id, keptUntil, target, lane, state, ...times, ...counts, options, record);
    }
    for (const { app, id, index, names } of chunks) {
      const keptUntil = this.#keptUntil.one(app, id)?.kept_until ?? nowMs + this.#keptMs;
      this.#putChunk.run(app, id, index, JSON.stringify(names), keptUntil);
    }
  }

  message(app: AppId, id: MessageId): Message | null {
    const row = this.#find.one(app, id, this.#clock.nowMs());
    return row === undefined ? null : messageOf(app, id, row);
  }

  change(app: AppId, id: MessageId, change: MessageChange): Message | null {
    const row = this.#find.one(app, id, this.#clock.nowMs());
    if (row === undefined || !change.expect.includes(row.state)) return null;
    const message = changed(messageOf(app, id, row), change);
    this.#change.run(message.state, message.chunksDone, message.chunkMarks, app, id);
    return message;
  }

  chunk(app: AppId, id: MessageId, index: number): string[] | null {
    const row = this.#chunk.one(app, id, this.#clock.nowMs(), index);
    return row === undefined ? null : (JSON.parse(row.names) as string[]);
  }

  body(app: AppId, id: MessageId): Uint8Array | null {
    return this.#body.one(app, id, this.#clock.nowMs())?.record ?? null;
  }

  /** Drops what was kept for long enough. */
  sweep(): void {
    for (const expire of this.#expire) expire.run(this.#clock.nowMs());
  }
}

function changed(row: Message, { state = row.state, chunksDone = row.chunksDone, done }: MessageChange): Message {
  const message = { ...row, state, chunksDone };
  if (done === undefined) return message;
  const marked = { ...message, ...withChunksDone(message, done) };
  return marked.chunksDone === marked.chunks ? { ...marked, state: 'expanded' } : marked;
}

function messageOf(app: AppId, id: MessageId, row: Columns): Message {
  const { lane, state, recipients, chunks, options, record } = row;
  return {
    app,
    id,
    target: JSON.parse(row.target) as Message['target'],
    lane,
    state,
    acceptedAtMs: row.accepted_at,
    dueAtMs: row.due_at,
    expiresAtMs: row.expires_at,
    recipients,
    chunks,
    chunksDone: row.chunks_done,
    chunkMarks: row.chunk_marks,
    record,
    options,
  };
}
