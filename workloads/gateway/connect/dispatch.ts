// Bytes of a client → frame → its handler in frames/. What breaks the protocol is answered here, for every kind of bad input: frames that
// carry an id get an error frame and the connection stays; all others end it with a code of protocol/codes.ts.
import { InvalidFrameError } from '../../protocol/forms.ts';
import { decodeClientFrame } from '../../protocol/json-codec.ts';
import type { ClientFrame } from '../../protocol/frames.ts';
import { connect } from './connect.ts';
import type { Connection } from './connection.ts';
import { takeAck } from '../frames/ack.ts';
import { takeFetch } from '../frames/fetch.ts';
import { takeGroup } from '../frames/group.ts';
import { takeNack } from '../frames/nack.ts';
import { takePing } from '../frames/ping.ts';
import { takePull } from '../frames/pull.ts';
import { takeSend } from '../frames/send.ts';
import { takeSubscribe } from '../frames/subscribe.ts';
import { takeUnsubscribe } from '../frames/unsubscribe.ts';
import { takeUpstream } from '../frames/upstream.ts';

/** One WebSocket message of a client. */
export function takeMessage(connection: Connection, data: Buffer, isBinary: boolean): void {
  const { gateway } = connection;
  gateway.counts.framesIn++;
  if (isBinary) {
    connection.close('protocol', 'expected a text message, got a binary one');
    return;
  }
  let frame: ClientFrame;
  try {
    frame = decodeClientFrame(data.toString());
  } catch (error) {
    if (!(error instanceof InvalidFrameError)) throw error;
    refuseFrame(connection, error);
    return;
  }
  if (frame.type === 'bye') connection.farewell();
  else if (connection.phase === 'live') takeFrame(connection, frame);
  else if (frame.type === 'hello' && connection.phase === 'hello') void connect(gateway, connection, frame);
  else if (frame.type !== 'ping' || connection.phase === 'hello')
    connection.close(
      'protocol',
      `${frame.type}: expected ${connection.phase === 'hello' ? 'a hello' : 'to wait for the welcome'} first`,
    );
}

function refuseFrame(connection: Connection, error: InvalidFrameError): void {
  if (error.id === null || connection.phase !== 'live') connection.close('protocol', error.message);
  else connection.send({ type: 'error', id: error.id, code: 'invalid-request', message: error.message });
}

function takeFrame(connection: Connection, frame: Exclude<ClientFrame, { type: 'bye' }>): void {
  switch (frame.type) {
    case 'ack':
      return takeAck(connection, frame);
    case 'ping':
      return takePing(connection);
    case 'subscribe':
      return takeSubscribe(connection, frame);
    case 'unsubscribe':
      return takeUnsubscribe(connection, frame);
    case 'upstream':
      return takeUpstream(connection, frame);
    case 'nack':
      return takeNack(connection, frame);
    case 'pull':
      return takePull(connection, frame);
    case 'fetch':
      return takeFetch(connection, frame);
    case 'send':
      return takeSend(connection, frame);
    case 'group':
      return takeGroup(connection, frame);
    case 'hello':
      return connection.close('protocol', 'hello: expected once');
  }
}
