// ping: the client shows that it lives (any frame does) and hears the same of us. The pong brings a fresh ticket past half of its life.
import type { Connection } from '../connect/connection.ts';
import { isTicketOld, makeTicket } from '../connect/tickets.ts';
import { textFrameOf } from '../delivery/ws-frame.ts';

const PONG = textFrameOf('{"type":"pong"}');

export function takePing(connection: Connection): void {
  const { gateway } = connection;
  if (!isTicketOld(gateway, connection)) connection.sendBytes(PONG);
  else
    connection.send({
      type: 'pong',
      ticket: makeTicket(gateway, connection),
      targets: gateway.targets.forResume(),
    });
}
