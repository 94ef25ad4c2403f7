// When a delivery that was not acked is tried again, and when no more. Pure. ack-watch.ts asks it on the wheel, frames/nack.ts for what
// a client could not deal with, write-entry.ts before an entry is written once more.
import { LIMITS } from '../../protocol/limits.ts';
import type { Cursor, EntryNote } from './cursor.ts';

/** The longest wait between two deliveries of one message, unless its own ack timeout is longer. */
export const RETRY_DELAY_MS_MAX = 300_000;

type Options = Pick<EntryNote, 'attemptsMax' | 'ackTimeoutMs'>;

/** Deliveries before a message is dead-lettered. */
export function attemptsMaxOf(options: Options | undefined): number {
  return options === undefined || options.attemptsMax === 0 ? LIMITS.attemptsMax : options.attemptsMax;
}

/** Why an entry that was delivered so often is given up. */
export function noAckReason(attempts: number): string {
  return `no ack after ${attempts} ${attempts === 1 ? 'delivery' : 'deliveries'}`;
}

/**
 * How long delivery number `attempts` waits for its ack: the ack timeout, and twice as long with each further one. The first timeout is
 * followed by a delivery at once: that is the immediate retry.
 */
export function ackDelayMs(attempts: number, ackTimeoutMs: number): number {
  const longest = Math.max(ackTimeoutMs, RETRY_DELAY_MS_MAX);
  return Math.min(longest, ackTimeoutMs * 2 ** Math.max(0, attempts - 1));
}

/** How long after negative ack number `nacks` it is delivered again: at first at once, then the ack timeout, doubling. */
export function nackDelayMs(nacks: number, ackTimeoutMs: number, askedMs: number): number {
  return Math.max(askedMs, nacks <= 1 ? 0 : ackDelayMs(nacks - 1, ackTimeoutMs));
}

/** When something is to be done about a cursor with deliveries under way, ms. */
export function dueAtMs(cursor: Cursor, ackTimeoutMs: number): number {
  const notes = cursor.detail === null ? null : cursor.detail.notes;
  if (notes === null || notes.size === 0) return cursor.sinceMs + ackDelayMs(cursor.attempts, ackTimeoutMs);
  const lowest = notes.get(cursor.acked + 1);
  let due = Number.POSITIVE_INFINITY;
  if (lowest === undefined || lowest.retryAtMs === 0)
    due = cursor.sinceMs + ackDelayMs(cursor.attempts, lowest?.ackTimeoutMs || ackTimeoutMs);
  for (const { retryAtMs } of notes.values()) if (retryAtMs > 0 && retryAtMs < due) due = retryAtMs;
  return due;
}

/** The lowest entry whose retry is due; its wait is over, and that of those behind it, which come again with it. Null: none is. */
export function takeRetry(cursor: Cursor, nowMs: number): number | null {
  let first: number | null = null;
  for (const [offset, note] of cursor.detail?.notes ?? [])
    if (note.retryAtMs > 0 && note.retryAtMs <= nowMs && (first === null || offset < first)) first = offset;
  if (first === null) return null;
  for (const [offset, note] of cursor.detail!.notes) if (offset >= first) note.retryAtMs = 0;
  return first;
}
