// Follows up what was written and not acked: after ackTimeoutMs it is read from the store and written again to the same connection.
// One wheel entry for each connection that has something unacked, whatever its number of messages. Attempts are bounded: a client that
// acks nothing is closed as slow and comes back with its positions.
import { WheelEntry } from '../runtime/wheel.ts';
import type { Connection } from './connection.ts';
import { rewind } from './cursor.ts';

/** Written again at most so often: with the default of 10 s a client has 40 s to ack. */
export const RESENDS_MAX = 3;

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
      if (cursor.sinceMs + ackTimeoutMs <= nowMs && !cursor.reading) {
        if (cursor.resends >= RESENDS_MAX) {
          connection.close('slow', `${cursor.name}: no ack after ${RESENDS_MAX + 1} deliveries`);
          return;
        }
        gateway.counts.resends++;
        rewind(cursor, nowMs);
        gateway.reader.want(connection, cursor, 'now');
      }
      nextMs = Math.min(nextMs, Math.max(cursor.sinceMs + ackTimeoutMs, nowMs));
    }
    if (nextMs !== Number.POSITIVE_INFINITY) gateway.wheel.schedule(this, nextMs);
  }
}

/** Starts the follow-up of a connection; it ends by itself when everything is acked. */
export function watchAcks(connection: Connection): void {
  const watch = (connection.ackWatch ??= new AckWatch(connection));
  const { wheel, settings } = connection.gateway;
  wheel.schedule(watch, wheel.nowMs + settings.ackTimeoutMs);
}
