// database, in a SQLite file: all messages of a call in one transaction, each once by its key. For evaluation and small installations.
import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';
import type { UpstreamMessage } from '../message.ts';
import { DUPLICATE, HANDLED, HandlerUnavailableError } from './handler.ts';
import type { Outcome, UpstreamHandler } from './handler.ts';

/** Columns as in postgres.ts; `seq` rises in the order of handling. */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS pushcluster_upstream (
  seq INTEGER PRIMARY KEY,
  app TEXT NOT NULL, device TEXT NOT NULL, key TEXT NOT NULL,
  account TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
  received_at_ms INTEGER NOT NULL, stored_at_ms INTEGER NOT NULL,
  UNIQUE (app, device, key)
)`;
const INSERT = `
INSERT INTO pushcluster_upstream (app, device, key, account, kind, body, received_at_ms, stored_at_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const BUSY_MS = 5000;

/** Opens or makes the file. Throws node:sqlite's error when it cannot be used. */
export function openSqliteTable(path: string, nowMs: () => number): UpstreamHandler {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  db.exec(SCHEMA);
  const insert = db.prepare(INSERT);
  return {
    batchMax: 500,
    concurrency: 1,
    handle: (messages) => Promise.resolve().then(() => store(db, insert, { messages, nowMs: nowMs() })),
    close: () => Promise.resolve(db.close()),
  };
}

function store(
  db: DatabaseSync,
  insert: StatementSync,
  { messages, nowMs }: { readonly messages: readonly UpstreamMessage[]; readonly nowMs: number },
): readonly Outcome[] {
  try {
    db.exec('BEGIN IMMEDIATE');
    const outcomes = messages.map(({ app, device, key, account, kind, bodyText, receivedAtMs }) => {
      const { changes } = insert.run(app, device, key, account, kind, bodyText, receivedAtMs, nowMs);
      return changes === 1 ? HANDLED : DUPLICATE;
    });
    db.exec('COMMIT');
    return outcomes;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw new HandlerUnavailableError(`sqlite: ${String(error)}`, { cause: error }); // full disk, held by another: none is of one message
  }
}
