// subscribe: the session hears further topics from now on, and so do its next ones (a stored row, R12). Topics outside of the app's
// patterns are refused one by one; the others are answered with their states, then with what is missing.
import { isTopicAllowed } from '../../protocol/apps.ts';
import type { ErrorCode } from '../../protocol/codes.ts';
import type { StreamState, SubscribeFrame, TopicRequest } from '../../protocol/frames.ts';
import { TOPIC_ALL } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { LANES } from '../../protocol/streams.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { TopicCursor } from '../../store/port.ts';
import type { Connection } from '../connection.ts';
import { enliven, openStreams } from '../recovery.ts';
import type { OpenedStream, StreamRequest } from '../recovery.ts';
import type { Session } from '../session.ts';
import { stateOf } from '../start.ts';
import { runTopicWork } from '../topic-work.ts';

/** Streams of a session that are no subscriptions. */
const OTHERS: readonly StreamName[] = [...LANES.map((lane): StreamName => `@${lane}`), TOPIC_ALL];

export function takeSubscribe(connection: Connection, frame: SubscribeFrame): void {
  runTopicWork(connection, frame.id, () => subscribe(connection, frame));
}

async function subscribe(connection: Connection, frame: SubscribeFrame): Promise<void> {
  const { gateway } = connection;
  const session = connection.session!;
  const { fresh, states, refused } = sortRequests(session, frame.topics);
  const { app, device } = session.permission;
  let opened: readonly OpenedStream[] = [];
  if (fresh.length > 0) {
    const rows = await gateway.store.subscribe(
      app,
      device,
      fresh.map(({ topic }) => ({ topic, filter: null })),
    );
    if (connection.phase !== 'live') return;
    opened = await openStreams(
      gateway,
      connection,
      fresh.map((request, i) => streamRequest(request, rows[i]!)),
    );
    if (isGone(connection)) return;
  }
  for (const { state } of opened) if (state !== null) states.push(state);
  connection.send({ type: 'subscribed', id: frame.id, streams: states, ...(refused.length > 0 ? { refused } : {}) });
  enliven(gateway, connection, opened);
}

function isGone(connection: Connection): boolean {
  return connection.phase !== 'live';
}

interface Sorted {
  readonly fresh: readonly TopicRequest[];
  /** Topics the session hears already go on where they are. */
  readonly states: StreamState[];
  readonly refused: readonly { topic: string; code: ErrorCode }[];
}

function sortRequests(session: Session, topics: readonly TopicRequest[]): Sorted {
  const fresh = new Map<string, TopicRequest>();
  const states: StreamState[] = [];
  const refused: { topic: string; code: ErrorCode }[] = [];
  const held = session.cursors.length - OTHERS.filter((name) => session.find(name) !== null).length;
  const room = LIMITS.subscriptionsMax - held;
  for (const request of topics) {
    const { topic } = request;
    const cursor = session.find(topic);
    if (cursor !== null) {
      if (cursor.epoch !== null) states.push(stateOf(topic, { epoch: cursor.epoch, offset: cursor.sent }, null));
    } else if (!isTopicAllowed(session.permission.topics, topic)) refused.push({ topic, code: 'forbidden' });
    else if (fresh.size >= room && !fresh.has(topic)) refused.push({ topic, code: 'rate-limited' });
    else fresh.set(topic, request);
  }
  return { fresh: [...fresh.values()], states, refused };
}

function streamRequest({ topic, epoch, offset }: TopicRequest, row: TopicCursor): StreamRequest {
  return {
    name: topic,
    claim: epoch === undefined || offset === undefined ? null : { epoch, offset },
    server: row.epoch === null ? 'start' : { epoch: row.epoch, offset: row.offset },
    lane: null,
  };
}
