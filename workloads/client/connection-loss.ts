// What follows when a connection, or the attempt at one, is gone: what its close code asks, how long to wait, and when to stay away for good.
// Part of the state machine: connection.ts calls it within a step.
import { CLOSE } from '../protocol/codes.ts';
import { backoffMs, nextRandom } from './backoff.ts';
import { HURRIES_MAX } from './connection-state.ts';
import type { ConnectionEffect, ConnectionState, Draft, EventOf, Serving } from './connection-state.ts';
import { verdictOf } from './verdict.ts';
import type { Verdict } from './verdict.ts';

/** Waits told by others get up to this share on top, so that those told the same do not come back together. */
const TOLD_JITTER = 0.25;
/** Longer than a hello can wait at a gateway for its turn and for the store. */
const STRAY_HELLO_MS = 30_000;
const NETWORK_CODES_BELOW = 4000;

interface Now {
  readonly nowMs: number;
  readonly effects: ConnectionEffect[];
}

/** A socket was closed, by whomever. */
export function closed(draft: Draft, event: EventOf<'closed'>, nowMs: number, effects: ConnectionEffect[]): void {
  const { attempt, serving } = draft;
  const own = isOwnReplacement(draft, event.code, nowMs);
  const seen = own ? { ...event, code: CLOSE.superseded.code } : event;
  const verdict = verdictOn(draft, seen);
  if (attempt?.conn === event.conn) {
    if (attempt.opened && !own) draft.strayHelloUntilMs = nowMs + STRAY_HELLO_MS;
    // A gateway that refuses the ticket is there, and takes the token.
    if (verdict.kind !== 'by-token') draft.failedUrls = [...draft.failedUrls, attempt.url];
    draft.attempt = null;
    draft.strikes++;
    return obey(draft, { ...seen, verdict }, nowMs, effects);
  }
  if (serving?.conn !== event.conn) return;
  if (verdict.kind === 'leave' || (attempt === null && draft.asking === null))
    return lostBy(draft, serving, { ...seen, verdict }, { nowMs, effects });
  draft.serving = null;
}

/** The serving connection is gone without a word. */
export function lost(draft: Draft, serving: Serving, nowMs: number): void {
  settleStability(draft, serving, nowMs);
  draft.serving = null;
  draft.moving = false;
  draft.failedUrls = [serving.url];
  if (draft.attempt === null && draft.asking === null) pause(draft, nowMs, 0);
}

/** For good. */
export function leave(draft: Draft, why: NonNullable<ConnectionState['closed']>, effects: ConnectionEffect[]): void {
  if (draft.attempt !== null) effects.push({ type: 'close', conn: draft.attempt.conn, bye: false });
  if (draft.serving !== null) effects.push({ type: 'close', conn: draft.serving.conn, bye: why.kind === 'stopped' });
  draft.attempt = null;
  draft.serving = null;
  draft.asking = null;
  draft.pauseUntilMs = null;
  draft.closed = why;
}

/** Waits before the next attempt, at least as long as was told, and longer with each failure. */
export function pause(draft: Draft, nowMs: number, toldMs: number): void {
  const told = toldMs > 0 ? toldMs * (1 + TOLD_JITTER * random(draft)) : 0;
  const own = backoffMs(draft.retry, draft.failures, random(draft));
  draft.failures++;
  draft.pauseUntilMs = nowMs + Math.round(Math.max(told, own));
}

/** The next number, 0 … 1. */
export function random(draft: Draft): number {
  const { value, seed } = nextRandom(draft.seed);
  draft.seed = seed;
  return value;
}

type Seen = EventOf<'closed'> & { readonly verdict: Verdict };

/** What a code asks. Credentials of an earlier life may be of no use any more: that is no reason to stay away, a registration follows. */
function verdictOn(draft: Draft, { code, reason }: EventOf<'closed'>): Verdict {
  const isCredentials = code === CLOSE.tokenInvalid.code || code === CLOSE.revoked.code;
  return draft.kept && isCredentials ? { kind: 'register' } : verdictOf(code, reason);
}

/** A hello of ours, under way or given up, that opened a session by token looks to the gateway of our other connection like another client. */
function isOwnReplacement(draft: Draft, code: number, nowMs: number): boolean {
  if (code !== CLOSE.replaced.code) return false;
  return (draft.serving !== null && draft.attempt?.opened === true) || nowMs < draft.strayHelloUntilMs;
}

function lostBy(draft: Draft, serving: Serving, seen: Seen, { nowMs, effects }: Now): void {
  settleStability(draft, serving, nowMs);
  draft.serving = null;
  draft.moving = false;
  draft.strikes++;
  draft.failedUrls = [serving.url];
  if (mayHurry(draft, seen, nowMs)) return hurry(draft, seen, nowMs);
  obey(draft, seen, nowMs, effects);
}

/**
 * A connection that served and was taken away by the server says nothing against the next gateway: with a ticket for another one the
 * first attempt need not wait as long as after failures. So often only as a client whose connections stand would: see `hurries`.
 */
function mayHurry(draft: Draft, { code, verdict }: Seen, nowMs: number): boolean {
  const isServers = code < NETWORK_CODES_BELOW || code === CLOSE.goaway.code || code === CLOSE.stopping.code;
  if (verdict.kind !== 'again' || !isServers || draft.failures === 0) return false;
  if (draft.ticket === null || draft.targets.every((url) => draft.failedUrls.includes(url))) return false;
  return hurriesLeft(draft, nowMs) >= 1;
}

function hurry(draft: Draft, seen: Seen, nowMs: number): void {
  draft.problem = problemOf(seen);
  draft.hurries = { left: hurriesLeft(draft, nowMs) - 1, atMs: nowMs };
  draft.pauseUntilMs = nowMs + backoffMs(draft.retry, 0, random(draft));
}

function hurriesLeft({ hurries, options }: Draft, nowMs: number): number {
  return Math.min(HURRIES_MAX, hurries.left + (nowMs - hurries.atMs) / options.stableMs);
}

/** Does what the code asks once a connection is gone. */
function obey(draft: Draft, seen: Seen, nowMs: number, effects: ConnectionEffect[]): void {
  draft.problem = problemOf(seen);
  const { verdict } = seen;
  switch (verdict.kind) {
    case 'leave':
      return leave(draft, { kind: 'dismissed', code: seen.code, reason: seen.reason }, effects);
    case 'by-token':
      // No wait and no other gateway: the refusal was about the ticket, which is gone now, so this cannot go round in a circle.
      if (draft.ticket === null) return pause(draft, nowMs, 0);
      draft.ticket = null;
      draft.targets = [];
      return;
    case 'register':
      draft.ticket = null;
      draft.targets = [];
      draft.token = null;
      draft.kept = false;
      if (draft.failures > 0) return pause(draft, nowMs, 0);
      draft.failures++;
      return;
    case 'later':
      return pause(draft, nowMs, verdict.retryAfterMs);
    case 'again':
      return pause(draft, nowMs, 0);
  }
}

function problemOf({ code, reason }: Seen): string {
  return `closed with ${code} ${reason}`.trimEnd();
}

/** A connection that stood long enough was good: what failed before it no longer counts. */
function settleStability(draft: Draft, serving: Serving, nowMs: number): void {
  if (nowMs - serving.sinceMs < draft.options.stableMs) return;
  draft.failures = 0;
  draft.strikes = 0;
}
