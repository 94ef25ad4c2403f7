// The connection's state machine: (state, event, now) → (state, effects). It decides when to ask the registry, which gateway to try with
// ticket or token, when a heartbeat failed, how a drain is followed and how long to wait. connector.ts feeds it and does what it asks.
import { closed, leave, lost, pause, random } from './connection-loss.ts';
import type { Ask, ConnectionEffect, ConnectionEvent, ConnectionState } from './connection-state.ts';
import type { Draft, EventOf as Of, Serving } from './connection-state.ts';

export interface Step {
  readonly state: ConnectionState;
  readonly effects: readonly ConnectionEffect[];
}

/** After a failed question to the registry, so many attempts at the gateways known go before the next question. */
const ATTEMPTS_WITHOUT_REGISTRY = 2;
/** A token that is needed and has less left than this is renewed first; one that ran out needs a registration. */
const TOKEN_MARGIN_MS = 10_000;
/** After failures a socket may take so many times its timeout to open, and a hello to be answered. */
const OPEN_PATIENCE_MAX = 2;
const PATIENCE_MAX = 3;
/** The registry takes at most this many names. */
const EXCLUDE_MAX = 16;
const ABNORMAL = 1006;

/** One step. Pure: the same state, event and time give the same answer. Cost: O(gateways known). */
export function step(state: ConnectionState, event: ConnectionEvent, nowMs: number): Step {
  if (state.closed !== null) return { state, effects: [] };
  const draft: Draft = { ...state };
  const effects: ConnectionEffect[] = [];
  apply(draft, event, nowMs, effects);
  if (draft.closed === null) pursue(draft, nowMs, effects);
  return { state: draft, effects };
}

/** When the machine wants its next tick; null: it waits for others. */
export function wakeAtMs(state: ConnectionState): number | null {
  if (state.closed !== null) return null;
  const { serving, attempt, pauseUntilMs, options } = state;
  let at = Number.POSITIVE_INFINITY;
  if (pauseUntilMs !== null) at = pauseUntilMs;
  if (attempt !== null) at = Math.min(at, attempt.deadlineMs);
  if (serving !== null) {
    at = Math.min(at, serving.pongDueMs ?? serving.pingAtMs);
    if (isUnproven(state)) at = Math.min(at, serving.sinceMs + options.stableMs);
  }
  return at === Number.POSITIVE_INFINITY ? null : at;
}

function apply(draft: Draft, event: ConnectionEvent, nowMs: number, effects: ConnectionEffect[]): void {
  switch (event.type) {
    case 'start':
      draft.started = true;
      return;
    case 'stop':
      return leave(draft, { kind: 'stopped' }, effects);
    case 'tick':
      return tick(draft, nowMs, effects);
    case 'registry-answered':
      return registryAnswered(draft, event);
    case 'registry-failed':
      return registryFailed(draft, event, nowMs, effects);
    case 'opened':
      return opened(draft, event.conn, nowMs, effects);
    case 'welcomed':
      return welcomed(draft, event, nowMs, effects);
    case 'heard':
      return heard(draft, event, nowMs);
    case 'goaway':
      return goaway(draft, event, nowMs);
    case 'closed':
      return closed(draft, event, nowMs, effects);
    case 'resync':
      return resync(draft, event.conn, nowMs, effects);
  }
}

// ---- what to do next

/** Starts whatever is needed and not under way: a question to the registry or a connection. */
function pursue(draft: Draft, nowMs: number, effects: ConnectionEffect[]): void {
  if (!draft.started || (draft.serving !== null && !draft.moving)) return;
  if (draft.attempt !== null || draft.asking !== null || draft.pauseUntilMs !== null) return;
  const tokenLeftMs = (draft.token?.expiresAtMs ?? 0) - nowMs;
  const weary = draft.strikes >= draft.options.strikesMax;
  const url = pickUrl(draft);
  if (url === null || weary || (draft.ticket === null && tokenLeftMs <= TOKEN_MARGIN_MS)) {
    const valid = draft.token !== null && tokenLeftMs > 0;
    return ask(draft, !valid ? 'register' : tokenLeftMs <= TOKEN_MARGIN_MS ? 'renew' : 'assign', effects);
  }
  const conn = ++draft.lastConn;
  const openMs = patience(draft, draft.options.openTimeoutMs, OPEN_PATIENCE_MAX);
  draft.attempt = { conn, url, deadlineMs: nowMs + openMs, opened: false };
  effects.push({ type: 'open', conn, url });
}

