// Jobs in SQLite: due at a time, claimed for a while by whoever asks first, done again when a claim runs out (R10). sqlite-store.ts
// calls these inside a tick's transaction.
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import { JOB_QUEUES } from '../job-queues.ts';
import type { Job, JobKind, JobQueue } from '../port.ts';
import type { AppId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

interface Columns {
  readonly app: AppId;
  readonly id: string;
  readonly kind: JobKind;
  readonly due_at: number;
  readonly claims: number;
  readonly payload: Uint8Array;
}

export class SqliteJobs {
  readonly #clock: Clock;
  readonly #put;
  readonly #ready;
  readonly #claim;
  readonly #delay;
  readonly #finish;
  readonly #count;

  constructor(db: DatabaseSync, clock: Clock) {
    this.#clock = clock;
    const columns = 'app, id, kind, due_at, claims, payload';
    // ready_at: when it may be claimed: due, or the claim before has run out.
    this.#put = prepare(db, `INSERT OR IGNORE INTO jobs (${columns}, ready_at) VALUES (?, ?, ?, ?, ?, ?, ?)`);
    this.#ready = prepare<Columns>(
      db,
      `SELECT ${columns} FROM jobs WHERE (kind = 'notice') + 2 * (kind = 'span') = ? AND ready_at <= ?
       ORDER BY ready_at, rowid LIMIT ?`,
    );
    this.#claim = prepare(db, 'UPDATE jobs SET ready_at = ?, claims = claims + 1 WHERE app = ? AND id = ?');
    this.#delay = prepare(
      db,
      'UPDATE jobs SET due_at = ?1, ready_at = ?1, payload = coalesce(?2, payload) WHERE app = ?3 AND id = ?4',
    );
    this.#finish = prepare(db, 'DELETE FROM jobs WHERE app = ? AND id = ?');
    this.#count = prepare<{ n: number }>(db, 'SELECT count(*) AS n FROM jobs');
  }

  put({ app, id, kind, dueAtMs, claims, payload }: Job): void {
    this.#put.run(app, id, kind, dueAtMs, claims, payload, dueAtMs);
  }

  claim(limit: number, leaseMs: number, queue: JobQueue): Job[] {
    const nowMs = this.#clock.nowMs();
    const jobs = this.#ready.all(JOB_QUEUES.indexOf(queue), nowMs, limit);
    for (const { app, id } of jobs) this.#claim.run(nowMs + leaseMs, app, id);
    return jobs.map(({ due_at: dueAtMs, ...job }) => ({ ...job, dueAtMs }));
  }

  delay({ app, id }: Pick<Job, 'id' | 'app'>, dueAtMs: number, payload: Uint8Array | undefined): void {
    this.#delay.run(dueAtMs, payload ?? null, app, id);
  }
  finish({ app, id }: Pick<Job, 'id' | 'app'>): void {
    this.#finish.run(app, id);
  }
  count(): number {
    return this.#count.one()!.n;
  }
}
