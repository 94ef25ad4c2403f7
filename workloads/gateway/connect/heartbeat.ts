// Heartbeats and the hello timeout, both on the wheel: one entry for each connection, moved only when it comes due. A frame just notes
// when it came; an entry that finds the client was heard meanwhile goes back in for the rest.
import type { Connection } from './connection.ts';

/** A connection's entry came due. */
export function checkSilence(connection: Connection, nowMs: number): void {
  if (connection.phase === 'hello') {
    connection.close('helloTimeout');
    return;
  }
  const { settings, wheel } = connection.gateway;
  const silentAtMs = connection.lastHeardMs + settings.heartbeatIntervalMs * settings.heartbeatsMissedMax;
  if (silentAtMs <= nowMs) connection.close('silent');
  else wheel.schedule(connection, silentAtMs);
}
