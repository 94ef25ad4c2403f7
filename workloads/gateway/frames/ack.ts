// ack: the client has persisted everything up to each position, and single messages beyond. Lanes are settled in the store, topics move the
// saved cursor; room in the window that an ack makes is used by reading on.
import type { AckFrame } from '../../protocol/frames.ts';
import type { MessageId } from '../../protocol/ids.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { Connection } from '../connect/connection.ts';
import { isBehind, noteAck } from '../endings/cursor.ts';
import type { Cursor } from '../endings/cursor.ts';
import { changeUnacked, timeAck, useRoom } from '../endings/window.ts';

/** Streams that the session does not hold (any more) and positions that were acked before are passed over. */
export function takeAck(connection: Connection, frame: AckFrame): void {
  const session = connection.session!;
  for (const { stream, offset, epoch } of frame.positions) {
    const cursor = session.find(stream);
    if (cursor !== null && (epoch === undefined || epoch === cursor.epoch)) ackPosition(connection, cursor, offset);
  }
  for (const { stream, id } of frame.ids ?? []) ackMessage(connection, stream, id);
  useRoom(connection.gateway, connection);
}

function ackPosition(connection: Connection, cursor: Cursor, offset: number): void {
  const { gateway } = connection;
  const nowMs = gateway.wheel.nowMs;
  const { sinceMs } = cursor;
  const outcome = noteAck(cursor, offset, nowMs);
  if (outcome.kind === 'beyond') {
    const message = `${cursor.name}: expected an offset up to ${cursor.high}, got ${offset}`;
    connection.send({ type: 'error', code: 'invalid-request', message });
  }
  if (outcome.kind !== 'moved') return;
  gateway.counts.acks++;
  changeUnacked(connection, -outcome.settled);
  timeAck(connection, cursor, nowMs - sinceMs);
  if (cursor.lane === null) gateway.cursorFlush.note(connection);
  else {
    gateway.settles.note(connection, cursor);
    const { name: stream, epoch } = cursor;
    gateway.trace.note('acked', connection.session!.permission, { stream, epoch, offset, messageId: null, attempt: 0 });
  }
  if (isBehind(cursor)) gateway.reader.want(connection, cursor, 'now');
}

/** One message of a lane, wherever it stands. The store finds it by its id and tells its place (settles.ts). */
function ackMessage(connection: Connection, stream: StreamName, id: MessageId): void {
  const { gateway } = connection;
  const cursor = connection.session!.find(stream);
  if (cursor === null || cursor.lane === null) return;
  gateway.counts.acks++;
  gateway.settles.noteEntry(connection, cursor, id);
}
