// A cursor: one session's position on one stream, and every decision about it. Pure: fields and numbers, no sockets, no time of its own.
// fanout.ts and deliver.ts ask decideHint for each hint; pages.ts writes what was read from the store; frames/ack.ts moves it up.
//
// Offsets of the cursor's epoch, always  base ≤ acked ≤ seen  and  sent ≤ seen  and  sent ≤ high:
//   base   the client itself has named or been told     acked  everything up to here has ended, however
//   sent   last entry written; `prev` of the next one   seen   nothing undelivered is at or below it (holes are passed, R4)
//   high   last entry ever written; above `sent` only while entries are written again
// Of the offsets in (acked, seen] each one is written and under way, or has ended (ended.ts); so acked + 1 is the lowest unsettled one.
import type { Epoch } from '../../protocol/ids.ts';
import type { MessageRecord } from '../../protocol/record.ts';
import { laneOf } from '../../protocol/streams.ts';
import type { Lane, StreamName } from '../../protocol/streams.ts';
import { addEnded, countEnded, rangeAt } from './ended.ts';
import type { EndedRange, EndedWhy } from './ended.ts';
import type { Filter } from '../delivery/filter.ts';

/** What a gateway knows of a stream: the newest epoch and offset it heard of, by hint, read or position check. */
export interface HeardStream {
  epoch: Epoch | null;
  head: number;
}

/** What one entry under way has of its own: options of its record, and what the client said of it. */
export interface EntryNote {
  /** 0: the gateway's default. */
  attemptsMax: number;
  ackTimeoutMs: number;
  nacks: number;
  /** Deliveries in earlier sessions, while it was the lowest (R9). */
  attempts: number;
  /** To be written again then, ms; 0: not asked for. */
  retryAtMs: number;
  reason: string;
}

/** Of offsets in (saved, acked], how many ended otherwise than acked: the ledger's lines (R12). */
export type Tally = Record<Exclude<EndedWhy, 'acked'>, number>;

/** What most cursors do without. */
export interface CursorDetail {
  readonly ended: EndedRange[];
  /** Of those, acked by id. */
  ackedAbove: number;
  readonly tally: Tally;
  readonly notes: Map<number, EntryNote>;
}

export class Cursor {
  readonly name: StreamName;
  /** Null: a topic's. */
  readonly lane: Lane | null;
  readonly stream: HeardStream;
  epoch: Epoch | null = null;
  base = 0;
  acked = 0;
  sent = 0;
  seen = 0;
  high = 0;
  /** Deliveries that were written and have not ended. */
  inFlight = 0;
  /** Of those, written since the last rewind: what counts against the window. */
  out = 0;
  /** When the lowest of them was written or became the lowest, ms. */
  sinceMs = 0;
  /** Deliveries of entry acked + 1 (R9). */
  attempts = 0;
  /** What the store has of it. */
  attemptsSaved = 0;
  /** It waits for a read or a dead letter, or one is under way: hints wait for its outcome. */
  reading = false;
  /** A lane that the client does not want now: only what it pulls is written, and is followed up like anything else. */
  parked = false;
  /** Lanes: what it acked waits for its turn to be settled in the store, or goes with the next call (settle-queue.ts); null: nothing does. */
  settling: 'waits' | 'due' | null = null;
  /** Lanes: it has a place among those that wait. */
  settleQueued = false;
  /** Lanes: the last entry written whose ack does not wait, since it settles others or may be collapsed; it counts while above `saved`. */
  hurriesTo = 0;
  /** Lanes: when the first of the entries written expires that the store may not have as acked, ms; 0: none does. */
  expiresFirstMs = 0;
  /** What the store has of `acked`. */
  saved = 0;
  /** Topics: the store's row is to be written though nothing moved, since it has none of this epoch. */
  unstored = false;
  /** Its place among the hearers of a topic; −1: it hears nothing yet. */
  hearer = -1;
  /** Topics: what of it the session wants; null: everything. */
  filter: Filter | null = null;
  detail: CursorDetail | null = null;

