// Streams in SQLite: append, heads, read, settle and the sweep of expired entries. sqlite-store.ts calls these inside a tick's
// transaction; rows come from stream-rows.ts, what a position means from ../epochs.ts.
import type { DatabaseSync } from 'node:sqlite';
import { epochEnd, epochIndexOf, openEpoch, startOf } from '../epochs.ts';
import { prepare } from './database.ts';
import { epochOf } from './stream-rows.ts';
import type { EntryColumns, Known, RecordColumns, Stream, StreamRows } from './stream-rows.ts';
import type { SqliteDeadLetters } from './dead-letters.ts';
import type { SqliteLedger } from './ledger.ts';
import { isTombstone, tombstoneOf } from '../record-edits.ts';
import type {
  Append,
  AppendOutcome,
  LaneState,
  ReadOutcome,
  StreamEntry,
  StreamHead,
  StreamRead,
  StreamRef,
} from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AccountId, AppId, DeviceId, Epoch, MessageId, TopicName } from '../../protocol/ids.ts';
import { TOPIC_ALL } from '../../protocol/ids.ts';
import { LANES } from '../../protocol/streams.ts';
import type { Clock } from '../../runtime/clock.ts';

export interface StreamSurroundings {
  readonly db: DatabaseSync;
  readonly clock: Clock;
  readonly limits: StoreLimits;
  readonly rows: StreamRows;
  readonly ledger: SqliteLedger;
  readonly letters: SqliteDeadLetters;
  /** Streams last written in another life open a new epoch (R3). */
  readonly life: string;
  newEpoch(): Epoch;
}

/** Ids that fell out of the window are deleted this often, in appends of a stream. */
const FORGET_EVERY = 64;

export class SqliteStreams {
  readonly #with: StreamSurroundings;
  readonly #rows: StreamRows;
  readonly #ledger: SqliteLedger;
  readonly #device;
  readonly #subscribers;

  constructor(surroundings: StreamSurroundings) {
    const { db } = surroundings;
    this.#with = surroundings;
    this.#rows = surroundings.rows;
    this.#ledger = surroundings.ledger;
    this.#device = prepare<{ account: AccountId }>(db, 'SELECT account FROM devices WHERE app = ? AND device = ?');
    this.#subscribers = prepare<{ n: number }>(db, 'SELECT n FROM subscriber_counts WHERE app = ? AND topic = ?');
  }

  append(append: Append): AppendOutcome {
    const { clock, life } = this.#with;
    const ref = append.stream;
    const nowMs = clock.nowMs();
    const found = this.#rows.find(ref);
    // A stream goes with its device, so that only the first append has to look.
    if (found === null && ref.kind === 'device' && this.#device.one(ref.app, ref.device) === undefined) {
      return { kind: 'refused', reason: 'device-unknown' };
    }
    const first = found === null ? null : this.#duplicate(found, append.messageId, nowMs);
    if (first !== null) return first;
    const older = found === null ? undefined : this.#collapsed(found, append);
    const hasRoom = ref.kind === 'topic' || this.#hasRoom(found, append.record.length - (older?.bytes ?? 0), older);
    if (!hasRoom && append.overflow !== 'dead-letter') return { kind: 'refused', reason: 'stream-full' };
    const stream = found ?? this.#rows.create(ref, life, [{ epoch: this.#with.newEpoch(), first: 1 }]);
    this.#enterLife(stream);
    if (!hasRoom) return this.#overflow(stream, append, nowMs);
    if (older !== undefined) this.#collapse(stream, older.offset, nowMs);
    return this.#push(stream, append, nowMs);
  }

