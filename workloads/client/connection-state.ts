// The words of the connection's state machine: its state, what happens to it, what it asks for. connection.ts decides; connector.ts
// carries the effects out. Nothing here touches a socket, a clock or randomness.
import type { Retry } from './backoff.ts';

export interface ConnectionOptions {
  /** A socket that is not open after this is given up; up to twice that after failures. An address that nobody answers costs no more. */
  readonly openTimeoutMs: number;
  /** A hello that has no welcome after this is given up; up to three times that after failures. Above a gateway's own wait for room (5 s). */
  readonly connectTimeoutMs: number;
  /** A ping not answered in this time has failed; null: the heartbeat interval, within 2–10 s. */
  readonly pongTimeoutMs: number | null;
  /** Failed pings in a row after which a connection counts as dead. */
  readonly missesMax: number;
  /** Failed heartbeats and attempts after which the registry is asked for another gateway (A4). */
  readonly strikesMax: number;
  /** A connection that stood this long was good: only then the backoff starts over. */
  readonly stableMs: number;
}
export const CONNECTION_DEFAULTS: ConnectionOptions = {
  openTimeoutMs: 5000,
  connectTimeoutMs: 10_000,
  pongTimeoutMs: null,
  missesMax: 2,
  strikesMax: 6,
  stableMs: 10_000,
};

export interface GatewayAddress {
  readonly name: string;
  readonly url: string;
}
export interface Token {
  readonly value: string;
  readonly expiresAtMs: number;
}
/** The connection that has had its welcome. */
export interface Serving {
  readonly conn: number;
  readonly url: string;
  readonly gateway: string;
  readonly sinceMs: number;
  /** When the next ping leaves. */
  readonly pingAtMs: number;
  /** Until when the pong is waited for; null: no ping is out. */
  readonly pongDueMs: number | null;
  readonly misses: number;
}
/** The connection that is being made, next to the serving one in a drain. */
export interface Attempt {
  readonly conn: number;
  readonly url: string;
  readonly deadlineMs: number;
  readonly opened: boolean;
}
/** With what a client resumes; another life of it may. */
export interface Credentials {
  readonly token: Token | null;
  readonly ticket: string | null;
  /** Where the ticket is good, best first; empty: the registry's gateways. */
  readonly targets: readonly string[];
  readonly gateways: readonly GatewayAddress[];
}
export type Ask = 'register' | 'renew' | 'assign';
export type Closed =
  | { readonly kind: 'stopped' }
  /** A close code that forbids reconnecting. */
  | { readonly kind: 'dismissed'; readonly code: number; readonly reason: string }
  /** The registry will not have this client. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface ConnectionState extends Credentials {
  readonly options: ConnectionOptions;
  /** State of the random generator (backoff.ts). */
  readonly seed: number;
  readonly lastConn: number;
  /** The credentials are of an earlier life, and nobody has taken them yet. */
  readonly kept: boolean;
  readonly retry: Retry;
  readonly heartbeatIntervalMs: number;
  readonly serving: Serving | null;
  readonly attempt: Attempt | null;
  readonly asking: Ask | null;
  /** Nothing new is tried before this. */
  readonly pauseUntilMs: number | null;
  /** The serving connection asked us to go; it serves until the next one stands. */
  readonly moving: boolean;
  /** Failed attempts since a connection was last stable: the exponent of the backoff. */
  readonly failures: number;
  /** Failed heartbeats and attempts since a connection was last stable or the registry was asked. */
  readonly strikes: number;
  /** Reconnects that need not wait for the backoff, and when they were counted: one more for each `stableMs`, at most HURRIES_MAX. */
  readonly hurries: { readonly left: number; readonly atMs: number };
  /** Addresses that failed since the last welcome; others go first. */
  readonly failedUrls: readonly string[];
  /**
   * Until then a hello of ours whose answer never came may still open a session: the gateway of another connection would then say
   * `replaced`, and mean ourselves.
   */
  readonly strayHelloUntilMs: number;
  /** What went wrong last, in words; null once a connection stands. */
  readonly problem: string | null;
  readonly started: boolean;
  readonly closed: Closed | null;
}

