// Tickets of this gateway's sessions: made at welcome, with a pong past half of their life, and for goaway. A ticket works once, by the
// generation's compare-and-set in the store; one that names gateways works only there.
import { signTicket } from '../../runtime/credentials.ts';
import type { Connection } from './connection.ts';
import type { Gateway } from '../gateway.ts';

/** A fresh ticket for a session, good at any gateway of the cluster: after a crash the client must find one that lives. */
export function makeTicket(gateway: Gateway, connection: Connection): string {
  const session = connection.session!;
  const { app, account, device, topics, presence, issuedAtS } = session.permission;
  const nowMs = gateway.clock.nowMs();
  session.ticketAtMs = nowMs;
  const exp = Math.floor((nowMs + gateway.settings.ticketTtlMs) / 1000);
  const more = presence ? { presence } : {};
  const claims = { app, account, device, topics, ...more, generation: session.generation, targets: [], iat: issuedAtS };
  return signTicket({ ...claims, exp }, gateway.keys.current());
}

/** Whether the newest ticket of a session is past half of its life. */
export function isTicketOld(gateway: Gateway, connection: Connection): boolean {
  return gateway.clock.nowMs() - connection.session!.ticketAtMs > gateway.settings.ticketTtlMs / 2;
}