  #push(stream: Stream, append: Append, nowMs: number): AppendOutcome {
    const { messageId, record, expiresAtMs, collapseKey = null } = append;
    const prev = this.#rows.push(stream, { messageId, record, expiresAtMs, appendedAtMs: nowMs, collapseKey });
    const { duplicateWindowEntries } = this.#with.limits;
    if (stream.head % FORGET_EVERY === 0) this.#rows.forgetUpTo(stream, stream.head - duplicateWindowEntries);
    if (append.stream.kind === 'topic') this.#trim(stream, nowMs);
    this.#rows.save(stream);
    this.#countAccepted(append.stream);
    return { kind: 'appended', epoch: epochOf(stream), offset: stream.head, prev, duplicate: false };
  }

  /** A topic's message is as many deliveries as the topic has subscriptions (R12). */
  #countAccepted(ref: StreamRef): void {
    if (ref.kind === 'device') this.#ledger.count(ref.app, 'accepted', 1);
    else if (ref.topic === TOPIC_ALL) this.#ledger.count(ref.app, 'all_accepted', 1);
    else this.#ledger.count(ref.app, 'accepted', this.#subscribers.one(ref.app, ref.topic)?.n ?? 0);
  }

  #enterLife(stream: Stream): void {
    const { life, limits } = this.#with;
    if (stream.life === life) return;
    const span = { epoch: this.#with.newEpoch(), first: stream.head + 1 };
    stream.history = openEpoch(stream.history, span, limits.epochHistoryMax);
    stream.life = life;
  }

  #duplicate(stream: Stream, messageId: MessageId, nowMs: number): AppendOutcome | null {
    const known = this.#rows.known(stream, messageId);
    if (known === undefined || !isRemembered(known, { stream, nowMs, limits: this.#with.limits })) return null;
    if (known.state === 'overflow') return { kind: 'dead', reason: 'stream-full' };
    const { epoch } = stream.history[epochIndexOf(stream.history, known.offset)]!;
    return { kind: 'appended', epoch, offset: known.offset, prev: known.prev, duplicate: true };
  }

  #collapsed(stream: Stream, append: Append): EntryColumns | undefined {
    return append.collapseKey === undefined ? undefined : this.#rows.ofCollapseKey(stream, append.collapseKey);
  }
  /** The unsettled entry of a collapse key ends, since a newer one comes. */
  #collapse(stream: Stream, offset: number, nowMs: number): void {
    const older = this.#rows.entry(stream, offset);
    if (older === undefined) return;
    if (stream.kind === 'topic') {
      this.#bury(stream, older);
      return;
    }
    const expired = older.expires_at > 0 && older.expires_at <= nowMs;
    this.#endOne(stream, older, expired ? 'expired' : 'cancelled');
  }
  #bury(stream: Stream, entry: EntryColumns & { readonly record: Uint8Array }): void {
    if (isTombstone(entry.record)) return;
    const id = this.#rows.knownAt(stream, entry.offset)?.message_id ?? ('0'.repeat(26) as MessageId);
    const stone = { id, atMs: entry.appended_at, expiresAtMs: entry.expires_at };
    this.#rows.replaceRecord(stream, entry, tombstoneOf(entry.record, stone));
  }
  /** A topic's entry becomes a tombstone; false: it is not held. */
  cancelTopicEntry(app: AppId, topic: TopicName, messageId: MessageId): boolean {
    const stream = this.#rows.find({ app, kind: 'topic', topic });
    const known = stream === null ? undefined : this.#rows.known(stream, messageId);
    const entry = known === undefined ? undefined : this.#rows.entry(stream!, known.offset);
    if (entry === undefined) return false;
    this.#bury(stream!, entry);
    this.#rows.save(stream!);
    return true;
  }

  /** Accepted and dead at once: it takes an offset, which no entry has. */
  #overflow(stream: Stream, append: Append, nowMs: number): AppendOutcome {
    const { stream: ref, messageId, record } = append;
    if (ref.kind !== 'device') throw new Error('expected a stream of a device: topics are never full');
    const reason = 'stream-full' as const;
    stream.head++;
    this.#rows.rememberOverflow(stream, messageId, nowMs);
    this.#rows.save(stream);
    const { app, device } = ref;
    const { account } = this.#device.one(app, device)!;
    const place = {
      app,
      device,
      account,
      stream: `@${ref.lane}` as const,
      epoch: epochOf(stream),
      offset: stream.head,
    };
    this.#with.letters.put({ ...place, messageId, reason, attempts: 0, state: 'dead', record });
    this.#ledger.count(app, 'accepted', 1);
    this.#ledger.count(app, 'dead', 1);
    return { kind: 'dead', reason };
  }

  #endOne(stream: Stream, entry: EntryColumns, state: 'expired' | 'cancelled'): void {
    this.#rows.drop(stream, entry);
    this.#rows.end(stream, entry.offset, { state, atMs: this.#with.clock.nowMs() });
    this.#ledger.count(stream.app, state, 1);
  }

  /** Whether a device's stream takes `bytes` more, once `older` is gone; expired entries make room first. */
  #hasRoom(stream: Stream | null, bytes: number, older: EntryColumns | undefined): boolean {
    const { deviceStreamEntriesMax, deviceStreamBytesMax } = this.#with.limits;
    if (stream === null) return bytes <= deviceStreamBytesMax;
    const entriesMax = deviceStreamEntriesMax + (older === undefined ? 0 : 1);
    const fits = (): boolean => stream.held < entriesMax && stream.bytes + bytes <= deviceStreamBytesMax;
    if (fits()) return true;
    const before = stream.held;
    for (const entry of this.#rows.expiredIn(stream, this.#with.clock.nowMs()))
      if (entry.offset !== older?.offset) this.#endOne(stream, entry, 'expired');
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
      if (stream === null) continue;
      const { head, floor: settled, held } = stream;
      // Attempts go with their entry.
      const isTried = stream.attempts > 0 && this.#rows.entry(stream, stream.attempts_offset) !== undefined;
      const { attempts, attempts_offset: attemptsOffset } = isTried ? stream : { attempts: 0, attempts_offset: 0 };
      lanes.push({ lane, epoch: epochOf(stream), head, settled, held, attempts, attemptsOffset });
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

  /** What the device had not settled counts as cancelled. */
  forgetDevice(app: AppId, device: DeviceId): void {
    this.#ledger.count(app, 'cancelled', this.#rows.forgetDevice(app, device));
  }

  /** Drops up to `limit` entries that expired or, in topics, grew too old; answers how many. Old message ids go with it. */
  sweep(limit: number): number {
    const { clock, limits } = this.#with;
    const nowMs = clock.nowMs();
    this.#rows.forgetByTime(nowMs - limits.duplicateWindowMs);
    const expired = this.#rows.expired(nowMs, limit);
    for (const entry of expired) this.#sweepOne(entry, false);
    const aged = this.#rows.aged(nowMs - limits.topicStreamAgeMs, limit - expired.length);
    for (const entry of aged) this.#sweepOne(entry, true);
    return expired.length + aged.length;
  }

  #sweepOne(entry: EntryColumns & { readonly stream: number }, lost: boolean): void {
    const stream = this.#rows.findById(entry.stream);
    if (stream.kind === 'topic') this.#rows.drop(stream, entry);
    else this.#endOne(stream, entry, 'expired');
    if (lost) stream.floor = Math.max(stream.floor, entry.offset);
    this.#rows.save(stream);
  }
}

/** Whether an id is still known: while its entry waits, and within the window (R2). */
export function isRemembered(
  known: Known,
  { stream, nowMs, limits }: { readonly stream: Stream; readonly nowMs: number; readonly limits: StoreLimits },
): boolean {
  if (known.state === null) return true;
  return known.offset > stream.head - limits.duplicateWindowEntries && known.at > nowMs - limits.duplicateWindowMs;
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