  constructor(name: StreamName, stream: HeardStream) {
    this.name = name;
    this.lane = laneOf(name);
    this.stream = stream;
  }
}

/** `deliver`: write it now. `read`: something is missing before it. `wait`: a read or an ack brings it. `known`: nothing to do. */
export type HintDecision = 'deliver' | 'read' | 'wait' | 'known';

/** What to do with an entry that was handed over instead of read. Cost: a few comparisons. */
export function decideHint(
  cursor: Cursor,
  hint: { readonly epoch: Epoch | null; readonly offset: number; readonly prev: number },
  windowMax: number,
): HintDecision {
  if (cursor.reading || cursor.parked) return 'wait';
  if (hint.epoch !== cursor.epoch) {
    if (cursor.epoch !== null || hint.prev !== 0) return 'read';
    return windowMax > 0 ? 'deliver' : 'wait';
  }
  if (hint.offset <= cursor.seen) return 'known';
  if (hint.prev > cursor.seen) return 'read';
  return isWithinWindow(cursor, windowMax) ? 'deliver' : 'wait';
}

/** Room by what is under way, and by what was acked above the lowest one that is not (R4): at most a window each. */
export function isWithinWindow(cursor: Cursor, windowMax: number): boolean {
  return cursor.out < windowMax && (cursor.detail === null || cursor.detail.ackedAbove < windowMax);
}

/** Whether the stream holds, as far as is known, what this cursor has not delivered. */
export function isBehind(cursor: Cursor): boolean {
  const { stream } = cursor;
  return stream.epoch !== null && (stream.epoch !== cursor.epoch || cursor.seen < stream.head);
}

/** Whether more may be written before acks are waited for. Another epoch waits until the one before is acked, or acks would be mixed up. */
export function hasRoom(cursor: Cursor, windowMax: number): boolean {
  if (cursor.stream.epoch !== cursor.epoch && cursor.epoch !== null) return cursor.inFlight === 0;
  return isWithinWindow(cursor, windowMax);
}

/** Notes that the stream reaches at least this far. */
export function hear(stream: HeardStream, epoch: Epoch, head: number): void {
  if (stream.epoch !== epoch) {
    stream.epoch = epoch;
    stream.head = head;
  } else if (head > stream.head) stream.head = head;
}

/** Starts at a place, where the store's row stands too. */
export function place(cursor: Cursor, epoch: Epoch, offset: number): void {
  cursor.epoch = epoch;
  cursor.base = offset;
  cursor.acked = offset;
  cursor.saved = offset;
  cursor.sent = offset;
  cursor.seen = offset;
  cursor.high = offset;
  cursor.inFlight = 0;
  cursor.out = 0;
  cursor.attempts = 0;
  cursor.attemptsSaved = 0;
  cursor.hurriesTo = 0;
  cursor.expiresFirstMs = 0;
  cursor.detail = null;
}

/** Notes what an entry that was written asks of its ack (settle-queue.ts). */
export function noteHurry(cursor: Cursor, offset: number, record: MessageRecord): void {
  if (record.satisfiedByAny || record.collapses) cursor.hurriesTo = offset;
  const { expiresAtMs } = record;
  if (expiresAtMs > 0 && (cursor.expiresFirstMs === 0 || expiresAtMs < cursor.expiresFirstMs))
    cursor.expiresFirstMs = expiresAtMs;
}

/** Lanes: the store has everything acked up to this offset of an epoch. */
export function noteSettled(cursor: Cursor, epoch: Epoch, offset: number): void {
  if (cursor.epoch !== epoch || offset <= cursor.saved) return;
  cursor.saved = offset;
  if (offset >= cursor.seen) cursor.expiresFirstMs = 0;
}

