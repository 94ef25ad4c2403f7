// The rows of streams and their entries: find, append, trim, drop. streams.ts decides with them what the port asks; every
// function here runs inside the transaction of a tick.
import type { DatabaseSync } from 'node:sqlite';
import { presentEpoch } from '../epochs.ts';
import type { EpochHistory } from '../epochs.ts';
import { prepare } from './database.ts';
import type { StreamRef } from '../port.ts';
import type { AppId, DeviceId } from '../../protocol/ids.ts';
import { LANES } from '../../protocol/streams.ts';

/** A stream as its row has it, with the history decoded. */
export interface Stream {
  readonly id: number;
  life: string;
  head: number;
  /** Settled (device) or trimmed (topic) up to here. */
  floor: number;
  held: number;
  bytes: number;
  history: EpochHistory;
}
type StreamColumns = Omit<Stream, 'history'> & { history: string };
export interface EntryColumns {
  readonly offset: number;
  readonly expires_at: number;
  /** 0 in device streams: only topics trim by age. */
  readonly appended_at: number;
  readonly bytes: number;
}
export interface RecordColumns {
  readonly offset: number;
  readonly record: Uint8Array;
}

export function kindOf(ref: StreamRef): string {
  return ref.kind === 'topic' ? 'topic' : ref.lane;
}
export function nameOf(ref: StreamRef): string {
  return ref.kind === 'topic' ? ref.topic : ref.device;
}

export class StreamRows {
  readonly #find;
  readonly #create;
  readonly #update;
  readonly #remove;
  readonly #insertEntry;
  readonly #oldest;
  readonly #newest;
  readonly #dropUpTo;
  readonly #dropOne;
  readonly #dropAll;
  readonly #forgetIds;
  readonly #findById;
  readonly #expired;
  readonly #expiredIn;
  readonly #aged;
  readonly entriesAbove;

