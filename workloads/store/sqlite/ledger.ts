// The ledger's counters in SQLite (R12): what the operations of a tick count is added up in memory and written once, before the
// tick's commit; tick-queue.ts calls `write` and, when it rolled back, `discard`. What waits is counted anew from streams and cursors.
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import type { EndState, Ledger } from '../port.ts';
import type { AppId } from '../../protocol/ids.ts';

const COUNTERS = [
  'accepted',
  'acked',
  'expired',
  'dead',
  'cancelled',
  'filtered',
  'all_accepted',
  'all_acked',
] as const;
export type Counter = (typeof COUNTERS)[number];
type Counts = Record<Counter, number>;

/** The counter of a way to end. */
export function counterOf(state: EndState): Counter {
  return state === 'satisfied' ? 'cancelled' : state;
}

export class SqliteLedger {
  readonly #counted = new Map<AppId, Counts>();
  readonly #add;
  readonly #find;
  readonly #namesAbove;
  readonly #held;
  readonly #behind;

  constructor(db: DatabaseSync) {
    const columns = COUNTERS.join(', ');
    const sums = COUNTERS.map((name) => `${name} = ${name} + excluded.${name}`).join(', ');
    this.#add = prepare(
      db,
      `INSERT INTO ledger (app, ${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (app) DO UPDATE SET ${sums}`,
    );
    this.#find = prepare<Counts>(db, `SELECT ${columns} FROM ledger WHERE app = ?`);
    this.#namesAbove = prepare<{ last: string | null; n: number }>(
      db,
      'SELECT max(name) AS last, count(*) AS n FROM (SELECT name FROM streams WHERE app = ? AND name > ? ORDER BY name LIMIT ?)',
    );
    this.#held = prepare<{ n: number }>(
      db,
      `SELECT count(*) AS n FROM streams s JOIN entries e ON e.stream = s.id
       WHERE s.app = ? AND s.name > ? AND s.name <= ? AND s.kind <> 'topic'`,
    );
    this.#behind = prepare<{ n: number | null }>(
      db,
      `SELECT sum(t.head - s.offset) AS n FROM streams t JOIN subscriptions s ON s.app = t.app AND s.topic = t.name
       WHERE t.app = ? AND t.name > ? AND t.name <= ? AND t.kind = 'topic' AND t.name <> '$all'`,
    );
  }

  count(app: AppId, counter: Counter, n: number): void {
    if (n === 0) return;
    let counts = this.#counted.get(app);
    if (counts === undefined) {
      counts = none();
      this.#counted.set(app, counts);
    }
    counts[counter] += n;
  }

  /** Writes what was counted; inside the transaction. */
  write(): void {
    for (const [app, counts] of this.#counted) this.#add.run(app, ...COUNTERS.map((name) => counts[name]));
    this.#counted.clear();
  }
  /** Forgets it: the transaction was rolled back. */
  discard(): void {
    this.#counted.clear();
  }

  read(app: AppId): Ledger {
    this.write();
    const { all_accepted, all_acked, ...counts } = this.#find.one(app) ?? none();
    return { ...counts, untracked: { accepted: all_accepted, acked: all_acked } };
  }

  /** What waits in about `limit` streams of names above `after`; `next` null: that was all. */
  waitingAbove(app: AppId, after: string, limit: number): { waiting: number; next: string | null } {
    const { last, n } = this.#namesAbove.one(app, after, limit)!;
    if (last === null) return { waiting: 0, next: null };
    const waiting = this.#held.one(app, after, last)!.n + (this.#behind.one(app, after, last)!.n ?? 0);
    return { waiting, next: n < limit ? null : last };
  }
}

function none(): Counts {
  return {
    accepted: 0,
    acked: 0,
    expired: 0,
    dead: 0,
    cancelled: 0,
    filtered: 0,
    all_accepted: 0,
    all_acked: 0,
  };
}
