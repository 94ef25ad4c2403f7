// Dead letters in SQLite: put once for each delivery, bounded for each device and in time, paged, changed. A redrive appends to the
// device's stream in the same transaction, so that the letter goes exactly when the new delivery is there (R9).
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import { letterId, parseLetterId } from '../letter-id.ts';
import { renamed } from '../record-edits.ts';
import type { Append, AppendOutcome, DeadLetter, DeadLetterAction, DeadLetterOutcome, Store } from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AccountId, AppId, DeviceId, Epoch, MessageId } from '../../protocol/ids.ts';
import { isBodyElsewhere, RECORD_HEADER_BYTES, withBody } from '../../protocol/record.ts';
import { LANE_DEFAULT, laneOf } from '../../protocol/streams.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { Clock } from '../../runtime/clock.ts';

interface Columns {
  readonly seq: number;
  readonly device: DeviceId;
  readonly account: AccountId;
  readonly stream: StreamName;
  readonly message_id: MessageId;
  readonly epoch: Epoch;
  readonly offset: number;
  readonly reason: string;
  readonly attempts: number;
  readonly at: number;
  readonly state: DeadLetter['state'];
  readonly record: Uint8Array;
}
/** What a redrive needs of the rest of the store. */
export interface Redriving {
  account(app: AppId, device: DeviceId): AccountId | undefined;
  append(append: Append): AppendOutcome;
  /** The whole record of a message whose streams keep the body elsewhere. */
  body(app: AppId, id: MessageId): Uint8Array | null;
}
export type LetterPage = Parameters<Store['deadLetters']>[1];

export class SqliteDeadLetters {
  readonly #clock: Clock;
  readonly #limits: StoreLimits;
  readonly #put;
  readonly #bound;
  readonly #find;
  readonly #ofApp;
  readonly #ofDevice;
  readonly #count;
  readonly #remove;
  readonly #setState;
  readonly #expire;

