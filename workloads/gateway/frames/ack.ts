// ack: the client has persisted everything up to each position. Lanes are settled in the store, topics move the saved cursor; room in
// the window that an ack makes is used by reading on.
import type { AckFrame } from '../../protocol/frames.ts';
import { laneOf } from '../../protocol/streams.ts';
import type { Connection } from '../connection.ts';
import { isBehind, noteAck } from '../cursor.ts';

/** Streams that the session does not hold (any more) and positions that were acked before are passed over. */
export function takeAck(connection: Connection, frame: AckFrame): void {
  const { gateway } = connection;
  const session = connection.session!;
  for (const { stream, offset, epoch } of frame.positions) {
    const cursor = session.find(stream);
    if (cursor === null || (epoch !== undefined && epoch !== cursor.epoch)) continue;
    const outcome = noteAck(cursor, offset, gateway.wheel.nowMs);
    if (outcome.kind === 'beyond') {
      const message = `${stream}: expected an offset up to ${cursor.high}, got ${offset}`;
      connection.send({ type: 'error', code: 'invalid-request', message });
    }
    if (outcome.kind !== 'moved') continue;
    gateway.counts.acks++;
    gateway.counts.unacked -= outcome.settled;
    if (laneOf(stream) === null) gateway.cursorFlush.note(connection);
    else gateway.settles.note(connection, cursor);
    if (isBehind(cursor)) gateway.reader.want(connection, cursor, 'now');
  }
}
