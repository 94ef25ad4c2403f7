// A registry and gateways that do what a test says: HTTP and WebSocket on loopback, each frame that comes is recorded and answered by the
// test. Only tests of the client use it; it knows no more of the protocol than the frames it is given.
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { SUBPROTOCOL_JSON } from '../protocol/frames.ts';
import type { ClientFrame, ServerFrame } from '../protocol/frames.ts';

/** One connection as the gateway sees it. */
export interface GatewaySide {
  readonly gateway: string;
  readonly frames: ClientFrame[];
  send(...frames: ServerFrame[]): void;
  /** Anything at all, for what is not a frame. */
  sendText(text: string): void;
  close(code: number, reason: string): void;
  cut(): void;
  readonly open: boolean;
}
export interface ScriptedGateway {
  readonly name: string;
  readonly url: string;
  readonly connections: GatewaySide[];
  /** Called for each frame; replaceable at any time. */
  onFrame: (side: GatewaySide, frame: ClientFrame) => void;
  stop(): Promise<void>;
}
export interface RegistryRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}
export interface ScriptedRegistry {
  readonly url: string;
  readonly requests: RegistryRequest[];
  /** Called for each request; replaceable at any time. */
  answer: (request: RegistryRequest) => { status: number; body: unknown };
  stop(): Promise<void>;
}

export async function startScriptedGateway(name: string): Promise<ScriptedGateway> {
  const server = createServer();
  const sockets = new WebSocketServer({ server, handleProtocols: () => SUBPROTOCOL_JSON });
  const port = await listen(server);
  const gateway: ScriptedGateway = {
    name,
    url: `ws://127.0.0.1:${port}/`,
    connections: [],
    onFrame: () => {},
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      await stopServer(server);
    },
  };
  sockets.on('connection', (socket) => {
    const side = sideOf(name, socket);
    gateway.connections.push(side);
    socket.on('message', (data) => {
      const frame = JSON.parse((data as Buffer).toString()) as ClientFrame;
      side.frames.push(frame);
      gateway.onFrame(side, frame);
    });
  });
  return gateway;
}

function sideOf(gateway: string, socket: WebSocket): GatewaySide {
  return {
    gateway,
    frames: [],
    send: (...frames) => frames.forEach((frame) => socket.send(JSON.stringify(frame))),
    sendText: (text) => socket.send(text),
    close: (code, reason) => socket.close(code, reason),
    cut: () => socket.terminate(),
    get open() {
      return socket.readyState === socket.OPEN;
    },
  };
}

export async function startScriptedRegistry(answer: ScriptedRegistry['answer']): Promise<ScriptedRegistry> {
  const registry: ScriptedRegistry = { url: '', requests: [], answer, stop: () => Promise.resolve() };
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      const seen = { path: request.url ?? '', authorization: request.headers.authorization, body };
      registry.requests.push(seen);
      const { status, body: out } = registry.answer(seen);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(out));
    });
  });
  const port = await listen(server);
  return Object.assign(registry, { url: `http://127.0.0.1:${port}`, stop: () => stopServer(server) });
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return text === '' ? null : (JSON.parse(text) as unknown);
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function stopServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.closeAllConnections();
    server.close(() => resolve());
  });
}
