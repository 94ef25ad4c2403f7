// Writes one durable entry to one client and notes it on the cursor: the only place where durable messages are written, for hints
// (fanout.ts, deliver.ts) and for what was read (pages.ts). What it counts as unacked, ack-watch.ts follows up; an entry that was
// delivered as often as it may be is not written again but given to dead-letters.ts (R9).
import type { Epoch } from '../../protocol/ids.ts';
import { watchAcks } from '../endings/ack-watch.ts';
import type { Connection } from '../connect/connection.ts';
import { attemptsOf, moveOn, noteHurry, noteOf, noteSent } from '../endings/cursor.ts';
import type { Cursor } from '../endings/cursor.ts';
import type { MessageEncoder } from './encode.ts';
import type { Gateway } from '../gateway.ts';
import { attemptsMaxOf, noAckReason } from '../endings/retry.ts';
import { stateOf } from '../connect/start.ts';
import { ID_ONLY_BODY_BYTES_MIN, changeUnacked, endEntries, timeWrite } from '../endings/window.ts';

/** `slow`: nothing was written; the stream goes on by a read when the socket has drained. `dead`: it goes on once the entry is buried. */
export type WriteOutcome = 'written' | 'slow' | 'dead';

/** The cursor is at this entry: all before it was written or has ended. Cost: some comparisons and an append to the outbox. */
export function writeEntry(
  gateway: Gateway,
  connection: Connection,
  cursor: Cursor,
  encoder: MessageEncoder,
): WriteOutcome {
  const { outbox, counts, wheel } = gateway;
  const { offset } = encoder;
  const isAgain = offset <= cursor.high || (offset === cursor.acked + 1 && attemptsOf(cursor, offset) > 0);
  if (isAgain || !encoder.isPlain || connection.pace !== null)
    return writeWithCare(gateway, connection, cursor, encoder);
  if (outbox.offer(connection, encoder.frame(cursor.sent)) === 'slow') {
    counts.heldBack++;
    return 'slow';
  }
  counts.deliveredDurable++;
  noteSent(cursor, offset, wheel.nowMs);
  changeUnacked(connection, 1);
  if (cursor.lane !== null) {
    noteHurry(cursor, offset, encoder.record);
    trace(gateway, connection, cursor, encoder);
  }
  if (connection.ackWatch === null || connection.ackWatch.wheelNext === null) watchAcks(connection, 0);
  return 'written';
}

/** The same for what is written again, has options of its own, or goes to a slow client. */
function writeWithCare(
  gateway: Gateway,
  connection: Connection,
  cursor: Cursor,
  encoder: MessageEncoder,
): WriteOutcome {
  const { offset, record } = encoder;
  const attempts = attemptsOf(cursor, offset);
  if (encoder.isBodyMissing || attempts >= attemptsMaxOf(record)) {
    const reason = encoder.isBodyMissing ? 'its body is no longer kept' : noAckReason(attempts);
    gateway.deadLetters.bury(connection, cursor, { offset, reason, attempts, held: false });
    return 'dead';
  }
  const isAgain = offset <= cursor.high;
  const attempt = offset === cursor.acked + 1 ? attempts + 1 : isAgain ? Math.max(2, cursor.attempts) : 1;
  const idOnly = connection.pace?.step.idOnly === true && record.body.length >= ID_ONLY_BODY_BYTES_MIN;
  const frame =
    attempt === 1 && !idOnly ? encoder.frame(cursor.sent) : encoder.frameFor(cursor.sent, { attempt, idOnly });
  if (gateway.outbox.offer(connection, frame) === 'slow') {
    gateway.counts.heldBack++;
    return 'slow';
  }
  gateway.counts.deliveredDurable++;
  if (idOnly) gateway.counts.idOnly++;
  changeUnacked(connection, noteSent(cursor, offset, gateway.wheel.nowMs));
  if (cursor.lane !== null) noteHurry(cursor, offset, record);
  if (record.attemptsMax !== 0 || record.ackTimeoutMs !== 0)
    Object.assign(noteOf(cursor, offset), { attemptsMax: record.attemptsMax, ackTimeoutMs: record.ackTimeoutMs });
  if (connection.pace !== null) timeWrite(connection.pace, cursor, offset, gateway.wheel.nowMs);
  if (cursor.attempts >= 2 && offset === cursor.acked + 1) gateway.attempts.note(connection, cursor);
  if (cursor.lane !== null || isAgain) trace(gateway, connection, cursor, encoder);
  watchAcks(connection, record.ackTimeoutMs);
  return 'written';
}

function trace(gateway: Gateway, connection: Connection, cursor: Cursor, encoder: MessageEncoder): void {
  gateway.trace.note('written', connection.session!.permission, {
    stream: cursor.name,
    epoch: cursor.epoch,
    offset: encoder.offset,
    messageId: encoder.record.id,
    attempt: attemptsOf(cursor, encoder.offset),
  });
}

/** Passes entries that this client is not given; they have ended for it. */
export function skipEntries(
  connection: Connection,
  cursor: Cursor,
  range: { readonly from: number; readonly to: number; readonly why: 'filtered' | 'expired' | 'cancelled' },
): void {
  if (range.from <= range.to) endEntries(connection, cursor, range);
}

/** The first message of a stream that nobody had written when the session opened: the client is told where it begins. */
export function openStream(connection: Connection, cursor: Cursor, epoch: Epoch): void {
  moveOn(cursor, epoch, 0);
  cursor.unstored = false; // the store's row says the same
  connection.send({ type: 'stream', state: stateOf(cursor.name, { epoch, offset: 0 }, 'no-position') });
}