  constructor(db: DatabaseSync) {
    const columns = 'id, life, head, floor, held, bytes, history';
    const entry = 'offset, expires_at, appended_at, length(record) AS bytes';
    this.#find = prepare<StreamColumns>(db, `SELECT ${columns} FROM streams WHERE app = ? AND name = ? AND kind = ?`);
    this.#findById = prepare<StreamColumns>(db, `SELECT ${columns} FROM streams WHERE id = ?`);
    this.#create = prepare<{ id: number }>(
      db,
      'INSERT INTO streams (app, name, kind, life, head, floor, held, bytes, history) VALUES (?, ?, ?, ?, 0, 0, 0, 0, ?) RETURNING id',
    );
    this.#update = prepare(
      db,
      'UPDATE streams SET life = ?, head = ?, floor = ?, held = ?, bytes = ?, history = ? WHERE id = ?',
    );
    this.#remove = prepare(db, 'DELETE FROM streams WHERE id = ?');
    this.#insertEntry = prepare(
      db,
      'INSERT INTO entries (stream, offset, expires_at, appended_at, record) VALUES (?, ?, ?, ?, ?)',
    );
    this.#oldest = prepare<EntryColumns>(db, `SELECT ${entry} FROM entries WHERE stream = ? ORDER BY offset LIMIT 1`);
    this.#newest = prepare<EntryColumns>(
      db,
      `SELECT ${entry} FROM entries WHERE stream = ? ORDER BY offset DESC LIMIT 1`,
    );
    this.#dropUpTo = prepare<{ bytes: number }>(
      db,
      'DELETE FROM entries WHERE stream = ? AND offset <= ? RETURNING length(record) AS bytes',
    );
    this.#dropOne = prepare(db, 'DELETE FROM entries WHERE stream = ? AND offset = ?');
    this.#dropAll = prepare(db, 'DELETE FROM entries WHERE stream = ?');
    this.#forgetIds = prepare(db, 'DELETE FROM duplicates WHERE stream = ?');
    this.entriesAbove = prepare<RecordColumns>(
      db,
      'SELECT offset, record FROM entries WHERE stream = ? AND offset > ? AND (expires_at = 0 OR expires_at > ?) ORDER BY offset LIMIT ?',
    );
    this.#expired = prepare<EntryColumns & { stream: number }>(
      db,
      `SELECT stream, ${entry} FROM entries WHERE expires_at > 0 AND expires_at <= ? LIMIT ?`,
    );
    this.#expiredIn = prepare<EntryColumns>(
      db,
      `SELECT ${entry} FROM entries WHERE stream = ? AND expires_at > 0 AND expires_at <= ?`,
    );
    this.#aged = prepare<EntryColumns & { stream: number }>(
      db,
      `SELECT stream, ${entry} FROM entries WHERE appended_at > 0 AND appended_at <= ? LIMIT ?`,
    );
  }

  /** Entries of any stream that expired by `nowMs`. */
  expired(nowMs: number, limit: number): (EntryColumns & { readonly stream: number })[] {
    return this.#expired.all(nowMs, limit);
  }
  expiredIn(stream: Stream, nowMs: number): EntryColumns[] {
    return this.#expiredIn.all(stream.id, nowMs);
  }
  /** Entries of any topic appended by `beforeMs`. */
  aged(beforeMs: number, limit: number): (EntryColumns & { readonly stream: number })[] {
    return this.#aged.all(beforeMs, limit);
  }

  /** The stream that an entry names; it exists as long as its entries. */
  findById(id: number): Stream {
    const row = this.#findById.one(id)!;
    return { ...row, history: JSON.parse(row.history) as EpochHistory };
  }

  find(ref: StreamRef): Stream | null {
    const row = this.#find.one(ref.app, nameOf(ref), kindOf(ref));
    return row === undefined ? null : { ...row, history: JSON.parse(row.history) as EpochHistory };
  }

  create(ref: StreamRef, life: string, history: EpochHistory): Stream {
    const { id } = this.#create.one(ref.app, nameOf(ref), kindOf(ref), life, JSON.stringify(history))!;
    return { id, life, head: 0, floor: 0, held: 0, bytes: 0, history };
  }

  save(stream: Stream): void {
    const { id, life, head, floor, held, bytes, history } = stream;
    this.#update.run(life, head, floor, held, bytes, JSON.stringify(history), id);
  }

  /** Adds an entry at head + 1 and answers the offset that was held before it; `save` comes later. */
  push(stream: Stream, entry: { record: Uint8Array; expiresAtMs: number; appendedAtMs: number }): number {
    const prev = stream.held === 0 ? 0 : this.#newest.one(stream.id)!.offset;
    stream.head++;
    stream.held++;
    stream.bytes += entry.record.length;
    this.#insertEntry.run(stream.id, stream.head, entry.expiresAtMs, entry.appendedAtMs, entry.record);
    return prev;
  }

  oldest(stream: Stream): EntryColumns | undefined {
    return this.#oldest.one(stream.id);
  }

  drop(stream: Stream, entry: EntryColumns): void {
    this.#dropOne.run(stream.id, entry.offset);
    stream.held--;
    stream.bytes -= entry.bytes;
  }

  dropUpTo(stream: Stream, offset: number): void {
    for (const row of this.#dropUpTo.all(stream.id, offset)) {
      stream.held--;
      stream.bytes -= row.bytes;
    }
  }

  /** Forgets the streams of a device: the next append opens new ones. */
  forgetDevice(app: AppId, device: DeviceId): void {
    for (const lane of LANES) {
      const stream = this.find({ app, kind: 'device', device, lane });
      if (stream === null) continue;
      this.#dropAll.run(stream.id);
      this.#forgetIds.run(stream.id);
      this.#remove.run(stream.id);
    }
  }
}

export function epochOf(stream: Stream): ReturnType<typeof presentEpoch> {
  return presentEpoch(stream.history);
}
