// subscribe: the session hears further topics from now on, and so do its next ones (a stored row, R12). Topics outside of the app's
// patterns are refused one by one; the others are answered with their states, then with what is missing.
import { isTopicAllowed } from '../../protocol/apps.ts';
import type { ErrorCode } from '../../protocol/codes.ts';
import type { StreamState, SubscribeFrame, TopicRequest } from '../../protocol/frames.ts';
import { TOPIC_ALL } from '../../protocol/ids.ts';
import type { TopicName } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { LANES } from '../../protocol/streams.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { Subscription } from '../../store/port.ts';
import { Channel } from '../delivery/channel.ts';
import type { Connection } from '../connect/connection.ts';
import { enliven, openStreams } from '../connect/recovery.ts';
import type { OpenedStream } from '../connect/recovery.ts';
import type { Session } from '../connect/session.ts';
import { stateOf } from '../connect/start.ts';
import { topicRequest } from '../connect/stream-requests.ts';
import { runTopicWork } from '../connect/topic-work.ts';

/** Streams of a session that are no subscriptions. */
const OTHERS: readonly StreamName[] = [...LANES.map((lane): StreamName => `@${lane}`), TOPIC_ALL];

export function takeSubscribe(connection: Connection, frame: SubscribeFrame): void {
  runTopicWork(connection, frame.id, () => subscribe(connection, frame));
}

async function subscribe(connection: Connection, frame: SubscribeFrame): Promise<void> {
  const { gateway } = connection;
  const session = connection.session!;
  const { fresh, refiltered, states, refused } = sortRequests(session, frame.topics);
  const { app, device } = session.permission;
  let opened: readonly OpenedStream[] = [];
  const stored = [...fresh, ...refiltered];
  if (stored.length > 0) {
    const rows = await gateway.store.subscribe(app, device, stored.map(subscriptionOf));
    if (connection.phase !== 'live') return;
    opened = await openStreams(
      gateway,
      connection,
      fresh.map(({ topic, epoch, offset }, i) =>
        topicRequest(topic, rows[i]!, epoch === undefined || offset === undefined ? null : { epoch, offset }),
      ),
    );
    if (isGone(connection)) return;
    for (const { topic, filter } of refiltered) refilter(connection, topic, textOf(filter) ?? null);
  }
  for (const { state } of opened) if (state !== null) states.push(state);
  connection.send({ type: 'subscribed', id: frame.id, streams: states, ...(refused.length > 0 ? { refused } : {}) });
  enliven(gateway, connection, opened);
}

function subscriptionOf({ topic, filter }: TopicRequest): Subscription {
  const text = textOf(filter);
  return text === undefined ? { topic } : { topic, filter: text };
}

function textOf(filter: TopicRequest['filter']): string | null | undefined {
  return filter === undefined || filter === null ? filter : JSON.stringify(filter);
}

/** What comes from now on is asked by the new filter. */
function refilter(connection: Connection, topic: TopicName, text: string | null): void {
  const cursor = connection.session!.find(topic);
  if (cursor === null) return;
  const { stream, hearer } = cursor;
  const channel = stream instanceof Channel && hearer !== -1 ? stream : null;
  channel?.leave(cursor);
  cursor.filter = connection.gateway.filters.of(text);
  channel?.join(cursor, connection);
}

function isGone(connection: Connection): boolean {
  return connection.phase !== 'live';
}

interface Sorted {
  readonly fresh: readonly TopicRequest[];
  /** Those it hears and that name a filter. */
  readonly refiltered: readonly TopicRequest[];
  /** Topics the session hears already go on where they are. */
  readonly states: StreamState[];
  readonly refused: readonly { topic: string; code: ErrorCode }[];
}

function sortRequests(session: Session, topics: readonly TopicRequest[]): Sorted {
  const fresh = new Map<string, TopicRequest>();
  const refiltered = new Map<string, TopicRequest>();
  const states: StreamState[] = [];
  const refused: { topic: string; code: ErrorCode }[] = [];
  const held = session.cursors.length - OTHERS.filter((name) => session.find(name) !== null).length;
  const room = LIMITS.subscriptionsMax - held;
  for (const request of topics) {
    const { topic } = request;
    const cursor = session.find(topic);
    if (cursor !== null) {
      if (request.filter !== undefined) refiltered.set(topic, request);
      // What the client itself acked or was told: of what was written since, it may have given something back.
      if (cursor.epoch !== null) states.push(stateOf(topic, { epoch: cursor.epoch, offset: cursor.base }, null));
    } else if (!isTopicAllowed(session.permission.topics, topic)) refused.push({ topic, code: 'forbidden' });
    else if (fresh.size >= room && !fresh.has(topic)) refused.push({ topic, code: 'rate-limited' });
    else fresh.set(topic, request);
  }
  return { fresh: [...fresh.values()], refiltered: [...refiltered.values()], states, refused };
}
