// The push API over HTTP: who asks, what is asked, within which quota; then push.ts or presence.ts. openapi.ts is its contract.
import type { AppDefinition } from '../protocol/apps.ts';
import { RefusedError } from '../protocol/codes.ts';
import { InvalidNameError, parseAccountId, parseDeviceId } from '../protocol/ids.ts';
import type { Clock } from '../runtime/clock.ts';
import { parseJsonBody } from '../runtime/http-body.ts';
import { describeError } from '../runtime/http.ts';
import type { HttpAnswer, HttpRequest, HttpRoute } from '../runtime/http.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { Authorizer } from './authorize.ts';
import { parseExactJson } from './exact-json.ts';
import { openApiDocument } from './openapi.ts';
import { accountPresence, devicePresence } from './presence.ts';
import type { PresenceDeps } from './presence.ts';
import type { Accepted, Pusher } from './push.ts';
import type { Quotas } from './quota.ts';
import { batchOf, headerKeyOf, parsePush } from './request.ts';

export interface ApiDeps {
  readonly authorizer: Authorizer;
  readonly quotas: Quotas;
  readonly pusher: Pusher;
  readonly presence: PresenceDeps;
  readonly clock: Clock;
}

const STORE_RETRY_MS = 1000;

export function apiRoutes(deps: ApiDeps): readonly HttpRoute[] {
  const document = JSON.stringify(openApiDocument);
  return [
    { method: 'POST', path: '/v1/messages', handler: (request) => postMessages(deps, request) },
    {
      method: 'GET',
      path: '/v1/devices/{device}',
      handler: (request) =>
        asked(deps, request, (app) => devicePresence(deps.presence, app, parseDeviceId(request.params['device']))),
    },
    {
      method: 'GET',
      path: '/v1/accounts/{account}/devices',
      handler: (request) =>
        asked(deps, request, (app) => accountPresence(deps.presence, app, parseAccountId(request.params['account']))),
    },
    {
      method: 'GET',
      path: '/v1/openapi.json',
      handler: () => ({ status: 200, body: document, headers: { 'content-type': 'application/json' } }),
    },
  ];
}

async function postMessages(deps: ApiDeps, request: HttpRequest): Promise<HttpAnswer> {
  const app = await deps.authorizer.authorize(request.headers.authorization);
  const body = parseJsonBody(request.bytes, request.headers, parseExactJson);
  const headerKey = headerKeyOf(request.headers['idempotency-key']);
  const batch = batchOf(body);
  if (batch === null) return { status: 202, body: await pushOne(deps, app, { value: body, at: '', headerKey }) };
  if (headerKey !== null)
    throw new RefusedError(
      'invalid-request',
      'Idempotency-Key: expected an idempotencyKey in each message of a batch',
      {
        field: 'Idempotency-Key',
      },
    );
  return await pushBatch(deps, request, { app, batch });
}

/** Takes the quota only for what is well formed. */
async function pushOne(
  deps: ApiDeps,
  app: AppDefinition,
  message: { value: unknown; at: string; headerKey: string | null },
): Promise<Accepted> {
  const push = parsePush(message.value, message);
  const waitMs = deps.quotas.take(app, deps.clock.monotonicMs());
  if (waitMs !== null)
    throw new RefusedError(
      'rate-limited',
      `expected at most ${app.quotas.messagesPerSecond} messages a second of app ${app.name}`,
      { retryAfterMs: waitMs },
    );
  return await deps.pusher.push(app, push);
}

/** All in one tick, in their order; each succeeds or fails by itself. 202: all were accepted; 207: see the results. */
async function pushBatch(
  deps: ApiDeps,
  request: HttpRequest,
  { app, batch }: { app: AppDefinition; batch: readonly unknown[] },
): Promise<HttpAnswer> {
  const settled = await Promise.allSettled(
    batch.map((value, i) => pushOne(deps, app, { value, at: `messages[${i}]`, headerKey: null })),
  );
  let refused = 0;
  let retryAfterMs = 0;
  const results = settled.map((outcome) => {
    if (outcome.status === 'fulfilled') return outcome.value;
    refused++;
    const error: unknown = outcome.reason;
    if (!(error instanceof RefusedError)) {
      request.log.error({ err: error }, 'a message of a batch failed by a bug');
      return { error: { code: 'internal', message: 'an error of the server' } };
    }
    retryAfterMs = Math.max(retryAfterMs, error.retryAfterMs ?? 0);
    return { error: describeError(error) };
  });
  const body = { accepted: results.length - refused, refused, results };
  if (refused === 0) return { status: 202, body };
  if (retryAfterMs === 0) return { status: 207, body };
  return { status: 207, body, headers: { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) } };
}

async function asked(
  deps: ApiDeps,
  request: HttpRequest,
  answer: (app: AppDefinition) => Promise<unknown>,
): Promise<HttpAnswer> {
  const app = await deps.authorizer.authorize(request.headers.authorization);
  try {
    return { status: 200, body: await answer(app) };
  } catch (error) {
    if (error instanceof InvalidNameError)
      throw new RefusedError('invalid-request', error.message, { field: error.field, cause: error });
    if (error instanceof StoreUnavailableError)
      throw new RefusedError('store-unavailable', 'the store did not answer', {
        retryAfterMs: STORE_RETRY_MS,
        cause: error,
      });
    throw error;
  }
}