/** Longer after failures: where gateways are slow, giving up early wastes what they have done and makes them slower. */
function patience(draft: Draft, timeoutMs: number, max: number): number {
  return timeoutMs * Math.min(1 + draft.failures, max);
}

function ask(draft: Draft, what: Ask, effects: ConnectionEffect[]): void {
  draft.asking = what;
  const exclude = draft.gateways.filter((g) => draft.failedUrls.includes(g.url)).map((g) => g.name);
  effects.push({ type: 'ask', ask: what, token: draft.token?.value ?? null, exclude: exclude.slice(0, EXCLUDE_MAX) });
}

/** Best first; what failed since the last welcome goes last, in turn. */
function pickUrl(draft: Draft): string | null {
  const known = draft.gateways.map((gateway) => gateway.url);
  const candidates = draft.ticket !== null && draft.targets.length > 0 ? draft.targets : known;
  const fresh = candidates.find((url) => !draft.failedUrls.includes(url));
  return fresh ?? candidates[draft.failures % Math.max(1, candidates.length)] ?? null;
}

// ---- the registry

function registryAnswered(draft: Draft, event: Of<'registry-answered'>): void {
  draft.asking = null;
  draft.kept = false;
  draft.token = event.token;
  draft.gateways = event.gateways;
  draft.heartbeatIntervalMs = event.heartbeatIntervalMs;
  draft.retry = event.retry;
  // A ticket may be bound to gateways that are no longer there; the registry's choice comes with a good token.
  draft.ticket = null;
  draft.targets = [];
  draft.strikes = 0;
  draft.failedUrls = [];
}

function registryFailed(draft: Draft, event: Of<'registry-failed'>, nowMs: number, effects: ConnectionEffect[]): void {
  draft.asking = null;
  draft.problem = `registry: ${event.reason}`;
  if (event.verdict === 'never') return leave(draft, { kind: 'refused', reason: event.reason }, effects);
  if (event.verdict === 'token') draft.token = null;
  // The registry being away must not keep anyone from gateways that are there.
  draft.strikes = Math.min(draft.strikes, Math.max(0, draft.options.strikesMax - ATTEMPTS_WITHOUT_REGISTRY));
  pause(draft, nowMs, event.retryAfterMs ?? 0);
}

// ---- making a connection

function opened(draft: Draft, conn: number, nowMs: number, effects: ConnectionEffect[]): void {
  const { attempt } = draft;
  if (attempt?.conn !== conn) return;
  const answerMs = patience(draft, draft.options.connectTimeoutMs, PATIENCE_MAX);
  draft.attempt = { ...attempt, opened: true, deadlineMs: nowMs + answerMs };
  if (draft.ticket !== null) effects.push({ type: 'hello', conn, credential: { ticket: draft.ticket } });
  else if (draft.token !== null) effects.push({ type: 'hello', conn, credential: { token: draft.token.value } });
}

function welcomed(draft: Draft, event: Of<'welcomed'>, nowMs: number, effects: ConnectionEffect[]): void {
  const { attempt, serving: old } = draft;
  if (attempt?.conn !== event.conn) return;
  draft.attempt = null;
  draft.moving = false;
  draft.pauseUntilMs = null;
  draft.ticket = event.ticket;
  draft.targets = event.targets;
  draft.heartbeatIntervalMs = event.heartbeatIntervalMs;
  draft.failedUrls = [];
  draft.problem = null;
  draft.kept = false;
  draft.serving = {
    conn: event.conn,
    url: attempt.url,
    gateway: event.gateway,
    sinceMs: nowMs,
    pingAtMs: nextPingAtMs(draft, nowMs),
    pongDueMs: null,
    misses: 0,
  };
  effects.push({ type: 'serve', conn: event.conn });
  if (old !== null) effects.push({ type: 'close', conn: old.conn, bye: false });
}