/** Goes on under another epoch or behind a gap: what lies before that is gone (expired). Answers the deliveries that ended by it. */
export function moveOn(cursor: Cursor, epoch: Epoch, offset: number): number {
  const before = cursor.inFlight;
  const { saved } = cursor;
  if (offset > cursor.acked) end(cursor, cursor.acked + 1, offset, 'expired');
  const goesBack = offset < saved;
  const tally = goesBack ? null : (cursor.detail?.tally ?? null);
  place(cursor, epoch, offset);
  if (!goesBack) cursor.saved = saved;
  if (tally !== null) detailOf(cursor, tally);
  cursor.unstored = true;
  return before;
}

/** An entry was written. Answers by how much the unacked deliveries grew. */
export function noteSent(cursor: Cursor, offset: number, nowMs: number): 0 | 1 {
  if (offset === cursor.acked + 1) {
    cursor.attempts = attemptsOf(cursor, offset) + 1;
    cursor.sinceMs = nowMs;
  }
  cursor.sent = offset;
  cursor.out++;
  if (offset > cursor.seen) cursor.seen = offset;
  if (offset <= cursor.high) return 0;
  cursor.high = offset;
  cursor.inFlight++;
  return 1;
}

/** How often the lowest unsettled entry was delivered; 0 for others, which are not counted. */
export function attemptsOf(cursor: Cursor, offset: number): number {
  if (offset !== cursor.acked + 1) return 0;
  if (cursor.detail === null) return cursor.attempts;
  return Math.max(cursor.attempts, cursor.detail.notes.get(offset)?.attempts ?? 0);
}

/** Entries `from` … `to` need no ack any more, wherever they stand. Answers how many deliveries that were under way ended by it. */
export function end(cursor: Cursor, from: number, to: number, why: EndedWhy): number {
  const first = Math.max(from, cursor.acked + 1);
  if (first > to) return 0;
  const before = cursor.inFlight;
  const detail = detailOf(cursor);
  for (const fresh of addEnded(detail.ended, first, to, why)) {
    cursor.inFlight -= Math.max(0, Math.min(fresh.to, cursor.high) - fresh.from + 1);
    cursor.out -= Math.max(0, Math.min(fresh.to, cursor.sent) - fresh.from + 1);
    if (why === 'acked') detail.ackedAbove += fresh.to - fresh.from + 1;
    for (const noted of detail.notes.keys()) if (noted >= fresh.from && noted <= fresh.to) detail.notes.delete(noted);
  }
  // While entries are written again, one that ends further up leaves those before it to be written.
  if (to > cursor.seen && from <= cursor.seen + 1) cursor.seen = to;
  takeIn(cursor);
  return before - cursor.inFlight;
}

/** An entry that has ended though entries before it have not. */
export function isEnded(cursor: Cursor, offset: number): boolean {
  return offset <= cursor.acked || (cursor.detail !== null && rangeAt(cursor.detail.ended, offset) !== null);
}

export type AckOutcome =
  /** `settled`: deliveries that are no longer under way. */
  | { readonly kind: 'moved'; readonly settled: number }
  | { readonly kind: 'nothing-new' }
  /** It was never written to this client. */
  | { readonly kind: 'beyond' };
const NOTHING_NEW: AckOutcome = { kind: 'nothing-new' };
const BEYOND: AckOutcome = { kind: 'beyond' };

/** The client has persisted everything up to `offset`. */
export function noteAck(cursor: Cursor, offset: number, nowMs: number): AckOutcome {
  const { acked, detail } = cursor;
  if (offset > cursor.high && offset > acked) return BEYOND;
  if (offset > cursor.base) cursor.base = offset;
  if (offset <= acked) return NOTHING_NEW;
  const before = cursor.inFlight;
  const endedThere = detail === null ? 0 : countEnded(detail.ended, acked + 1, offset);
  cursor.inFlight -= offset - acked - endedThere;
  if (offset < cursor.sent) cursor.out -= offset - acked - endedThere;
  else {
    cursor.out = 0;
    cursor.sent = offset; // it may have been about to be written again
  }
  cursor.acked = offset;
  if (cursor.seen < offset) cursor.seen = offset;
  if (detail !== null) {
    dropRanges(cursor, detail, offset);
    for (const noted of detail.notes.keys()) if (noted <= offset) detail.notes.delete(noted);
  }
  takeIn(cursor, true);
  cursor.sinceMs = nowMs;
  return { kind: 'moved', settled: before - cursor.inFlight };
}

