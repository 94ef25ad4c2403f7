// Streams in SQLite: append, heads, read, settle and the sweep of expired entries. sqlite-store.ts calls these inside a tick's
// transaction; rows come from stream-rows.ts, what a position means from ../epochs.ts.
import type { DatabaseSync } from 'node:sqlite';
import { epochEnd, epochIndexOf, isWithin, openEpoch, startOf } from '../epochs.ts';
import { prepare } from './database.ts';
import { epochOf, StreamRows } from './stream-rows.ts';
import type { EntryColumns, RecordColumns, Stream } from './stream-rows.ts';
import type {
  Append,
  AppendOutcome,
  LaneState,
  ReadOutcome,
  Settle,
  StreamEntry,
  StreamHead,
  StreamRead,
  StreamRef,
} from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AppId, DeviceId, Epoch } from '../../protocol/ids.ts';
import { LANES } from '../../protocol/streams.ts';
import type { Clock } from '../../runtime/clock.ts';

export interface StreamSurroundings {
  readonly db: DatabaseSync;
  readonly clock: Clock;
  readonly limits: StoreLimits;
  /** Streams last written in another life open a new epoch (R3). */
  readonly life: string;
  newEpoch(): Epoch;
}

/** Ids that fell out of the window are deleted this often, in appends of a stream. */
const FORGET_EVERY = 64;

export class SqliteStreams {
  readonly #with: StreamSurroundings;
  readonly #rows: StreamRows;
  readonly #device;
  readonly #seen;
  readonly #remember;
  readonly #forget;
  readonly #forgetByTime;