  constructor({ db, clock, limits }: { db: DatabaseSync; clock: Clock; limits: StoreLimits }) {
    this.#clock = clock;
    this.#limits = limits;
    const fields = 'device, account, stream, message_id, epoch, offset, reason, attempts, at, state, record';
    this.#put = prepare(
      db,
      `INSERT OR IGNORE INTO dead_letters (app, ${fields}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#bound = prepare(
      db,
      `DELETE FROM dead_letters WHERE app = ?1 AND device = ?2 AND seq <=
       (SELECT seq FROM dead_letters WHERE app = ?1 AND device = ?2 ORDER BY seq DESC LIMIT 1 OFFSET ?3)`,
    );
    const select = `SELECT seq, ${fields} FROM dead_letters WHERE app = ?1`;
    this.#find = prepare<Columns>(db, `${select} AND device = ?2 AND stream = ?3 AND epoch = ?4 AND offset = ?5`);
    const page = 'seq > ?2 AND (?3 IS NULL OR state = ?3)';
    this.#ofApp = prepare<Columns>(db, `${select} AND ${page} ORDER BY seq`);
    this.#ofDevice = prepare<Columns>(db, `${select} AND ${page} AND device = ?4 ORDER BY seq`);
    this.#count = prepare<{ n: number }>(db, 'SELECT count(*) AS n FROM dead_letters WHERE app = ?');
    this.#remove = prepare(db, 'DELETE FROM dead_letters WHERE seq = ?');
    this.#setState = prepare(db, 'UPDATE dead_letters SET state = ? WHERE seq = ?');
    this.#expire = prepare(db, 'DELETE FROM dead_letters WHERE at <= ?');
  }

  /** Keeps it once for each delivery; past the bound the device's oldest goes. */
  put(letter: Omit<DeadLetter, 'id' | 'atMs'>): void {
    const { app, device, account, stream, messageId, epoch, offset, reason, attempts, state, record } = letter;
    const place = [app, device, account, stream, messageId, epoch, offset] as const;
    const isNew = this.#put.run(...place, reason, attempts, this.#clock.nowMs(), state, record) > 0;
    if (isNew) this.#bound.run(app, device, this.#limits.deadLettersMax);
  }

  /** A page ends early when its records are larger than one read. */
  page(app: AppId, page: LetterPage): { letters: DeadLetter[]; next: string | null } {
    const after = /^\d{1,15}$/.test(page.cursor ?? '') ? Number(page.cursor) : 0; // one that is none of ours begins anew
    const state = page.state ?? null;
    const rows =
      page.device === undefined
        ? this.#ofApp.each(app, after, state)
        : this.#ofDevice.each(app, after, state, page.device);
    const letters: DeadLetter[] = [];
    let last = after;
    let bytes = 0;
    for (const row of rows) {
      if (letters.length >= page.limit || bytes > this.#limits.readBytesMax) return { letters, next: `${last}` };
      letters.push(letterOf(app, row));
      last = row.seq;
      bytes += row.record.length;
    }
    return { letters, next: null };
  }

  letter(app: AppId, id: string): DeadLetter | null {
    const row = this.#row(app, id);
    return row === undefined ? null : letterOf(app, row);
  }
  #row(app: AppId, id: string): Columns | undefined {
    const delivery = parseLetterId(id);
    if (delivery === null) return undefined;
    return this.#find.one(app, delivery.device, delivery.stream, delivery.epoch, delivery.offset);
  }

  count(app: AppId): number {
    return this.#count.one(app)!.n;
  }

  change(app: AppId, change: { id: string; action: DeadLetterAction }, redriving: Redriving): DeadLetterOutcome {
    const row = this.#row(app, change.id);
    if (row === undefined) return { kind: 'unknown' };
    const { action } = change;
    switch (action.kind) {
      case 'redrive':
        return this.#redrive({ app, row }, action, redriving);
      case 'drop':
        this.#remove.run(row.seq);
        break;
      case 'hold':
        this.#setState.run('held', row.seq);
        break;
      case 'release':
        this.#setState.run('dead', row.seq);
        break;
    }
    return { kind: 'done', device: row.device, appended: null, record: null };
  }

  #redrive(
    { app, row }: { app: AppId; row: Columns },
    { messageId, expiresAtMs }: Extract<DeadLetterAction, { kind: 'redrive' }>,
    redriving: Redriving,
  ): DeadLetterOutcome {
    const { device } = row;
    // Another account on the device reads nothing of the one before (R8).
    if (redriving.account(app, device) !== row.account) return { kind: 'refused', reason: 'device-unknown' };
    const lane = laneOf(row.stream) ?? LANE_DEFAULT;
    const found = whole(row.record, () => redriving.body(app, row.message_id));
    if (found === null) return { kind: 'refused', reason: 'body-gone' };
    const record = renamed(found, messageId, expiresAtMs);
    const stream = { app, kind: 'device', device, lane } as const;
    const appended = redriving.append({ stream, messageId, record, expiresAtMs });
    if (appended.kind === 'refused') return { kind: 'refused', reason: appended.reason };
    this.#remove.run(row.seq);
    return { kind: 'done', device, appended: { ...appended, lane }, record };
  }

  /** Drops the letters that were kept for long enough. */
  sweep(): void {
    this.#expire.run(this.#clock.nowMs() - this.#limits.deadLetterKeptMs);
  }
}

/** The record with its body, which goes before the new delivery does; null: the body is not kept any more. */
function whole(record: Uint8Array, message: () => Uint8Array | null): Uint8Array | null {
  if (record.length < RECORD_HEADER_BYTES || !isBodyElsewhere(record)) return record;
  const kept = message();
  return kept === null ? null : withBody(record, kept);
}

function letterOf(app: AppId, row: Columns): DeadLetter {
  const { device, account, stream, epoch, offset, reason, attempts, state, record } = row;
  return {
    id: letterId(row),
    app,
    device,
    account,
    stream,
    messageId: row.message_id,
    epoch,
    offset,
    reason,
    attempts,
    atMs: row.at,
    state,
    record,
  };
}
