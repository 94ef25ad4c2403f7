// Subscribes and unsubscribes of one connection, one after the other: they wait for the store, and the last one asked must win.
// Bounded for each connection; a failure of the store answers the frame, and the connection stays.
import { StoreUnavailableError } from '../../store/port.ts';
import type { Connection } from './connection.ts';

/** Frames of one connection that may wait: 16 × 256 topics are all it may hold. */
export const TOPIC_WORK_MAX = 16;
const RETRY_AFTER_MS = 1000;
/** All clients of a gateway ask again while the store is away. */
const STORE_AWAY_RETRY_MS = 3000;

export interface TopicWork {
  /** The last one's end. */
  tail: Promise<void>;
  waiting: number;
}

export function runTopicWork(connection: Connection, id: number, run: () => Promise<void>): void {
  if (connection.session!.provisional) {
    const retryAfterMs = Math.ceil(STORE_AWAY_RETRY_MS * (1 + connection.gateway.random()));
    connection.send({ type: 'error', id, code: 'store-unavailable', message: 'the store is away', retryAfterMs });
    return;
  }
  const work = (connection.topicWork ??= { tail: Promise.resolve(), waiting: 0 });
  if (work.waiting >= TOPIC_WORK_MAX) {
    const message = `expected at most ${TOPIC_WORK_MAX} topic frames waiting`;
    connection.send({ type: 'error', id, code: 'rate-limited', message, retryAfterMs: RETRY_AFTER_MS });
    return;
  }
  work.waiting++;
  work.tail = work.tail.then(() => runOne(connection, id, run));
}

async function runOne(connection: Connection, id: number, run: () => Promise<void>): Promise<void> {
  try {
    if (connection.phase === 'live') await run();
  } catch (error) {
    const code = error instanceof StoreUnavailableError ? 'store-unavailable' : 'internal';
    connection.gateway.log.warn({ problem: String(error) }, 'topics not changed');
    connection.send({ type: 'error', id, code, message: 'topics not changed', retryAfterMs: RETRY_AFTER_MS });
  } finally {
    if (connection.topicWork !== null && --connection.topicWork.waiting === 0) connection.topicWork = null;
  }
}
