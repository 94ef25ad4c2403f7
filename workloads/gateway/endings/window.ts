// How much a client may have under way, and the count of what it has: by stream (setting windowMessagesMax), over all streams of its
// session, and less where it is slow (pace.ts). Whatever ends deliveries passes through here, so that room is used and the counts are exact.
import type { Connection } from '../connect/connection.ts';
import { end, isBehind } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { EndedWhy } from './ended.ts';
import type { Gateway } from '../gateway.ts';
import { PACE_SLOW_MS, PACE_START, PACE_STEPS, paceAfter } from './pace.ts';
import type { PaceState } from './pace.ts';

/** Windows that all streams of one session have together: 2,048 messages by default. */
export const SESSION_WINDOWS = 8;
/** Once the session's window was full, streams go on when this share of it is free again. */
const WAKE_SHARE = 0.25;
/** A client at ids only is still sent bodies that are hardly longer than a fetch would be. */
export const ID_ONLY_BODY_BYTES_MIN = 512;

/** The pace of one slow client, with the write whose ack is awaited. */
export class Pace {
  state: PaceState = PACE_START;
  sample: Cursor | null = null;
  sampleOffset = 0;
  sampleAtMs = 0;

  get step(): (typeof PACE_STEPS)[number] {
    return PACE_STEPS[this.state.step]!;
  }
}

/** Room of each stream of this connection now; 0: the session's is used up. Cost: two comparisons for a client that is not slow. */
export function windowOf(gateway: Gateway, connection: Connection): number {
  const windowMax = gateway.settings.windowMessagesMax;
  const { pace } = connection;
  const own = pace === null ? windowMax : Math.min(windowMax, pace.step.window);
  if (connection.unacked < (own < windowMax ? own : windowMax * SESSION_WINDOWS)) return own;
  connection.windowFull = true;
  return 0;
}

/** Room for what was written before: it is in the count already. */
export function windowAgain(gateway: Gateway, connection: Connection): number {
  const { pace } = connection;
  return pace === null
    ? gateway.settings.windowMessagesMax
    : Math.min(gateway.settings.windowMessagesMax, pace.step.window);
}

/** So many deliveries more are under way; less where negative. */
export function changeUnacked(connection: Connection, by: number): void {
  connection.unacked += by;
  connection.gateway.counts.unacked += by;
}

/** Streams that waited for the session's window go on when there is room. Cost: O(streams) when it had been full. */
export function useRoom(gateway: Gateway, connection: Connection): void {
  if (!connection.windowFull || connection.phase !== 'live') return;
  const windowMax = gateway.settings.windowMessagesMax;
  const own = windowAgain(gateway, connection);
  const limit = own < windowMax ? own : windowMax * SESSION_WINDOWS;
  if (connection.unacked > Math.floor(limit * (1 - WAKE_SHARE))) return;
  connection.windowFull = false;
  for (const cursor of connection.session!.cursors)
    if (isBehind(cursor)) gateway.reader.want(connection, cursor, 'now');
}

/** Entries `from` … `to` of a cursor have ended without an ack of theirs. */
export function endEntries(
  connection: Connection,
  cursor: Cursor,
  range: { readonly from: number; readonly to: number; readonly why: EndedWhy },
): void {
  const { gateway } = connection;
  const { acked } = cursor;
  const ended = end(cursor, range.from, range.to, range.why);
  if (ended > 0) changeUnacked(connection, -ended);
  if (cursor.acked === acked) return;
  cursor.sinceMs = gateway.wheel.nowMs;
  if (cursor.lane === null) gateway.cursorFlush.note(connection);
}

// ---- pace

/** A delivery was written: if the client is being paced and nothing is awaited, its ack is timed. */
export function timeWrite(pace: Pace, cursor: Cursor, offset: number, nowMs: number): void {
  if (pace.sample !== null) return;
  pace.sample = cursor;
  pace.sampleOffset = offset;
  pace.sampleAtMs = nowMs;
}

/** Acks moved a cursor. `waitedMs`: how long the lowest unacked delivery had waited, the first sign of a slow client. */
export function timeAck(connection: Connection, cursor: Cursor, waitedMs: number): void {
  const { pace, gateway } = connection;
  if (pace === null) {
    if (waitedMs >= PACE_SLOW_MS) adjustPace(connection, waitedMs);
  } else if (pace.sample === cursor && cursor.acked >= pace.sampleOffset) {
    pace.sample = null;
    adjustPace(connection, gateway.wheel.nowMs - pace.sampleAtMs);
  }
}

/** A write was acked after so long, or was not for so long. */
export function adjustPace(connection: Connection, waitedMs: number): void {
  const { counts } = connection.gateway;
  const pace = connection.pace ?? new Pace();
  const before = connection.pace === null ? 0 : pace.state.step;
  const after = paceAfter(pace.state, waitedMs);
  connection.pace = after === null ? null : pace;
  if (after !== null) pace.state = after;
  const step = after === null ? 0 : after.step;
  if (step === before) return;
  if (before > 0) counts.paced[before]!--;
  if (step > 0) counts.paced[step]!++;
  counts.paceSteps[step > before ? 'down' : 'up']++;
  if (step < before) connection.windowFull = true; // there is more room than before: useRoom looks at every stream
}

/** The session ends. */
export function forgetPace(connection: Connection): void {
  if (connection.pace !== null && connection.pace.state.step > 0)
    connection.gateway.counts.paced[connection.pace.state.step]!--;
  connection.pace = null;
  connection.late = null;
}
