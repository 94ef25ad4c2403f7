// The rows of streams, of their entries and of what is known of message ids: find, append, trim, end. streams.ts and deliveries.ts
// decide with them what the port asks; every function here runs inside the transaction of a tick.
import type { DatabaseSync } from 'node:sqlite';
import { presentEpoch } from '../epochs.ts';
import type { EpochHistory } from '../epochs.ts';
import { prepare } from './database.ts';
import { isSatisfiedByAny } from '../record-edits.ts';
import type { EndState, StreamRef } from '../port.ts';
import type { AppId, DeviceId, GatewayName, MessageId } from '../../protocol/ids.ts';
import { LANES } from '../../protocol/streams.ts';
import type { Lane } from '../../protocol/streams.ts';

/** A stream as its row has it, with the history decoded. */
export interface Stream {
  readonly id: number;
  readonly app: AppId;
  readonly kind: 'topic' | Lane;
  life: string;
  head: number;
  /** Settled (device) or trimmed (topic) up to here. */
  floor: number;
  held: number;
  bytes: number;
  history: EpochHistory;
  /** Deliveries of the entry at this offset so far. */
  attempts: number;
  attempts_offset: number;
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
export interface EndedColumns {
  readonly offset: number;
  readonly expires_at: number;
  readonly bytes: number;
  /** Its message id, where the ack of one device settles it for others. */
  readonly satisfies: MessageId | null;
}
export interface NewEntry {
  readonly messageId: MessageId;
  readonly record: Uint8Array;
  readonly expiresAtMs: number;
  readonly appendedAtMs: number;
  readonly collapseKey: string | null;
}
/** `overflow`: dead at once, since the stream was full; it was never an entry. */
export type KnownState = EndState | 'overflow';
/** What is known of a message id. */
export interface Known {
  readonly message_id: MessageId;
  readonly offset: number;
  readonly prev: number;
  /** When it was appended, or how its entry ended: when it did. */
  readonly at: number;
  /** Null: a device's entry that waits. '': of a topic. */
  readonly state: KnownState | '' | null;
  readonly gateway: GatewayName | null;
}

export function kindOf(ref: StreamRef): Stream['kind'] {
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
  readonly #newest;
  readonly #takeUpTo;
  readonly #dropOne;
  readonly #dropAll;
  readonly #forgetIds;
  readonly #findById;
  readonly #replaceRecord;
  readonly #known;
  readonly #knownAt;
  readonly #remember;
  readonly #end;
  readonly #endUpTo;
  readonly #forget;
  readonly #forgetByTime;
  readonly #oldest;
  readonly #expired;
  readonly #expiredIn;
  readonly #aged;
  readonly #entry;
  readonly #collapsed;
  readonly entriesAbove;

  constructor(db: DatabaseSync) {
    const columns = 'id, app, kind, life, head, floor, held, bytes, history, attempts, attempts_offset';
    const entry = 'offset, expires_at, appended_at, length(record) AS bytes';
    const known = 'message_id, offset, prev, at, state, gateway';
    this.#find = prepare<StreamColumns>(db, `SELECT ${columns} FROM streams WHERE app = ? AND name = ? AND kind = ?`);
    this.#findById = prepare<StreamColumns>(db, `SELECT ${columns} FROM streams WHERE id = ?`);
    this.#create = prepare<{ id: number }>(
      db,
      'INSERT INTO streams (app, name, kind, life, head, floor, held, bytes, history) VALUES (?, ?, ?, ?, 0, 0, 0, 0, ?) RETURNING id',
    );
    this.#update = prepare(
      db,
      'UPDATE streams SET life = ?, head = ?, floor = ?, held = ?, bytes = ?, history = ?, attempts = ?, attempts_offset = ? WHERE id = ?',
    );
    this.#remove = prepare(db, 'DELETE FROM streams WHERE id = ?');
    this.#insertEntry = prepare(
      db,
      'INSERT INTO entries (stream, offset, expires_at, appended_at, record, satisfies, collapse_key) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#oldest = prepare<EntryColumns>(db, `SELECT ${entry} FROM entries WHERE stream = ? ORDER BY offset LIMIT 1`);
    this.#newest = prepare<{ offset: number }>(
      db,
      'SELECT offset FROM entries WHERE stream = ? ORDER BY offset DESC LIMIT 1',
    );
    this.#entry = prepare<EntryColumns & EndedColumns & RecordColumns>(
      db,
      `SELECT ${entry}, satisfies, record FROM entries WHERE stream = ? AND offset = ?`,
    );
    this.#collapsed = prepare<EntryColumns & RecordColumns>(
      db,
      `SELECT ${entry}, record FROM entries WHERE stream = ? AND collapse_key = ?`,
    );
    this.#takeUpTo = prepare<EndedColumns>(
      db,
      'DELETE FROM entries WHERE stream = ? AND offset <= ? RETURNING offset, expires_at, length(record) AS bytes, satisfies',
    );
    this.#dropOne = prepare(db, 'DELETE FROM entries WHERE stream = ? AND offset = ?');
    this.#dropAll = prepare(db, 'DELETE FROM entries WHERE stream = ?');
    this.#replaceRecord = prepare(
      db,
      'UPDATE entries SET record = ?, collapse_key = NULL, satisfies = NULL WHERE stream = ? AND offset = ?',
    );
    this.#known = prepare<Known>(db, `SELECT ${known} FROM duplicates WHERE stream = ? AND message_id = ?`);
    // Without statistics SQLite would take the primary key and look at all ids of the stream.
    this.#knownAt = prepare<Known>(
      db,
      `SELECT ${known} FROM duplicates INDEXED BY duplicates_by_offset WHERE stream = ? AND offset = ?`,
    );
    this.#remember = prepare(
      db,
      'INSERT OR REPLACE INTO duplicates (stream, message_id, offset, prev, at, state) VALUES (?, ?, ?, ?, ?, ?)',
    );
    const end =
      'UPDATE duplicates INDEXED BY duplicates_by_offset SET state = ?, at = ?, gateway = ? WHERE stream = ? AND state IS NULL AND';
    this.#end = prepare(db, `${end} offset = ?`);
    this.#endUpTo = prepare(db, `${end} offset > ? AND offset <= ?`);
    this.#forget = prepare(db, 'DELETE FROM duplicates WHERE stream = ? AND offset <= ? AND state IS NOT NULL');
    this.#forgetByTime = prepare(db, 'DELETE FROM duplicates WHERE state IS NOT NULL AND at <= ?');
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
    return streamOf(this.#findById.one(id)!);
  }

  find(ref: StreamRef): Stream | null {
    const row = this.#find.one(ref.app, nameOf(ref), kindOf(ref));
    return row === undefined ? null : streamOf(row);
  }

  create(ref: StreamRef, life: string, history: EpochHistory): Stream {
    const kind = kindOf(ref);
    const { id } = this.#create.one(ref.app, nameOf(ref), kind, life, JSON.stringify(history))!;
    const { app } = ref;
    return { id, app, kind, life, head: 0, floor: 0, held: 0, bytes: 0, history, attempts: 0, attempts_offset: 0 };
  }

  save(stream: Stream): void {
    const { id, life, head, floor, held, bytes, history, attempts, attempts_offset } = stream;
    this.#update.run(life, head, floor, held, bytes, JSON.stringify(history), attempts, attempts_offset, id);
  }

  /** Adds an entry at head + 1, remembers its id, and answers the offset that was held before it; `save` comes later. */
  push(stream: Stream, entry: NewEntry): number {
    const prev = this.newest(stream);
    const { record, expiresAtMs, appendedAtMs, messageId } = entry;
    stream.head++;
    stream.held++;
    stream.bytes += record.length;
    const topic = stream.kind === 'topic';
    const satisfies = !topic && isSatisfiedByAny(record) ? messageId : null;
    const inTime = topic ? appendedAtMs : 0;
    this.#insertEntry.run(stream.id, stream.head, expiresAtMs, inTime, record, satisfies, entry.collapseKey);
    this.#remember.run(stream.id, messageId, stream.head, prev, appendedAtMs, topic ? '' : null);
    return prev;
  }
  /** The offset held last; 0 when none. */
  newest(stream: Stream): number {
    return stream.held === 0 ? 0 : this.#newest.one(stream.id)!.offset;
  }

  oldest(stream: Stream): EntryColumns | undefined {
    return this.#oldest.one(stream.id);
  }
  entry(stream: Stream, offset: number): (EntryColumns & EndedColumns & RecordColumns) | undefined {
    return this.#entry.one(stream.id, offset);
  }
  /** The entry held of a collapse key. */
  ofCollapseKey(stream: Stream, key: string): (EntryColumns & RecordColumns) | undefined {
    return this.#collapsed.one(stream.id, key);
  }

  drop(stream: Stream, entry: { readonly offset: number; readonly bytes: number }): void {
    this.#dropOne.run(stream.id, entry.offset);
    stream.held--;
    stream.bytes -= entry.bytes;
  }
  /** Takes out the entries up to an offset. */
  takeUpTo(stream: Stream, offset: number): EndedColumns[] {
    const taken = this.#takeUpTo.all(stream.id, offset);
    for (const { bytes } of taken) {
      stream.held--;
      stream.bytes -= bytes;
    }
    return taken;
  }
  replaceRecord(stream: Stream, entry: { readonly offset: number; readonly bytes: number }, record: Uint8Array): void {
    stream.bytes += record.length - entry.bytes;
    this.#replaceRecord.run(record, stream.id, entry.offset);
  }

  known(stream: Stream, messageId: MessageId): Known | undefined {
    return this.#known.one(stream.id, messageId);
  }
  knownAt(stream: Stream, offset: number): Known | undefined {
    return this.#knownAt.one(stream.id, offset);
  }
  /** Remembers an id that takes the stream's head but is no entry. */
  rememberOverflow(stream: Stream, messageId: MessageId, nowMs: number): void {
    this.#remember.run(stream.id, messageId, stream.head, this.newest(stream), nowMs, 'overflow');
  }
  /** How the entry at an offset ended. */
  end(stream: Stream, offset: number, ended: { state: EndState; atMs: number; gateway?: GatewayName }): void {
    this.#end.run(ended.state, ended.atMs, ended.gateway ?? null, stream.id, offset);
  }
  /** Entries within (above, upTo] of which nothing else is known yet were acked. */
  endAcked(stream: Stream, span: { above: number; upTo: number }, ended: { atMs: number; gateway: GatewayName }): void {
    this.#endUpTo.run('acked', ended.atMs, ended.gateway, stream.id, span.above, span.upTo);
  }
  /** Forgets ids up to an offset whose entries have ended. */
  forgetUpTo(stream: Stream, offset: number): void {
    this.#forget.run(stream.id, offset);
  }
  forgetByTime(beforeMs: number): void {
    this.#forgetByTime.run(beforeMs);
  }

  /** Forgets the streams of a device: the next append opens new ones. Answers how many entries they held. */
  forgetDevice(app: AppId, device: DeviceId): number {
    let held = 0;
    for (const lane of LANES) {
      const stream = this.find({ app, kind: 'device', device, lane });
      if (stream === null) continue;
      held += stream.held;
      this.#dropAll.run(stream.id);
      this.#forgetIds.run(stream.id);
      this.#remove.run(stream.id);
    }
    return held;
  }
}

function streamOf(row: StreamColumns): Stream {
  // Field by field: spreading a row costs more than reading it.
  return {
    id: row.id,
    app: row.app,
    kind: row.kind,
    life: row.life,
    head: row.head,
    floor: row.floor,
    held: row.held,
    bytes: row.bytes,
    history: JSON.parse(row.history) as EpochHistory,
    attempts: row.attempts,
    attempts_offset: row.attempts_offset,
  };
}

export function epochOf(stream: Stream): ReturnType<typeof presentEpoch> {
  return presentEpoch(stream.history);
}
