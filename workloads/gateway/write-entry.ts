// Writes one durable entry to one client and notes it on the cursor: the only place where durable messages are written, for hints
// (fanout.ts, deliver.ts) and for what was read (pages.ts). What it counts as unacked, ack-watch.ts follows up.
import type { Epoch } from '../protocol/ids.ts';
import { watchAcks } from './ack-watch.ts';
import type { Connection } from './connection.ts';
import { noteSent, place } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { MessageEncoder } from './encode.ts';
import type { Gateway } from './gateway.ts';
import { stateOf } from './start.ts';

/** `slow`: nothing was written; the stream goes on by a read when the socket has drained. */
export function writeEntry(
  gateway: Gateway,
  connection: Connection,
  cursor: Cursor,
  entry: { readonly epoch: Epoch; readonly offset: number; readonly encoder: MessageEncoder },
): 'written' | 'slow' {
  const { outbox, counts, wheel } = gateway;
  if (cursor.epoch === null) openStream(connection, cursor, entry.epoch);
  if (outbox.offer(connection, entry.encoder.frame(cursor.sent)) === 'slow') {
    counts.heldBack++;
    return 'slow';
  }
  counts.deliveredDurable++;
  counts.unacked += noteSent(cursor, entry.offset, wheel.nowMs);
  if (connection.ackWatch === null || connection.ackWatch.wheelNext === null) watchAcks(connection);
  return 'written';
}

/** The first message of a stream that nobody had written when the session opened: the client is told where it begins. */
function openStream(connection: Connection, cursor: Cursor, epoch: Epoch): void {
  place(cursor, epoch, { offset: 0, acked: 0 });
  connection.send({ type: 'stream', state: stateOf(cursor.name, { epoch, offset: 0 }, 'no-position') });
}
