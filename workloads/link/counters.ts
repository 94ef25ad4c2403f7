// What a role's links have done, for its metrics: plain numbers, read when /metrics is asked. Closes are counted by their reason.
import type { FrameFault } from './frame-kinds.ts';
import type { HandshakeRefusal } from './handshake.ts';

/** Why a link or an attempt at one ended. */
export type LinkCloseReason =
  | FrameFault
  | `handshake-${HandshakeRefusal}`
  | 'handshake-timeout'
  | 'handshakes-full'
  | 'peers-full'
  | 'silent'
  | 'unreachable'
  | 'peer-closed'
  | 'socket-error'
  | 'closed-here';

export interface LinkCounters {
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
  /** Writes to sockets: one for each link and tick. */
  writes: number;
  /** Frames not taken because the outgoing buffer was full. */
  full: number;
  readonly closed: Map<LinkCloseReason, number>;
}

export function newLinkCounters(): LinkCounters {
  return { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0, writes: 0, full: 0, closed: new Map() };
}

export function countClose(counters: LinkCounters, reason: LinkCloseReason): void {
  counters.closed.set(reason, (counters.closed.get(reason) ?? 0) + 1);
}
