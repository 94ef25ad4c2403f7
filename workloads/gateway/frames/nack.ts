// nack: the client could not deal with a message. It comes again, at first at once, then with backoff or when the client asked for it, and
// what follows it in its stream comes with it; after its attempts, or when the client calls it final, it becomes a dead letter.
import type { NackFrame } from '../../protocol/frames.ts';
import { bringForward, writeAgain } from '../endings/ack-watch.ts';
import type { Connection } from '../connect/connection.ts';
import { attemptsOf, isEnded, noteOf, rewind } from '../endings/cursor.ts';
import type { Cursor } from '../endings/cursor.ts';
import { attemptsMaxOf, nackDelayMs } from '../endings/retry.ts';

/** Streams that the session does not hold, and messages that have ended, are passed over. */
export function takeNack(connection: Connection, frame: NackFrame): void {
  const { gateway } = connection;
  const { stream, offset, epoch, reason } = frame;
  const cursor = connection.session!.find(stream);
  if (cursor === null || (epoch !== undefined && epoch !== cursor.epoch)) return;
  if (offset > cursor.high) {
    const message = `${stream}: expected an offset up to ${cursor.high}, got ${offset}`;
    connection.send({ type: 'error', code: 'invalid-request', message });
    return;
  }
  if (isEnded(cursor, offset)) return;
  gateway.counts.nacks++;
  const place = { stream, epoch: cursor.epoch, offset, messageId: null, attempt: attemptsOf(cursor, offset) };
  gateway.trace.note('nacked', connection.session!.permission, place, reason);
  refuse(connection, cursor, frame);
}

function refuse(connection: Connection, cursor: Cursor, frame: NackFrame): void {
  const { gateway } = connection;
  const { offset, reason, retryAfterMs = 0, final } = frame;
  const nowMs = gateway.wheel.nowMs;
  const note = noteOf(cursor, offset);
  note.nacks++;
  note.reason = reason;
  const attempts = Math.max(note.nacks, attemptsOf(cursor, offset));
  if (final !== undefined || attempts >= attemptsMaxOf(note)) {
    note.retryAtMs = nowMs + gateway.settings.ackTimeoutMs; // should the store be away, it is asked again
    bringForward(connection, note.retryAtMs);
    // The client forgot what is behind it, and stands before it: both hold for what is written once the letter is kept.
    if (!cursor.reading) rewind(cursor, offset, nowMs);
    gateway.deadLetters.bury(connection, cursor, { offset, reason, attempts, held: final === 'person' });
    return;
  }
  const delayMs = nackDelayMs(note.nacks, note.ackTimeoutMs || gateway.settings.ackTimeoutMs, retryAfterMs);
  if (delayMs === 0 && !cursor.reading) return writeAgain(connection, cursor, offset);
  note.retryAtMs = nowMs + delayMs;
  bringForward(connection, note.retryAtMs);
}