/** What follows the cursor and has ended is behind it from now on. */
function takeIn(cursor: Cursor, moved = false): void {
  const { detail } = cursor;
  let first = detail?.ended[0];
  while (first !== undefined && first.from <= cursor.acked + 1) {
    cursor.acked = Math.max(cursor.acked, first.to);
    if (cursor.seen < cursor.acked) cursor.seen = cursor.acked;
    moved = true;
    dropRanges(cursor, detail!, cursor.acked);
    first = detail!.ended[0];
  }
  if (!moved) return;
  // The next one starts over, or a client that stalls would have its whole window dead-lettered at once. Where it is about to be written
  // again, that is the first time.
  cursor.attempts = cursor.seen > cursor.acked ? 1 : 0;
  cursor.attemptsSaved = 0;
  if (detail !== null && isPlain(detail)) cursor.detail = null;
}

/** Forgets ranges up to an offset, and counts what of them the store's row has not. */
function dropRanges(cursor: Cursor, detail: CursorDetail, upTo: number): void {
  while (detail.ended.length > 0 && detail.ended[0]!.from <= upTo) {
    const range = detail.ended[0]!;
    const to = Math.min(range.to, upTo);
    if (range.why === 'acked') detail.ackedAbove -= to - range.from + 1;
    else detail.tally[range.why] += Math.max(0, to - Math.max(range.from - 1, cursor.saved));
    if (range.to <= upTo) detail.ended.shift();
    else detail.ended[0] = { ...range, from: upTo + 1 };
  }
}

/** Goes back behind entry `from`, so that it and what follows is written again. `from` acked + 1: everything that is under way. */
export function rewind(cursor: Cursor, from: number, nowMs: number): void {
  const to = from - 1;
  cursor.sinceMs = nowMs;
  if (cursor.seen <= to) return;
  cursor.sent = Math.min(cursor.sent, givenBefore(cursor, from));
  cursor.seen = to;
  cursor.out = to - cursor.acked - (cursor.detail === null ? 0 : countEnded(cursor.detail.ended, cursor.acked + 1, to));
}

/** What the client was given last before an entry: nothing between is owed. Never beyond where the client may stand. */
function givenBefore(cursor: Cursor, offset: number): number {
  let at = offset - 1;
  while (at > cursor.acked) {
    const range = cursor.detail === null ? null : rangeAt(cursor.detail.ended, at);
    if (range === null || range.why === 'acked') return at;
    at = range.from - 1;
  }
  return cursor.base;
}

/** So many entries between the store's row and the cursor's place are gone: trimmed before anyone could be given them. */
export function noteGone(cursor: Cursor, count: number): void {
  detailOf(cursor).tally.expired += count;
}

/** The note of an entry under way, made when it has none. */
export function noteOf(cursor: Cursor, offset: number): EntryNote {
  const { notes } = detailOf(cursor);
  let note = notes.get(offset);
  if (note === undefined)
    notes.set(offset, (note = { attemptsMax: 0, ackTimeoutMs: 0, nacks: 0, attempts: 0, retryAtMs: 0, reason: '' }));
  return note;
}

function detailOf(cursor: Cursor, tally?: Tally): CursorDetail {
  cursor.detail ??= {
    ended: [],
    ackedAbove: 0,
    tally: tally ?? { filtered: 0, expired: 0, cancelled: 0, dead: 0 },
    notes: new Map(),
  };
  return cursor.detail;
}

function isPlain({ ended, notes, tally }: CursorDetail): boolean {
  if (ended.length > 0 || notes.size > 0) return false;
  return tally.filtered === 0 && tally.expired === 0 && tally.cancelled === 0 && tally.dead === 0;
}
