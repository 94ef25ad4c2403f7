// Opens the SQLite file: WAL, full durability, held by one process alone, at the newest schema. What is wrong with a file comes
// back as an error with a name. Called by sqlite-store.ts; the statements of the other files here run on what this opens.
import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, StatementSync } from 'node:sqlite';
import { MIGRATIONS } from './schema.ts';

/** The file cannot be used: another process holds it, it is not a database, or it comes from a newer release. */
export class StoreFileError extends Error {
  readonly code: 'store-file-locked' | 'store-file-corrupt' | 'store-file-newer' | 'store-file-unusable';
  constructor(code: StoreFileError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/**
 * Opens the file (or ':memory:…', a database of this process alone) and brings it to the newest schema.
 * Throws StoreFileError.
 */
export function openDatabase(path: string): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    db = new DatabaseSync(path.startsWith(':memory:') ? ':memory:' : path, { timeout: 0 });
    // Exclusive: a second process is refused at open, and WAL then needs no shared memory. FULL: a commit is on the disk.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec('PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000; PRAGMA temp_store = MEMORY;');
    migrate(db, path);
    return db;
  } catch (error) {
    db?.close();
    throw error instanceof StoreFileError ? error : named(error, path);
  }
}

function migrate(db: DatabaseSync, path: string): void {
  const version = Number(db.prepare('PRAGMA user_version').get()!['user_version']);
  if (version > MIGRATIONS.length) {
    throw new StoreFileError(
      'store-file-newer',
      `${path}: expected schema version ${MIGRATIONS.length} or older, got ${version}: run the newer release`,
    );
  }
  // Also with nothing to migrate: takes the exclusive lock now, not at the first request.
  db.exec('BEGIN IMMEDIATE');
  for (const step of MIGRATIONS.slice(version)) db.exec(step);
  db.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
  db.exec('COMMIT');
}

function named(error: unknown, path: string): StoreFileError {
  const errcode = (error as { errcode?: number }).errcode ?? 0;
  const reason = error instanceof Error ? error.message : String(error);
  switch (errcode & 0xff) {
    case SQLITE_BUSY:
      return new StoreFileError('store-file-locked', `${path}: expected to be alone, another process holds it`, error);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new StoreFileError('store-file-corrupt', `${path}: expected a SQLite database, got ${reason}`, error);
    default:
      return new StoreFileError('store-file-unusable', `${path}: cannot be opened: ${reason}`, error);
  }
}

/** A prepared statement whose rows have the shape `Row`. */
export interface Query<Row> {
  one(...values: SQLInputValue[]): Row | undefined;
  all(...values: SQLInputValue[]): Row[];
  each(...values: SQLInputValue[]): Iterable<Row>;
  /** Answers the rows changed. */
  run(...values: SQLInputValue[]): number;
}

/** Prepares once; callers keep it for the life of the store. */
export function prepare<Row = never>(db: DatabaseSync, sql: string): Query<Row> {
  const statement: StatementSync = db.prepare(sql);
  return {
    one: (...values) => statement.get(...values) as Row | undefined,
    all: (...values) => statement.all(...values) as Row[],
    each: (...values) => statement.iterate(...values) as Iterable<Row>,
    run: (...values) => Number(statement.run(...values).changes),
  };
}
