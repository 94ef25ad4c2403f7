// unsubscribe: the session and its next ones do not hear these topics any more. Unknown topics are no error: it is what was asked for.
import type { UnsubscribeFrame } from '../../protocol/frames.ts';
import type { Connection } from '../connect/connection.ts';
import { releaseStream } from '../connect/leave.ts';
import { runTopicWork } from '../connect/topic-work.ts';

export function takeUnsubscribe(connection: Connection, frame: UnsubscribeFrame): void {
  runTopicWork(connection, frame.id, () => unsubscribe(connection, frame));
}

async function unsubscribe(connection: Connection, frame: UnsubscribeFrame): Promise<void> {
  const { gateway } = connection;
  const session = connection.session!;
  const { app, device } = session.permission;
  // What the client acked is counted as that: the rest of what the row holds counts as cancelled (R12).
  await gateway.cursorFlush.flushSessions([session]);
  await gateway.store.unsubscribe(app, device, frame.topics);
  if (connection.phase !== 'live') return;
  for (const topic of frame.topics) {
    const cursor = session.find(topic);
    if (cursor === null) continue;
    session.remove(cursor);
    releaseStream(gateway, connection, cursor);
  }
  connection.send({ type: 'unsubscribed', id: frame.id });
}