export type ConnectionEvent =
  | { readonly type: 'start' }
  | { readonly type: 'stop' }
  /** Time passed; due at `wakeAtMs` or later. */
  | { readonly type: 'tick' }
  | {
      readonly type: 'registry-answered';
      readonly token: Token;
      readonly gateways: readonly GatewayAddress[];
      readonly heartbeatIntervalMs: number;
      readonly retry: Retry;
    }
  /** `again`: try later. `token`: this token is of no use, register. `never`: this client is not wanted. */
  | {
      readonly type: 'registry-failed';
      readonly verdict: 'again' | 'token' | 'never';
      readonly retryAfterMs: number | null;
      readonly reason: string;
    }
  | { readonly type: 'opened'; readonly conn: number }
  | {
      readonly type: 'welcomed';
      readonly conn: number;
      readonly gateway: string;
      readonly ticket: string;
      readonly targets: readonly string[];
      readonly heartbeatIntervalMs: number;
    }
  /** Something came on the connection; a pong may carry a fresh ticket. */
  | {
      readonly type: 'heard';
      readonly conn: number;
      readonly ticket?: string;
      readonly targets?: readonly string[];
    }
  | {
      readonly type: 'goaway';
      readonly conn: number;
      readonly ticket: string;
      readonly targets: readonly string[];
      readonly afterMs: number;
    }
  | { readonly type: 'closed'; readonly conn: number; readonly code: number; readonly reason: string }
  /** The inbox found a gap: connect anew with positions. */
  | { readonly type: 'resync'; readonly conn: number };

export type ConnectionEffect =
  | { readonly type: 'ask'; readonly ask: Ask; readonly token: string | null; readonly exclude: readonly string[] }
  | { readonly type: 'open'; readonly conn: number; readonly url: string }
  | {
      readonly type: 'hello';
      readonly conn: number;
      readonly credential: { readonly ticket: string } | { readonly token: string };
    }
  /** This connection serves from now on: acks, subscriptions and upstream go here. */
  | { readonly type: 'serve'; readonly conn: number }
  | { readonly type: 'ping'; readonly conn: number }
  /** `bye`: say goodbye first. After it nothing of this connection is heard any more. */
  | { readonly type: 'close'; readonly conn: number; readonly bye: boolean };

/** A state while a step works on it. */
export type Draft = { -readonly [K in keyof ConnectionState]: ConnectionState[K] };
export type EventOf<T extends ConnectionEvent['type']> = Extract<ConnectionEvent, { type: T }>;

export const HURRIES_MAX = 3;
/** With kept credentials so many attempts go before the registry is asked after all. */
const KEPT_ATTEMPTS = 2;

/**
 * A client that has done nothing yet.
 * @param given.kept what an earlier life could resume with; null: it registers
 */
export function initialConnection(given: {
  seed: number;
  options: ConnectionOptions;
  retry: Retry;
  kept?: Credentials | null;
}): ConnectionState {
  const { seed, options, retry, kept = null } = given;
  return {
    options,
    seed,
    lastConn: 0,
    token: kept?.token ?? null,
    ticket: kept?.ticket ?? null,
    targets: kept?.targets ?? [],
    gateways: kept?.gateways ?? [],
    kept: kept !== null,
    retry,
    heartbeatIntervalMs: 25_000,
    serving: null,
    attempt: null,
    asking: null,
    pauseUntilMs: null,
    moving: false,
    failures: 0,
    strikes: kept === null ? 0 : Math.max(0, options.strikesMax - KEPT_ATTEMPTS),
    hurries: { left: HURRIES_MAX, atMs: 0 },
    failedUrls: [],
    strayHelloUntilMs: 0,
    problem: null,
    started: false,
    closed: null,
  };
}
