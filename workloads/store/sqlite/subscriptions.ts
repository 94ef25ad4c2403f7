// Durable subscriptions in SQLite (R5, R12): a device's rows with its cursors, and how many rows each topic has. What a cursor passes is
// counted in the step that moves it. sqlite-store.ts calls these inside a tick's transaction.
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import type { SqliteLedger } from './ledger.ts';
import type { Attempts, CursorMove, CursorMoves, StreamHead, Subscription, TopicCursor } from '../port.ts';
import type { AppId, DeviceId, TopicName } from '../../protocol/ids.ts';
import { TOPIC_ALL } from '../../protocol/ids.ts';

interface Surroundings {
  readonly db: DatabaseSync;
  readonly ledger: SqliteLedger;
  head(app: AppId, topic: TopicName): StreamHead;
}
interface DeviceRow {
  readonly id: number;
  readonly generation: number;
}
const NOT_ACKED = ['filtered', 'expired', 'cancelled', 'dead'] as const;

export class SqliteSubscriptions {
  readonly #with: Surroundings;
  readonly #device;
  readonly #all;
  readonly #one;
  readonly #put;
  readonly #setFilter;
  readonly #move;
  readonly #setAttempts;
  readonly #drop;
  readonly #dropAll;
  readonly #count;
  readonly #forgetCount;
  readonly #counted;
  readonly #page;

  constructor(surroundings: Surroundings) {
    const { db } = surroundings;
    this.#with = surroundings;
    this.#device = prepare<DeviceRow>(db, 'SELECT id, generation FROM devices WHERE app = ? AND device = ?');
    const columns = 'topic, epoch, offset, filter, attempts';
    this.#all = prepare<TopicCursor>(db, `SELECT ${columns} FROM subscriptions WHERE device = ? ORDER BY topic`);
    this.#one = prepare<TopicCursor>(db, `SELECT ${columns} FROM subscriptions WHERE device = ? AND topic = ?`);
    this.#put = prepare(
      db,
      'INSERT INTO subscriptions (device, topic, epoch, offset, filter, app, name) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#setFilter = prepare(db, 'UPDATE subscriptions SET filter = ? WHERE device = ? AND topic = ?');
    this.#move = prepare(
      db,
      'UPDATE subscriptions SET epoch = ?, offset = ?, attempts = ? WHERE device = ? AND topic = ?',
    );
    this.#setAttempts = prepare(
      db,
      'UPDATE subscriptions SET attempts = ?1 WHERE device = ?2 AND topic = ?3 AND epoch = ?4 AND offset < ?5',
    );
    this.#drop = prepare(db, 'DELETE FROM subscriptions WHERE device = ? AND topic = ?');
    this.#dropAll = prepare(db, 'DELETE FROM subscriptions WHERE device = ?');
    this.#count = prepare(
      db,
      'INSERT INTO subscriber_counts (app, topic, n) VALUES (?, ?, ?) ON CONFLICT (app, topic) DO UPDATE SET n = n + excluded.n',
    );
    this.#forgetCount = prepare(db, 'DELETE FROM subscriber_counts WHERE app = ? AND topic = ? AND n = 0');
    this.#counted = prepare<{ n: number }>(db, 'SELECT n FROM subscriber_counts WHERE app = ? AND topic = ?');
    this.#page = prepare<{ name: DeviceId }>(
      db,
      'SELECT name FROM subscriptions WHERE app = ? AND topic = ? AND name > ? ORDER BY name LIMIT ?',
    );
  }

  /** Cursors of a device's row, sorted by topic. */
  cursors(id: number): TopicCursor[] {
    return this.#all.all(id).map((row) => ({ ...row }));
  }

  subscribe(app: AppId, device: DeviceId, topics: readonly Subscription[]): TopicCursor[] {
    const row = this.#device.one(app, device);
    if (row === undefined) return [];
    for (const { topic, filter } of topics) {
      if (this.#one.one(row.id, topic) === undefined) this.#enter({ app, device, row }, topic, filter ?? null);
      else if (filter !== undefined) this.#setFilter.run(filter, row.id, topic);
    }
    return topics.map(({ topic }) => ({ ...this.#one.one(row.id, topic)! }));
  }
  /** A new row starts at the topic's present head. */
  #enter(who: { app: AppId; device: DeviceId; row: DeviceRow }, topic: TopicName, filter: string | null): void {
    const { epoch, head } = this.#with.head(who.app, topic);
    this.#put.run(who.row.id, topic, epoch, head, filter, who.app, who.device);
    this.#count.run(who.app, topic, 1);
  }

  unsubscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): void {
    const row = this.#device.one(app, device);
    if (row === undefined) return;
    for (const topic of topics) {
      const cursor = this.#one.one(row.id, topic);
      if (cursor === undefined) continue;
      this.#leave(app, cursor);
      this.#drop.run(row.id, topic);
    }
  }
  /** Removes all rows of a device, by its row's id. */
  dropAll(app: AppId, id: number): void {
    for (const cursor of this.#all.all(id)) this.#leave(app, cursor);
    this.#dropAll.run(id);
  }
  /** What was not settled counts as cancelled. */
  #leave(app: AppId, { topic, offset }: TopicCursor): void {
    if (topic === TOPIC_ALL) return;
    this.#count.run(app, topic, -1);
    this.#forgetCount.run(app, topic);
    this.#with.ledger.count(app, 'cancelled', Math.max(0, this.#with.head(app, topic).head - offset));
  }

  saveCursors({ app, device, generation, topics }: CursorMoves): void {
    const row = this.#device.one(app, device);
    if (row === undefined || generation < row.generation) return;
    for (const move of topics) {
      const { topic, epoch, offset, attempts } = move;
      let held = this.#one.one(row.id, topic);
      if (held === undefined && topic === TOPIC_ALL) {
        // Nobody subscribes to it: a session's first flush is its row.
        this.#put.run(row.id, topic, epoch, move.from, null, app, device);
        held = this.#one.one(row.id, topic)!;
      }
      if (held === undefined || (held.epoch === epoch && offset < held.offset)) continue;
      this.#countMove(app, held, move);
      this.#move.run(epoch, offset, attempts, row.id, topic);
    }
  }

  /** Counts what lies between the stored offset and the new one; what was not acked is known only of a move that starts there. */
  #countMove(app: AppId, held: TopicCursor, move: CursorMove): void {
    const { ledger } = this.#with;
    const passed = move.offset - held.offset;
    if (passed <= 0) return;
    if (move.topic === TOPIC_ALL) {
      ledger.count(app, 'all_acked', passed);
      return;
    }
    let acked = passed;
    if (move.from === held.offset) {
      for (const state of NOT_ACKED) {
        const n = Math.min(move[state], acked);
        ledger.count(app, state, n);
        acked -= n;
      }
    }
    ledger.count(app, 'acked', acked);
  }

  /** Attempts of the first entry above the cursor, which is at `offset`. */
  saveAttempts({ app, device, generation, epoch, offset, attempts }: Attempts, topic: TopicName): void {
    const row = this.#device.one(app, device);
    if (row?.generation === generation) this.#setAttempts.run(attempts, row.id, topic, epoch, offset);
  }

  subscribers(
    app: AppId,
    topic: TopicName,
    page: { readonly after: DeviceId | null; readonly limit: number },
  ): { count: number; devices: DeviceId[] } {
    const devices = this.#page.all(app, topic, page.after ?? '', page.limit).map(({ name }) => name);
    return { count: this.#counted.one(app, topic)?.n ?? 0, devices };
  }
}
