// What happens when a connection serves no more, whoever ended it. Cost: O(streams of this session), never of the gateway.
// connection.ts calls it exactly once for each connection.
import { CLOSE } from '../../protocol/codes.ts';
import type { Connection, Phase } from './connection.ts';
import { Channel } from '../delivery/channel.ts';
import type { Cursor } from '../endings/cursor.ts';
import type { Gateway } from '../gateway.ts';
import { changeUnacked, forgetPace } from '../endings/window.ts';

/** Takes the session apart: hearers, counts, route, cursors. */
export function leaveGateway(gateway: Gateway, connection: Connection, phaseBefore: Phase): void {
  gateway.counts.countClosed(connection.closeName ?? 'client');
  if (connection.ackWatch !== null) gateway.wheel.cancel(connection.ackWatch);
  const { session } = connection;
  if (session === null) return;
  forgetPace(connection);
  if (phaseBefore === 'live') gateway.trace.noteSession('closed', session.permission, describeEnd(connection));
  gateway.backlog.leave(connection);
  if (session.provisional) gateway.provisional.forget(connection);
  const { app, device } = session.permission;
  const here = gateway.directory.app(app);
  for (const cursor of session.cursors) {
    if (cursor.lane !== null) gateway.attempts.note(connection, cursor);
    releaseStream(gateway, connection, cursor);
  }
  if (phaseBefore === 'live') gateway.directory.sessions--;
  if (here.devices.get(device) === connection) here.devices.delete(device);
  if (phaseBefore === 'live' && !session.superseded && !session.provisional) gateway.presence.note(session, false);
  if (session.superseded) return; // the newer session has the route, and its cursors count
  gateway.settles.end(connection);
  gateway.cursorFlush.end(session);
  gateway.departures.add({ app, device, generation: session.generation, bootId: gateway.bootId });
}

/** How it ended, for the trace. */
function describeEnd({ closeName }: Connection): string {
  return closeName === null ? 'by the client' : `${CLOSE[closeName].code} ${CLOSE[closeName].reason}`;
}

/** One stream of a session is no longer heard: its end, or an unsubscribe. */
export function releaseStream(gateway: Gateway, connection: Connection, cursor: Cursor): void {
  changeUnacked(connection, -cursor.inFlight);
  cursor.inFlight = 0;
  const channel = cursor.stream;
  if (!(channel instanceof Channel)) return;
  channel.leave(cursor);
  gateway.directory.app(connection.session!.permission.app).release(channel);
  if (channel.members === 0) gateway.counts.tailBytes -= channel.tail?.bytes ?? 0;
}
