// A cursor: one session's position on one stream, and every decision about it. Pure: fields and numbers, no sockets, no time of its own.
// fanout.ts and deliver.ts ask decideHint for each hint; pages.ts writes what was read from the store; frames/ack.ts moves it up.
//
// Offsets of the cursor's epoch, always  acked ≤ sent ≤ seen  and  sent ≤ high:
//   acked  the client has persisted up to here          seen  nothing undelivered is at or below it (holes are passed, R4)
//   sent   last entry written; `prev` of the next one   high  last entry ever written; above `sent` only while entries are written again
import type { Epoch } from '../protocol/ids.ts';
import type { StreamName } from '../protocol/streams.ts';

/** What a gateway knows of a stream: the newest epoch and offset it heard of, by hint, read or position check. */
export interface HeardStream {
  epoch: Epoch | null;
  head: number;
}

export class Cursor {
  readonly name: StreamName;
  readonly stream: HeardStream;
  epoch: Epoch | null = null;
  acked = 0;
  sent = 0;
  seen = 0;
  high = 0;
  /** Written and not acked. With holes an upper bound until the last one is acked; 0 exactly when nothing is. */
  inFlight = 0;
  /** When the oldest of them was written, ms. */
  sinceMs = 0;
  /** Times they were written again without an ack in between. */
  resends = 0;
  /** It waits for a read, or one is under way: hints wait for its outcome. */
  reading = false;
  /** What the store has of `acked`. Lanes: settled; topics: the saved cursor. */
  saved = 0;
  /** Its place among the hearers of a topic; −1: it hears nothing yet. */
  hearer = -1;

  constructor(name: StreamName, stream: HeardStream) {
    this.name = name;
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
  if (cursor.reading) return 'wait';
  if (hint.epoch !== cursor.epoch) return cursor.epoch === null && hint.prev === 0 ? 'deliver' : 'read';
  if (hint.offset <= cursor.seen) return 'known';
  if (hint.prev > cursor.seen) return 'read';
  return cursor.inFlight < windowMax ? 'deliver' : 'wait';
}

/** Whether the stream holds, as far as is known, what this cursor has not delivered. */
export function isBehind(cursor: Cursor): boolean {
  const { stream } = cursor;
  return stream.epoch !== null && (stream.epoch !== cursor.epoch || cursor.seen < stream.head);
}

/** Whether more may be written before acks are waited for. Another epoch waits until the one before is acked, or acks would be mixed up. */
export function hasRoom(cursor: Cursor, windowMax: number): boolean {
  if (cursor.stream.epoch !== cursor.epoch && cursor.epoch !== null) return cursor.inFlight === 0;
  return cursor.inFlight < windowMax || cursor.seen < cursor.high;
}

/** Notes that the stream reaches at least this far. */
export function hear(stream: HeardStream, epoch: Epoch, head: number): void {
  if (stream.epoch !== epoch) {
    stream.epoch = epoch;
    stream.head = head;
  } else if (head > stream.head) stream.head = head;
}

/** Starts or goes on under another epoch, or at another place. What was under way no longer counts. */
export function place(cursor: Cursor, epoch: Epoch, at: { offset: number; acked: number }): void {
  cursor.epoch = epoch;
  cursor.acked = Math.min(at.acked, at.offset);
  cursor.saved = cursor.acked;
  cursor.sent = at.offset;
  cursor.seen = at.offset;
  cursor.high = at.offset;
  cursor.inFlight = 0;
  cursor.resends = 0;
}

/** An entry was written. Answers by how much the unacked deliveries grew. */
export function noteSent(cursor: Cursor, offset: number, nowMs: number): 0 | 1 {
  cursor.sent = offset;
  if (offset > cursor.seen) cursor.seen = offset;
  if (offset <= cursor.high) return 0;
  cursor.high = offset;
  if (cursor.inFlight++ === 0) cursor.sinceMs = nowMs;
  return 1;
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
  if (offset <= cursor.acked) return NOTHING_NEW;
  if (offset > cursor.high) return BEYOND;
  const before = cursor.inFlight;
  cursor.acked = offset;
  cursor.inFlight = offset >= cursor.high ? 0 : Math.min(before, cursor.high - offset);
  cursor.resends = 0;
  cursor.sinceMs = nowMs;
  if (cursor.sent < offset) cursor.sent = offset; // it was about to be written again
  if (cursor.seen < offset) cursor.seen = offset;
  return { kind: 'moved', settled: before - cursor.inFlight };
}

/** No ack came in time: goes back, so that what is unacked is read from the store and written again. */
export function rewind(cursor: Cursor, nowMs: number): void {
  cursor.sent = cursor.acked;
  cursor.seen = cursor.acked;
  cursor.sinceMs = nowMs;
  cursor.resends++;
}
