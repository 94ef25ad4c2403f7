// Which streams a session opens and what is known of each: from what the store answered and what the client claims. Pure. connect.ts asks for
// all of a session's, frames/subscribe.ts for those of one frame; recovery.ts opens them.
import { TOPIC_ALL } from '../../protocol/ids.ts';
import type { TopicName } from '../../protocol/ids.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { LaneState, OpenedSession, TopicCursor } from '../../store/port.ts';
import type { StreamRequest } from './recovery.ts';
import type { Place } from './start.ts';

/** Lanes that were ever written, the device's subscriptions, and `$all`. */
export function streamRequests(
  opened: Extract<OpenedSession, { kind: 'opened' }>,
  claims: ReadonlyMap<StreamName, Place>,
): StreamRequest[] {
  const requests: StreamRequest[] = opened.lanes.map((state) =>
    laneRequest(state, claims.get(`@${state.lane}`) ?? null),
  );
  const rows = new Map<TopicName, TopicCursor | null>([[TOPIC_ALL, null]]);
  for (const row of opened.topics) rows.set(row.topic, row);
  for (const [topic, row] of rows) requests.push(topicRequest(topic, row, claims.get(topic) ?? null));
  return requests;
}

function laneRequest(state: LaneState, claim: Place | null): StreamRequest {
  const { lane, epoch, head, settled, attempts, attemptsOffset } = state;
  return {
    name: `@${lane}`,
    claim,
    server: epoch === null ? null : { epoch, offset: settled },
    lane: { epoch, head },
    filter: null,
    attempts: { offset: attemptsOffset, attempts },
  };
}

/** @param row null: the store keeps none (`$all` at first) */
export function topicRequest(topic: TopicName, row: TopicCursor | null, claim: Place | null): StreamRequest {
  const place = row === null || row.epoch === null ? null : { epoch: row.epoch, offset: row.offset };
  return {
    name: topic,
    claim,
    server: row === null ? null : (place ?? 'start'),
    lane: null,
    filter: row?.filter ?? null,
    attempts: row === null ? null : { offset: row.offset + 1, attempts: row.attempts },
  };
}