  constructor(surroundings: StreamSurroundings) {
    const { db } = surroundings;
    this.#with = surroundings;
    this.#rows = new StreamRows(db);
    this.#device = prepare<{ generation: number }>(db, 'SELECT generation FROM devices WHERE app = ? AND device = ?');
    this.#seen = prepare<{ offset: number; prev: number }>(
      db,
      'SELECT offset, prev FROM duplicates WHERE stream = ? AND message_id = ? AND offset > ? AND at > ?',
    );
    this.#remember = prepare(
      db,
      'INSERT OR REPLACE INTO duplicates (stream, message_id, offset, prev, at) VALUES (?, ?, ?, ?, ?)',
    );
    this.#forget = prepare(db, 'DELETE FROM duplicates WHERE stream = ? AND offset <= ?');
    this.#forgetByTime = prepare(db, 'DELETE FROM duplicates WHERE at <= ?');
  }

  append(append: Append): AppendOutcome {
    const { limits, clock, life } = this.#with;
    const ref = append.stream;
    if (ref.kind === 'device' && this.#device.one(ref.app, ref.device) === undefined) {
      return { kind: 'refused', reason: 'device-unknown' };
    }
    const nowMs = clock.nowMs();
    const found = this.#rows.find(ref);
    const first = found === null ? null : this.#duplicate(found, append, nowMs);
    if (first !== null) return first;
    if (found !== null && ref.kind === 'device' && !this.#hasRoom(found, append.record.length, nowMs)) {
      return { kind: 'refused', reason: 'stream-full' };
    }
    if (found === null && ref.kind === 'device' && append.record.length > limits.deviceStreamBytesMax) {
      return { kind: 'refused', reason: 'stream-full' };
    }
    const stream = found ?? this.#rows.create(ref, life, [{ epoch: this.#with.newEpoch(), first: 1 }]);
    if (stream.life !== life) {
      const span = { epoch: this.#with.newEpoch(), first: stream.head + 1 };
      stream.history = openEpoch(stream.history, span, limits.epochHistoryMax);
      stream.life = life;
    }
    const appendedAtMs = ref.kind === 'topic' ? nowMs : 0;
    const prev = this.#rows.push(stream, { record: append.record, expiresAtMs: append.expiresAtMs, appendedAtMs });
    this.#remember.run(stream.id, append.messageId, stream.head, prev, nowMs);
    if (stream.head % FORGET_EVERY === 0) this.#forget.run(stream.id, stream.head - limits.duplicateWindowEntries);
    if (ref.kind === 'topic') this.#trim(stream, nowMs);
    this.#rows.save(stream);
    return { kind: 'appended', epoch: epochOf(stream), offset: stream.head, prev, duplicate: false };
  }

  #duplicate(stream: Stream, append: Append, nowMs: number): AppendOutcome | null {
    const { duplicateWindowEntries, duplicateWindowMs } = this.#with.limits;
    const row = this.#seen.one(
      stream.id,
      append.messageId,
      stream.head - duplicateWindowEntries,
      nowMs - duplicateWindowMs,
    );
    if (row === undefined) return null;
    const { epoch } = stream.history[epochIndexOf(stream.history, row.offset)]!;
    return { kind: 'appended', epoch, offset: row.offset, prev: row.prev, duplicate: true };
  }

  /** Whether a device's stream takes one more record; expired entries make room first. */
  #hasRoom(stream: Stream, bytes: number, nowMs: number): boolean {
    const { deviceStreamEntriesMax, deviceStreamBytesMax } = this.#with.limits;
    const fits = (): boolean => stream.held < deviceStreamEntriesMax && stream.bytes + bytes <= deviceStreamBytesMax;
    if (fits()) return true;
    const before = stream.held;
    for (const entry of this.#rows.expiredIn(stream, nowMs)) this.#rows.drop(stream, entry);
    if (stream.held !== before) this.#rows.save(stream);
    return fits();
  }

  /** A topic keeps its newest entries: by count, by bytes (always the last one), by age. */
  #trim(stream: Stream, nowMs: number): void {
    const { topicStreamEntriesMax, topicStreamBytesMax, topicStreamAgeMs } = this.#with.limits;
    for (let oldest = this.#rows.oldest(stream); oldest !== undefined; oldest = this.#rows.oldest(stream)) {
      const over = stream.held > topicStreamEntriesMax || (stream.bytes > topicStreamBytesMax && stream.held > 1);
      if (!over && oldest.appended_at > nowMs - topicStreamAgeMs) return;
      this.#rows.drop(stream, oldest);
      const expired = oldest.expires_at > 0 && oldest.expires_at <= nowMs;
      if (!expired) stream.floor = oldest.offset;
    }
  }

  head(ref: StreamRef): StreamHead {
    const stream = this.#rows.find(ref);
    return stream === null ? { epoch: null, head: 0 } : { epoch: epochOf(stream), head: stream.head };
  }

  lanes(app: AppId, device: DeviceId): LaneState[] {
    const lanes: LaneState[] = [];
    for (const lane of LANES) {
      const stream = this.#rows.find({ app, kind: 'device', device, lane });
      if (stream !== null)
        lanes.push({
          lane,
          epoch: epochOf(stream),
          head: stream.head,
          settled: stream.floor,
          held: stream.held,
          attempts: 0,
          attemptsOffset: 0,
        });
    }
    return lanes;
  }

  read(read: StreamRead): ReadOutcome {
    const stream = this.#rows.find(read.stream);
    if (stream === null) {
      const notRecovered = read.after === null ? 'no-position' : 'epoch-unknown';
      return { epoch: null, notRecovered, from: 0, entries: [], head: 0, complete: true };
    }
    const nowMs = this.#with.clock.nowMs();
    const trims = read.stream.kind === 'topic';
    if (trims) {
      const before = stream.held;
      this.#trim(stream, nowMs);
      if (stream.held !== before) this.#rows.save(stream);
    }
    const { above, notRecovered } = startOf({ ...stream, trims }, read.after);
    const found = this.#collect(stream, { above, entriesMax: read.entriesMax, nowMs });
    const first = found.rows[0];
    const from = notRecovered === null ? read.after!.offset : first === undefined ? stream.head : first.offset - 1;
    const epoch =
      first === undefined ? epochOf(stream) : stream.history[epochIndexOf(stream.history, first.offset)]!.epoch;
    return {
      epoch,
      notRecovered,
      from,
      entries: chained(found.rows, from),
      head: stream.head,
      complete: found.complete,
    };
  }

  /** Live entries above an offset: of one epoch, within entriesMax and the bytes of one read (always one). */
  #collect(
    stream: Stream,
    wanted: { above: number; entriesMax: number; nowMs: number },
  ): { rows: RecordColumns[]; complete: boolean } {
    const { readEntriesMax, readBytesMax } = this.#with.limits;
    const max = Math.min(wanted.entriesMax, readEntriesMax);
    const rows: RecordColumns[] = [];
    let bytes = 0;
    let end = 0;
    for (const row of this.#rows.entriesAbove.each(stream.id, wanted.above, wanted.nowMs, max + 1)) {
      if (rows.length === 0) end = epochEnd(stream.history, epochIndexOf(stream.history, row.offset), stream.head);
      bytes += row.record.length;
      if (rows.length > 0 && (rows.length >= max || bytes > readBytesMax || row.offset > end))
        return { rows, complete: false };
      rows.push(row);
    }
    return { rows, complete: true };
  }

  settle(settle: Settle): boolean {
    if (this.#device.one(settle.app, settle.device)?.generation !== settle.generation) return false;
    const stream = this.#rows.find({ app: settle.app, kind: 'device', device: settle.device, lane: settle.lane });
    if (stream === null || !isWithin(stream.history, stream.head, settle)) return false;
    if (settle.offset <= stream.floor) return true;
    stream.floor = settle.offset;
    this.#rows.dropUpTo(stream, settle.offset);
    this.#rows.save(stream);
    return true;
  }

  forgetDevice(app: AppId, device: DeviceId): void {
    this.#rows.forgetDevice(app, device);
  }

  /** Drops up to `limit` entries that expired or, in topics, grew too old; answers how many. Old message ids go with it. */
  sweep(limit: number): number {
    const { clock, limits } = this.#with;
    const nowMs = clock.nowMs();
    this.#forgetByTime.run(nowMs - limits.duplicateWindowMs);
    const expired = this.#rows.expired(nowMs, limit);
    for (const entry of expired) this.#sweepOne(entry, false);
    const aged = this.#rows.aged(nowMs - limits.topicStreamAgeMs, limit - expired.length);
    for (const entry of aged) this.#sweepOne(entry, true);
    return expired.length + aged.length;
  }

  #sweepOne(entry: EntryColumns & { readonly stream: number }, lost: boolean): void {
    const stream = this.#rows.findById(entry.stream);
    this.#rows.drop(stream, entry);
    if (lost) stream.floor = Math.max(stream.floor, entry.offset);
    this.#rows.save(stream);
  }
}

/** Entries with `prev`: each names the one before it that this read returned (R4). */
function chained(rows: readonly RecordColumns[], from: number): StreamEntry[] {
  let prev = from;
  return rows.map(({ offset, record }) => {
    const entry = { offset, prev, record };
    prev = offset;
    return entry;
  });
}