// ---- while it stands

function heard(draft: Draft, event: Of<'heard'>, nowMs: number): void {
  const { serving } = draft;
  if (serving?.conn !== event.conn) return;
  if (serving.pongDueMs !== null || serving.misses > 0)
    draft.serving = { ...serving, misses: 0, pongDueMs: null, pingAtMs: nextPingAtMs(draft, nowMs) };
  if (draft.moving) return; // the goaway's ticket is the one that names its targets
  if (event.ticket !== undefined) draft.ticket = event.ticket;
  if (event.targets !== undefined) draft.targets = event.targets;
}

function goaway(draft: Draft, event: Of<'goaway'>, nowMs: number): void {
  const { serving } = draft;
  if (serving?.conn !== event.conn) return;
  draft.ticket = event.ticket;
  draft.targets = event.targets;
  draft.moving = true;
  if (draft.attempt !== null || draft.asking !== null) return;
  draft.failedUrls = [serving.url];
  draft.pauseUntilMs = nowMs + event.afterMs;
}

function resync(draft: Draft, conn: number, nowMs: number, effects: ConnectionEffect[]): void {
  if (draft.serving?.conn !== conn) return;
  effects.push({ type: 'close', conn, bye: false });
  lost(draft, draft.serving, nowMs);
}

function tick(draft: Draft, nowMs: number, effects: ConnectionEffect[]): void {
  const { attempt, options } = draft;
  if (draft.pauseUntilMs !== null && draft.pauseUntilMs <= nowMs) draft.pauseUntilMs = null;
  if (attempt !== null && attempt.deadlineMs <= nowMs) {
    effects.push({ type: 'close', conn: attempt.conn, bye: false });
    closed(
      draft,
      {
        type: 'closed',
        conn: attempt.conn,
        code: ABNORMAL,
        reason: attempt.opened ? 'no welcome in time' : 'not open in time',
      },
      nowMs,
      effects,
    );
  }
  if (draft.serving !== null) beat(draft, draft.serving, nowMs, effects);
  if (draft.serving !== null && isUnproven(draft) && nowMs - draft.serving.sinceMs >= options.stableMs) {
    draft.failures = 0;
    draft.strikes = 0;
  }
}

function beat(draft: Draft, serving: Serving, nowMs: number, effects: ConnectionEffect[]): void {
  const failed = serving.pongDueMs !== null && serving.pongDueMs <= nowMs;
  if (!failed && (serving.pongDueMs !== null || serving.pingAtMs > nowMs)) return;
  const misses = failed ? serving.misses + 1 : serving.misses;
  if (failed) draft.strikes++;
  if (misses >= draft.options.missesMax) {
    effects.push({ type: 'close', conn: serving.conn, bye: false });
    return lost(draft, serving, nowMs);
  }
  draft.serving = { ...serving, misses, pongDueMs: nowMs + pongTimeoutMs(draft) };
  effects.push({ type: 'ping', conn: serving.conn });
}

// ---- time

/** Between 0.8 and 1 of the interval, so that clients that came together do not ping together. */
function nextPingAtMs(draft: Draft, nowMs: number): number {
  return nowMs + Math.round(draft.heartbeatIntervalMs * (0.8 + 0.2 * random(draft)));
}

function pongTimeoutMs(draft: Draft): number {
  return draft.options.pongTimeoutMs ?? Math.min(Math.max(draft.heartbeatIntervalMs, 2000), 10_000);
}

/** While it moves, what fails is the next gateway: that the old connection stands is no reason to try again sooner. */
function isUnproven(state: ConnectionState): boolean {
  return !state.moving && (state.failures > 0 || state.strikes > 0);
}
