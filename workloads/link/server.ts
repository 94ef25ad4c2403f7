// The listening end of links: gateways run one for routers and for other gateways. Each connection proves the link key before its
// first frame counts; attempts under way and peers are bounded.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { SymmetricKey } from '../protocol/credentials.ts';
import type { LinkFrame } from '../protocol/link.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { LINK_BUFFER_BYTES_MAX, LINK_PING_MS, LinkConnection } from './connection.ts';
import type { SendOutcome } from './connection.ts';
import { countClose, newLinkCounters } from './counters.ts';
import type { LinkCounters } from './counters.ts';
import { NONCE_BYTES, serverHandshake } from './handshake.ts';
import type { LinkIdentity, LinkRole } from './handshake.ts';

/** The role at the other end of one link. A role that reconnects is a new peer; two of one name may overlap for a moment. */
export interface LinkPeer extends LinkIdentity {
  send(frame: LinkFrame): SendOutcome;
  /** Bytes waiting to leave to it. */
  waitingBytes(): number;
  /** What was sent leaves, then the link ends. */
  close(): void;
}

export interface LinkServerOptions {
  readonly bind: string;
  /** 0 picks one. */
  readonly port: number;
  /** Asked for each handshake: keys rotate. */
  readonly keys: () => readonly SymmetricKey[];
  readonly name: string;
  /** Default: gateway. */
  readonly role?: LinkRole;
  readonly clock: Clock;
  readonly log: Log;
  /** Default: counters of its own, at `counters`. */
  readonly counters?: LinkCounters;
  readonly bufferBytesMax?: number;
  readonly pingMs?: number;
  readonly peersMax?: number;
  /** Pings are answered by the link itself and never come here. */
  onFrame(peer: LinkPeer, frame: LinkFrame): void;
  onOpen?(peer: LinkPeer): void;
  onClose(peer: LinkPeer): void;
}

export interface LinkServer {
  readonly port: number;
  readonly counters: LinkCounters;
  peers(): readonly LinkPeer[];
  /** What was sent leaves; resolves when nothing listens and no link is left. */
  stop(): Promise<void>;
  /** Drops every socket at once. */
  kill(): void;
}

/** Routers and gateways of a large cluster. */
const PEERS_MAX = 2048;
/** Attempts under way: each holds a socket and at most 2 KiB for at most 5 s. */
export const HANDSHAKES_MAX = 128;

/** Resolves once it listens; rejects with the socket's error when it cannot. */
export async function startLinkServer(options: LinkServerOptions): Promise<LinkServer> {
  const counters = options.counters ?? newLinkCounters();
  const peers = new Map<LinkConnection, LinkPeer>();
  const shaking = new Set<LinkConnection>();
  const server = createServer((socket) => accept({ ...options, counters }, socket, { peers, shaking }));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.bind, () => {
      server.off('error', reject);
      server.on('error', (error) => options.log.error({ problem: String(error) }, 'link server failed'));
      resolve();
    });
  });
  const closed = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    counters,
    peers: () => [...peers.values()],
    async stop() {
      const done = closed();
      for (const connection of [...peers.keys(), ...shaking]) connection.close();
      await done;
    },
    kill() {
      server.close();
      for (const connection of [...peers.keys(), ...shaking]) connection.end('closed-here');
    },
  };
}

interface Held {
  readonly peers: Map<LinkConnection, LinkPeer>;
  readonly shaking: Set<LinkConnection>;
}

function accept(options: LinkServerOptions & { counters: LinkCounters }, socket: Socket, held: Held): void {
  const { counters, log } = options;
  if (held.shaking.size >= HANDSHAKES_MAX) {
    countClose(counters, 'handshakes-full');
    socket.on('error', () => socket.destroy());
    socket.destroy();
    return;
  }
  let peer: LinkPeer | null = null;
  const connection = new LinkConnection({
    socket,
    handshake: serverHandshake({
      identity: { role: options.role ?? 'gateway', name: options.name },
      keys: options.keys(),
      nonce: randomBytes(NONCE_BYTES),
    }),
    clock: options.clock,
    counters,
    bufferBytesMax: options.bufferBytesMax ?? LINK_BUFFER_BYTES_MAX,
    pingMs: options.pingMs ?? LINK_PING_MS,
    onOpen(identity) {
      held.shaking.delete(connection);
      if (held.peers.size >= (options.peersMax ?? PEERS_MAX)) return connection.end('peers-full');
      peer = {
        ...identity,
        send: (frame) => connection.send(frame),
        waitingBytes: () => connection.waitingBytes,
        close: () => connection.close(),
      };
      held.peers.set(connection, peer);
      log.info({ peerRole: identity.role, peer: identity.name }, 'link opened');
      options.onOpen?.(peer);
    },
    onFrame(frame) {
      if (peer !== null) options.onFrame(peer, frame);
    },
    onEnd(reason) {
      held.shaking.delete(connection);
      held.peers.delete(connection);
      if (peer === null) return log.warn({ reason, from: socket.remoteAddress ?? null }, 'link refused');
      log.info({ peerRole: peer.role, peer: peer.name, reason }, 'link closed');
      options.onClose(peer);
    },
  });
  held.shaking.add(connection);
}
