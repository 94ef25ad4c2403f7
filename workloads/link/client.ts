// The calling end of links: routers keep one to every live gateway, gateways to those they tell of replaced sessions. It reconnects
// by itself with full jitter until it is closed; what was under way when a link fell is lost, and the owner decides (onDown).
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { SymmetricKey } from '../protocol/credentials.ts';
import type { LinkFrame } from '../protocol/link.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { LINK_BUFFER_BYTES_MAX, LINK_PING_MS, LinkConnection } from './connection.ts';
import type { SendOutcome } from './connection.ts';
import { newLinkCounters } from './counters.ts';
import type { LinkCloseReason, LinkCounters } from './counters.ts';
import { NONCE_BYTES, clientHandshake } from './handshake.ts';
import type { LinkIdentity, LinkRole } from './handshake.ts';

export interface LinkOptions {
  /** host:port; an IPv6 host stands in brackets. */
  readonly address: string;
  /** Asked for each attempt: keys rotate. */
  readonly keys: () => readonly SymmetricKey[];
  /** Own name and role (default: router). */
  readonly name: string;
  readonly role?: LinkRole;
  /** The peer that is meant, when it is known: an address may have gone to another pod. */
  readonly expectName?: string;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1; default Math.random. */
  readonly random?: () => number;
  readonly counters?: LinkCounters;
  readonly bufferBytesMax?: number;
  readonly pingMs?: number;
  onFrame(frame: LinkFrame): void;
  /** Each time the link stands, before any frame of it. */
  onUp?(peer: LinkIdentity): void;
  /** Each time an open link fell, and each attempt that failed; it tries again by itself unless it was closed here. */
  onDown(reason: LinkCloseReason): void;
}

export interface Link {
  send(frame: LinkFrame): SendOutcome;
  isUp(): boolean;
  waitingBytes(): number;
  /** What was sent leaves; no further attempts. */
  close(): void;
  /** Drops the socket at once; no further attempts. */
  kill(): void;
}

const BACKOFF_LEAST_MS = 10;
const BACKOFF_START_MS = 100;
const BACKOFF_MAX_MS = 3000;
/** A link counts as good, and its backoff starts over, only after it stood this long. */
const STABLE_MS = 5000;

/** The wait before attempt `failures` + 1: full jitter below 100 ms × 2ⁿ, at most 3 s, at least 10 ms. */
export function linkBackoffMs(failures: number, random: () => number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_START_MS * 2 ** Math.min(failures, 10));
  return Math.max(BACKOFF_LEAST_MS, Math.floor(random() * ceiling));
}

/** Starts connecting; never throws for the network. */
export function openLink(options: LinkOptions): Link {
  const { clock, log } = options;
  const counters = options.counters ?? newLinkCounters();
  const { host, port } = splitAddress(options.address);
  let connection: LinkConnection | null = null;
  let cancelRetry = (): void => {};
  let failures = 0;
  let upSinceMs: number | null = null;
  let closed = false;

  const attempt = (): void => {
    const handshake = clientHandshake({
      identity: { role: options.role ?? 'router', name: options.name },
      keys: options.keys(),
      nonce: randomBytes(NONCE_BYTES),
      ...(options.expectName === undefined ? {} : { expectName: options.expectName }),
    });
    const socket = connect({ host, port });
    const made = new LinkConnection({
      socket,
      handshake,
      clock,
      counters,
      bufferBytesMax: options.bufferBytesMax ?? LINK_BUFFER_BYTES_MAX,
      pingMs: options.pingMs ?? LINK_PING_MS,
      onOpen(peer) {
        upSinceMs = clock.monotonicMs();
        log.info({ peerRole: peer.role, peer: peer.name, address: options.address }, 'link opened');
        options.onUp?.(peer);
      },
      onFrame: (frame) => options.onFrame(frame),
      onEnd: (reason) => ended(reason),
    });
    connection = made;
    socket.once('connect', () => made.sendRaw(handshake.hello));
  };
  const ended = (reason: LinkCloseReason): void => {
    connection = null;
    const stood = upSinceMs !== null && clock.monotonicMs() - upSinceMs >= STABLE_MS;
    failures = stood ? 0 : failures + 1;
    upSinceMs = null;
    if (!closed) {
      const waitMs = linkBackoffMs(failures, options.random ?? Math.random);
      log.warn({ address: options.address, reason, failures, waitMs }, 'link down');
      cancelRetry = clock.after(waitMs, attempt);
    }
    options.onDown(reason);
  };
  const stop = (how: (held: LinkConnection) => void): void => {
    closed = true;
    cancelRetry();
    if (connection !== null) how(connection);
  };

  attempt();
  return {
    send: (frame) => connection?.send(frame) ?? 'down',
    isUp: () => connection?.isOpen === true,
    waitingBytes: () => connection?.waitingBytes ?? 0,
    close: () => stop((held) => held.close()),
    kill: () => stop((held) => held.end('closed-here')),
  };
}

/** `host:port` or `[v6]:port`. Throws RangeError. */
export function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  const port = Number(address.slice(at + 1));
  const host = address.slice(0, Math.max(at, 0)).replace(/^\[(.*)\]$/, '$1');
  if (host === '' || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw new RangeError(`address: expected host:port, got ${JSON.stringify(address)}`);
  return { host, port };
}
