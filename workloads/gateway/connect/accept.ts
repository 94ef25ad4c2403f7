// The client port: HTTP upgrade to WebSocket, and what is refused before it (503 with Retry-After). Everything after the upgrade is
// connect.ts. Nothing of the HTTP side is kept with a connection.
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { SUBPROTOCOL_JSON } from '../../protocol/frames.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { ClientSocket, Connection } from './connection.ts';
import type { RefusalReason } from '../counts.ts';
import type { Gateway } from '../gateway.ts';

/** ws waits so long for the answer to a close frame before it cuts the socket. */
const CLOSE_TIMEOUT_MS = 5000;
const UPGRADE_CHECK_MS = 5000;
/** TCP connections that may be on their way to an upgrade beside those that are connected. */
const UPGRADING_MAX = 2000;

/** What each connection then does without: compression, a list of clients, and a closure for pongs (connection.ts answers pings). */
const UPGRADE_OPTIONS = {
  noServer: true,
  WebSocket: ClientSocket,
  clientTracking: false,
  perMessageDeflate: false,
  autoPong: false,
  maxPayload: LIMITS.clientFrameBytesMax,
  closeTimeout: CLOSE_TIMEOUT_MS, // ws has it, its types do not
} as const;

export interface ClientPort {
  readonly port: number;
  /** Stops listening; connections stay. */
  close(): void;
}

/** Listens for clients; rejects when the port is taken. */
export async function openClientPort(gateway: Gateway): Promise<ClientPort> {
  const { settings } = gateway;
  const upgrader = new WebSocketServer<typeof ClientSocket>(UPGRADE_OPTIONS);
  // Whoever has not asked for the upgrade by then is cut, however slowly he sends it.
  const { helloTimeoutMs: headersTimeout } = settings;
  const connectionsCheckingInterval = Math.min(headersTimeout, UPGRADE_CHECK_MS);
  const times = { headersTimeout, requestTimeout: headersTimeout, connectionsCheckingInterval };
  const server = createServer(times, (_request, response) => {
    response.writeHead(426, { connection: 'close' }).end('expected a WebSocket upgrade\n');
  });
  server.maxConnections = settings.connectionsMax + UPGRADING_MAX;
  server.on('upgrade', (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    const refusal = refusalOf(gateway, request);
    if (refusal !== null) refuse(gateway, duplex, refusal);
    else upgrader.handleUpgrade(request, duplex, head, (socket) => welcomeSocket(gateway, socket, duplex as Socket));
  });
  await listen(server, settings.clientPort, settings.bind);
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** Why no further client is taken now; null: it is. */
export function refusalOf(gateway: Gateway, request: IncomingMessage): RefusalReason | null {
  const offered = request.headers['sec-websocket-protocol'] ?? '';
  if (!offered.split(',').some((name) => name.trim() === SUBPROTOCOL_JSON)) return 'subprotocol';
  if (gateway.state.life !== 'active') return 'not-ready';
  if (gateway.drain.refusesClients) return 'draining';
  if (gateway.shedding.refusesClients) return 'overloaded';
  return gateway.directory.connections.length >= gateway.settings.connectionsMax ? 'full' : null;
}

function refuse(gateway: Gateway, socket: Duplex, reason: RefusalReason): void {
  gateway.counts.refused[reason]++;
  const retryAfterS = Math.ceil(gateway.admission.retryAfterMs(gateway.clock.nowMs()) / 1000);
  const [status, text] =
    reason === 'subprotocol'
      ? ['400 Bad Request', `expected subprotocol ${SUBPROTOCOL_JSON}`]
      : [`503 Service Unavailable\r\nRetry-After: ${retryAfterS}`, reason];
  socket.on('error', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${text.length + 1}\r\n\r\n${text}\n`, () =>
    socket.destroy(),
  );
}

function welcomeSocket(gateway: Gateway, socket: ClientSocket, tcp: Socket): void {
  gateway.counts.accepted++;
  const connection = new Connection(gateway, socket, tcp);
  gateway.directory.add(connection);
  gateway.wheel.schedule(connection, gateway.wheel.nowMs + gateway.settings.helloTimeoutMs);
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host, backlog: 4096 }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}
