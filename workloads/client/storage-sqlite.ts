// Storage of a client on Node: one SQLite file for each device, by node:sqlite (B2). Positions, ids and the last messages given to the
// application are written in one transaction before the ack leaves. Not part of the browser's bundle: client.ts does not import it.
import { DatabaseSync } from 'node:sqlite';
import type { MessageId } from '../protocol/ids.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import { STORED_IDS_MAX } from './storage.ts';
import type { OutgoingMessage } from './outgoing.ts';
import type { Storage, StorageChanges, StoredMessage, StoredOutgoing, StoredSession } from './storage.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS position (stream TEXT PRIMARY KEY, epoch TEXT NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS inbox (
    number INTEGER PRIMARY KEY, stream TEXT NOT NULL, id TEXT NOT NULL, sent_at_ms REAL NOT NULL, attributes TEXT, body TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS outgoing (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, message TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS session (one INTEGER PRIMARY KEY CHECK (one = 1), session TEXT NOT NULL);
`;

export interface SqliteStorageOptions {
  /** Messages kept in the inbox table, at least STORED_IDS_MAX are (their ids de-duplicate). */
  readonly messagesMax?: number;
  /** `full` survives a power cut, `normal` a crash of the process. */
  readonly durability?: 'full' | 'normal';
}
export interface SqliteStorage extends Storage {
  /** The newest messages that the application was given, newest first. */
  messages(limit: number): readonly StoredMessage[];
}

/** Opens or makes the file. Throws what node:sqlite throws when it cannot be opened. */
export function openSqliteStorage(path: string, options: SqliteStorageOptions = {}): SqliteStorage {
  const db = new DatabaseSync(path);
  db.exec('PRAGMA journal_mode = WAL');
  db.exec(`PRAGMA synchronous = ${options.durability === 'normal' ? 'NORMAL' : 'FULL'}`);
  db.exec(SCHEMA);
  const kept = Math.max(options.messagesMax ?? STORED_IDS_MAX, STORED_IDS_MAX);
  const save = openWriter(db, kept);
  return {
    load: () =>
      Promise.resolve({
        positions: positionsOf(db),
        seen: seenOf(db),
        outgoing: outgoingOf(db),
        session: sessionOf(db),
      }),
    save: async (changes) => save(changes),
    messages: (limit) => messagesOf(db, limit),
    close: async () => db.close(),
  };
}

function openWriter(db: DatabaseSync, kept: number): (changes: StorageChanges) => void {
  const setPosition = db.prepare('INSERT OR REPLACE INTO position (stream, epoch, offset) VALUES (?, ?, ?)');
  const addMessage = db.prepare('INSERT INTO inbox (stream, id, sent_at_ms, attributes, body) VALUES (?, ?, ?, ?, ?)');
  const trim = db.prepare('DELETE FROM inbox WHERE number <= (SELECT max(number) FROM inbox) - ?');
  const addOutgoing = db.prepare('INSERT OR IGNORE INTO outgoing (key, message) VALUES (?, ?)');
  const removeOutgoing = db.prepare('DELETE FROM outgoing WHERE key = ?');
  const setSession = db.prepare('INSERT OR REPLACE INTO session (one, session) VALUES (1, ?)');
  return (changes) => {
    db.exec('BEGIN IMMEDIATE');
    try {
      for (const p of changes.positions ?? []) setPosition.run(p.stream, p.epoch, p.offset);
      for (const m of changes.messages ?? []) {
        const attributes = m.attributes === null ? null : JSON.stringify(m.attributes);
        addMessage.run(m.stream, m.id, m.sentAtMs, attributes, JSON.stringify(m.body ?? null));
      }
      if ((changes.messages?.length ?? 0) > 0) trim.run(kept);
      for (const { key, message } of changes.outgoingAdded ?? []) addOutgoing.run(key, JSON.stringify(message));
      for (const key of changes.outgoingRemoved ?? []) removeOutgoing.run(key);
      if (changes.session !== undefined) setSession.run(JSON.stringify(changes.session));
      db.exec('COMMIT');
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  };
}

function positionsOf(db: DatabaseSync): Position[] {
  const rows = db.prepare('SELECT stream, epoch, offset FROM position').all();
  return rows.map((row) => ({ ...row }) as unknown as Position);
}

function seenOf(db: DatabaseSync): { stream: StreamName; id: MessageId }[] {
  const rows = db.prepare('SELECT stream, id FROM inbox ORDER BY number DESC LIMIT ?').all(STORED_IDS_MAX);
  return rows.map((row) => ({ ...row }) as unknown as { stream: StreamName; id: MessageId }).reverse();
}

function outgoingOf(db: DatabaseSync): StoredOutgoing[] {
  const rows = db.prepare('SELECT key, message FROM outgoing ORDER BY number').all();
  return rows.map(({ key, message }) => ({
    key: String(key),
    message: JSON.parse(String(message)) as OutgoingMessage,
  }));
}

function sessionOf(db: DatabaseSync): StoredSession | null {
  const row = db.prepare('SELECT session FROM session').get();
  return row === undefined ? null : (JSON.parse(String(row['session'])) as StoredSession);
}

function messagesOf(db: DatabaseSync, limit: number): StoredMessage[] {
  const sql = 'SELECT stream, id, sent_at_ms, attributes, body FROM inbox ORDER BY number DESC LIMIT ?';
  const rows = db.prepare(sql).all(limit);
  return rows.map((row) => ({
    stream: row['stream'] as StreamName,
    id: row['id'] as MessageId,
    sentAtMs: Number(row['sent_at_ms']),
    attributes: row['attributes'] === null ? null : (JSON.parse(String(row['attributes'])) as Record<string, unknown>),
    body: JSON.parse(String(row['body'])) as unknown,
  }));
}
