// fetch: the body of a message that came with its id only. It is read where the message stands in its stream; a few at a time for each
// connection. Answer: `fetched`, or an error with the frame's id.
import type { ErrorCode } from '../../protocol/codes.ts';
import type { FetchFrame } from '../../protocol/frames.ts';
import { encodeFetched } from '../../protocol/json-codec.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import type { Connection } from '../connect/connection.ts';
import type { Cursor } from '../endings/cursor.ts';
import { refOf } from '../delivery/stream-reader.ts';
import { textFrame } from '../delivery/ws-frame.ts';

/** Fetches of one connection under way; each holds at most one message. */
export const FETCHES_MAX = 16;
const RETRY_AFTER_MS = 1000;

export function takeFetch(connection: Connection, frame: FetchFrame): void {
  const cursor = connection.session!.find(frame.stream);
  const isOther = cursor === null || (frame.epoch !== undefined && frame.epoch !== cursor.epoch);
  if (isOther || cursor.epoch === null || frame.offset < 1 || frame.offset > cursor.high)
    return refuse(connection, frame.id, 'position-unknown', `${frame.stream}: nothing was sent at ${frame.offset}`);
  if (connection.fetches >= FETCHES_MAX)
    return refuse(connection, frame.id, 'rate-limited', `expected at most ${FETCHES_MAX} fetches under way`);
  connection.fetches++;
  void fetchOne(connection, cursor, frame);
}

/** Never rejects. */
async function fetchOne(connection: Connection, cursor: Cursor, { id, offset, stream }: FetchFrame): Promise<void> {
  const { gateway } = connection;
  const { epoch } = cursor;
  try {
    const after = { epoch: epoch!, offset: offset - 1 };
    const page = await gateway.reads.read({ stream: refOf(connection, cursor), after, entriesMax: 1 });
    const entry = page.entries[0];
    const isHeld = page.epoch === epoch && page.notRecovered === null && entry?.offset === offset;
    const record = isHeld ? decodeRecord(entry.record) : null;
    if (record === null || record.tombstone || record.bodyElsewhere)
      refuse(connection, id, 'position-unknown', `${stream}: nothing is held at ${offset}`);
    else {
      gateway.counts.fetched++;
      connection.sendBytes(textFrame(encodeFetched(id, record)));
    }
  } catch (error) {
    const code = error instanceof StoreUnavailableError ? 'store-unavailable' : 'internal';
    gateway.log.warn({ stream, offset, problem: String(error) }, 'message not fetched');
    refuse(connection, id, code, 'not fetched');
  } finally {
    connection.fetches--;
  }
}

function refuse(connection: Connection, id: number, code: ErrorCode, message: string): void {
  const isPassing = code === 'rate-limited' || code === 'store-unavailable';
  connection.send({ type: 'error', id, code, message, ...(isPassing ? { retryAfterMs: RETRY_AFTER_MS } : {}) });
}
