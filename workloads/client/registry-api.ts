// The client's side of the registry: register, renew, assign over fetch, and what each failure means to the state machine. Every answer
// becomes a connection event; nothing here throws.
import { ERRORS } from '../protocol/codes.ts';
import type { ErrorCode } from '../protocol/codes.ts';
import { RETRY_DEFAULT } from './backoff.ts';
import type { Retry } from './backoff.ts';
import type { Ask, ConnectionEvent, GatewayAddress } from './connection-state.ts';

export type Fetch = (
  url: string,
  init: { method: string; headers: Record<string, string>; body: string; signal: AbortSignal },
) => Promise<{ status: number; json(): Promise<unknown> }>;

/** A token signed by the app, or what the app's own auth webhook takes. */
export type Credential = string | { readonly webhook: unknown };

export interface RegistryOptions {
  /** `http://host:port`, with or without a slash at the end. */
  readonly url: string;
  readonly app: string;
  readonly account: string;
  readonly device: string;
  readonly credential: () => Promise<Credential> | Credential;
  readonly fetch: Fetch;
  readonly timeoutMs: number;
  readonly nowMs: () => number;
}
export type RegistryEvent = Extract<ConnectionEvent, { type: 'registry-answered' | 'registry-failed' }>;

/** Asks once. */
export async function askRegistry(
  ask: Ask,
  options: RegistryOptions,
  known: { token: string | null; exclude: readonly string[] },
): Promise<RegistryEvent> {
  try {
    const body = await bodyOf(ask, options, known.exclude);
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (ask !== 'register' && known.token !== null) headers['authorization'] = `Bearer ${known.token}`;
    const answer = await options.fetch(`${options.url.replace(/\/$/, '')}/v1/${ask}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(options.timeoutMs),
    });
    const value = await answer.json().catch(() => null);
    return answer.status >= 200 && answer.status < 300
      ? parseAnswer(value, known.token, options.nowMs())
      : describeFailure(ask, answer.status, value);
  } catch (error) {
    return failure('again', null, error instanceof Error ? error.message : String(error));
  }
}

async function bodyOf(ask: Ask, options: RegistryOptions, exclude: readonly string[]): Promise<object> {
  const failed = exclude.length > 0 ? { exclude } : {};
  if (ask !== 'register') return failed;
  const { app, account, device } = options;
  const given = await options.credential();
  return { app, account, device, credential: typeof given === 'string' ? { token: given } : given, ...failed };
}

/** `again` for what passes by itself; a refused token leads to a registration; a refused registration is the end. */
function describeFailure(ask: Ask, status: number, value: unknown): RegistryEvent {
  const error = rowOf(rowOf(value)?.['error']);
  const code = typeof error?.['code'] === 'string' ? error['code'] : `status ${status}`;
  const message = typeof error?.['message'] === 'string' ? `${code}: ${error['message']}` : code;
  const told = error?.['retryAfterMs'];
  const retryAfterMs = typeof told === 'number' && told >= 0 ? told : null;
  if (ask !== 'register' && (status === 401 || status === 404)) return failure('token', retryAfterMs, message);
  return failure(isLasting(status, code) ? 'never' : 'again', retryAfterMs, message);
}

/** Whether asking again later cannot help. An app that is not there yet, and a credential that has just run out, can come right. */
function isLasting(status: number, code: string): boolean {
  const passing: readonly ErrorCode[] = ['app-unknown', 'unauthenticated', 'token-expired', 'rate-limited'];
  if (passing.some((known) => known === code)) return false;
  const known = Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].status : status;
  return known >= 400 && known < 500 && known !== 408 && known !== 429;
}

function parseAnswer(value: unknown, tokenBefore: string | null, nowMs: number): RegistryEvent {
  const row = rowOf(value);
  const token = typeof row?.['token'] === 'string' ? row['token'] : tokenBefore;
  const expiresAtMs = expiryOf(row, nowMs);
  const gateways = row?.['gateways'];
  if (row === null || token === null || expiresAtMs === null || !Array.isArray(gateways))
    return failure('again', null, 'the answer has no token, expiresAt or gateways');
  const heartbeatIntervalMs = row['heartbeatIntervalMs'];
  return {
    type: 'registry-answered',
    token: { value: token, expiresAtMs },
    gateways: gateways.flatMap((item: unknown) => parseGateway(item) ?? []),
    heartbeatIntervalMs:
      typeof heartbeatIntervalMs === 'number' && heartbeatIntervalMs > 0 ? heartbeatIntervalMs : 25_000,
    retry: parseRetry(row['retry']),
  };
}

function parseGateway(value: unknown): GatewayAddress | null {
  const row = rowOf(value);
  return typeof row?.['name'] === 'string' && typeof row['url'] === 'string'
    ? { name: row['name'], url: row['url'] }
    : null;
}

function parseRetry(value: unknown): Retry {
  const row = rowOf(value);
  const baseMs = row?.['baseMs'];
  const maxMs = row?.['maxMs'];
  if (typeof baseMs !== 'number' || typeof maxMs !== 'number' || !(baseMs > 0) || maxMs < baseMs) return RETRY_DEFAULT;
  return { baseMs, maxMs };
}

/** By the time that is left, since this device's clock may be wrong; else by the registry's clock. */
function expiryOf(row: Record<string, unknown> | null, nowMs: number): number | null {
  const left = row?.['expiresInMs'];
  const expiresAtMs = typeof left === 'number' ? nowMs + left : Date.parse(String(row?.['expiresAt']));
  return Number.isFinite(expiresAtMs) ? expiresAtMs : null;
}

function failure(verdict: 'again' | 'token' | 'never', retryAfterMs: number | null, reason: string): RegistryEvent {
  return { type: 'registry-failed', verdict, retryAfterMs, reason };
}

function rowOf(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
}
