// Follows up what was written and not acked: when its time is over it is read from the store and written again to the same connection,
// at first at once, then with backoff (retry.ts), and in the end it becomes a dead letter and the next one goes on (R9). One wheel entry
// for each connection that has something unacked, whatever its number of messages.
//
// A client that acks nothing costs a window of writes each backoff and one dead letter every five minutes; its pace takes the window
// down to one message, its streams are bounded by the store (R6). So nobody is closed for want of acks.
import { WheelEntry } from '../../runtime/wheel.ts';
import type { Connection } from '../connect/connection.ts';
import { rewind } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import { ackDelayMs, attemptsMaxOf, dueAtMs, noAckReason, takeRetry } from './retry.ts';
import { adjustPace } from './window.ts';

export class AckWatch extends WheelEntry {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    super();
    this.#connection = connection;
  }

  due(nowMs: number): void {
    const connection = this.#connection;
    const { session, gateway } = connection;
    if (session === null || connection.phase !== 'live') return;
    const { ackTimeoutMs } = gateway.settings;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const cursor of session.cursors) {
      if (cursor.inFlight === 0) continue;
      if (!cursor.reading && dueAtMs(cursor, ackTimeoutMs) <= nowMs) tryAgain(connection, cursor, nowMs);
      nextMs = Math.min(nextMs, cursor.reading ? nowMs + ackTimeoutMs : Math.max(dueAtMs(cursor, ackTimeoutMs), nowMs));
    }
    if (nextMs !== Number.POSITIVE_INFINITY) gateway.wheel.schedule(this, nextMs);
  }
}

/** Its time is over. */
function tryAgain(connection: Connection, cursor: Cursor, nowMs: number): void {
  const { gateway } = connection;
  const nacked = takeRetry(cursor, nowMs);
  if (nacked === null && cursor.seen > cursor.acked) {
    const note = cursor.detail?.notes.get(cursor.acked + 1);
    const { attempts } = cursor;
    adjustPace(connection, ackDelayMs(attempts, note?.ackTimeoutMs || gateway.settings.ackTimeoutMs));
    if (attempts >= attemptsMaxOf(note)) {
      const reason = note !== undefined && note.reason !== '' ? note.reason : noAckReason(attempts);
      cursor.sinceMs = nowMs; // should the store be away, again after that
      gateway.deadLetters.bury(connection, cursor, { offset: cursor.acked + 1, reason, attempts, held: false });
      return;
    }
  }
  writeAgain(connection, cursor, nacked ?? cursor.acked + 1);
}

/** Entry `from` and what follows is read and written again, within the window and what the socket takes. */
export function writeAgain(connection: Connection, cursor: Cursor, from: number): void {
  const { gateway } = connection;
  gateway.counts.resends++;
  rewind(cursor, from, gateway.wheel.nowMs);
  gateway.reader.want(connection, cursor, 'now');
}

/** Starts the follow-up of a connection, or brings it forward; it ends by itself when everything is acked. 0: the default timeout. */
export function watchAcks(connection: Connection, ackTimeoutMs: number): void {
  const watch = (connection.ackWatch ??= new AckWatch(connection));
  const { wheel, settings } = connection.gateway;
  bringForward(connection, wheel.nowMs + (ackTimeoutMs === 0 ? settings.ackTimeoutMs : ackTimeoutMs), watch);
}

/** It is looked at by then. */
export function bringForward(connection: Connection, dueMs: number, watch?: AckWatch): void {
  const entry = watch ?? (connection.ackWatch ??= new AckWatch(connection));
  if (entry.wheelNext === null || entry.wheelDueMs > dueMs) connection.gateway.wheel.schedule(entry, dueMs);
}
