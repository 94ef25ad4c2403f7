// The welcome: from here on the connection lives. connect.ts ends with it, and provisional.ts begins with it.
import { PROTOCOL_VERSION } from '../../protocol/frames.ts';
import type { StreamState } from '../../protocol/frames.ts';
import type { Connection } from './connection.ts';
import { makeTicket } from './tickets.ts';

/** Tells the client; its session stands. */
export function welcomeClient(
  connection: Connection,
  { resumed, streams }: { readonly resumed: boolean; readonly streams: readonly StreamState[] },
): void {
  const { gateway } = connection;
  const session = connection.session!;
  const { counts, settings, targets, name } = gateway;
  connection.phase = 'live';
  gateway.directory.sessions++;
  if (resumed) counts.resumed++;
  else counts.opened++;
  const detail = session.provisional ? 'by its signature, the store is away' : '';
  gateway.trace.noteSession(resumed ? 'resumed' : 'connected', session.permission, detail);
  if (!session.provisional) gateway.presence.note(session, true);
  connection.send({
    type: 'welcome',
    version: PROTOCOL_VERSION,
    gateway: name,
    generation: session.generation,
    ticket: makeTicket(gateway, connection),
    targets: targets.forResume(),
    heartbeatIntervalMs: settings.heartbeatIntervalMs,
    streams,
  });
  gateway.shedding.greet(connection);
}
