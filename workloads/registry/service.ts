// What the registry does for a device, each request a list of named steps: register, renew, assign, close. api.ts puts HTTP around it.
// Without the store, tokens are issued all the same and checked by signature alone (R13); gateways register their devices later.
import { randomBytes } from 'node:crypto';
import { RefusedError } from '../protocol/codes.ts';
import type { TokenClaims } from '../protocol/credentials.ts';
import type { AccountId, AppId, DeviceId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import { isNoticeWanted } from '../protocol/notices.ts';
import type { Clock } from '../runtime/clock.ts';
import { signToken, verifyToken } from '../runtime/credentials.ts';
import type { Keys } from '../runtime/credentials.ts';
import type { Log } from '../runtime/log.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { Store } from '../store/port.ts';
import type { Admission } from './admission.ts';
import type { App, Apps } from './apps.ts';
import { authenticate } from './authenticate.ts';
import type { Directory } from './directory.ts';
import type { RegistryMetrics } from './metrics.ts';
import { parseAssignRequest, parseRegisterRequest } from './requests.ts';
import { narrowTopics } from './topics.ts';
import type { Webhook } from './webhook.ts';

/** Answer to register, renew and assign; assign leaves the token out, since the client's stays good. */
export interface Assignment {
  readonly token?: string;
  /** ISO 8601, by the registry's clock … */
  readonly expiresAt: string;
  /** … and from now on, for clients whose own clock is wrong. */
  readonly expiresInMs: number;
  readonly app: AppId;
  readonly account: AccountId;
  readonly device: DeviceId;
  /** Best first, at most three; the others are for when the first fails. */
  readonly gateways: readonly { readonly name: string; readonly url: string }[];
  readonly heartbeatIntervalMs: number;
  readonly retry: typeof RETRY;
}
export interface ClosedDevice {
  readonly device: DeviceId;
  /** False: it was closed before. */
  readonly closed: boolean;
}

/** One request, as api.ts hands it in. */
export interface ServiceRequest {
  /** Parsed JSON; undefined: none was sent. */
  readonly body: unknown;
  /** The token of the Authorization header; null: none. */
  readonly bearer: string | null;
  /** Carries the request's trace id. */
  readonly log: Log;
}
export interface Service {
  register(request: ServiceRequest): Promise<Assignment>;
  renew(request: ServiceRequest): Promise<Assignment>;
  assign(request: ServiceRequest): Promise<Assignment>;
  close(request: ServiceRequest): Promise<ClosedDevice>;
}

export interface ServiceDeps {
  readonly cluster: string;
  readonly tokenTtlMs: number;
  readonly heartbeatIntervalMs: number;
  readonly store: Pick<Store, 'registerDevice' | 'tokenClient' | 'closeDevice'>;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly apps: Apps;
  readonly directory: Directory;
  readonly webhook: Webhook;
  readonly admission: Admission;
  readonly metrics: RegistryMetrics;
}

/** What clients are told about reconnecting: full jitter up to baseMs × 2ⁿ, at most maxMs; six heartbeats, then assign (A4). */
const RETRY = { baseMs: 500, maxMs: 30_000, heartbeatRetries: 6 } as const;
/** Retry-after where the store is needed and does not answer. */
const STORE_RETRY_MS = 2000;

export function openService(deps: ServiceDeps): Service {
  return {
    async register({ body, log }) {
      const request = parseRegisterRequest(body);
      deps.admission.assertAdmitted('newcomer');
      const app = deps.apps.app(request.app);
      const topics = await authenticate(app, request, { webhook: deps.webhook, nowMs: deps.clock.nowMs(), log });
      return issue(deps, { ...request, app, topics, log });
    },
    async renew({ bearer, body, log }) {
      const claims = checkBearer(deps, bearer);
      const { exclude } = parseAssignRequest(body);
      deps.admission.assertAdmitted('known');
      const app = deps.apps.app(claims.app);
      await assertNotRevoked(deps, claims, log);
      const topics = narrowTopics(app.allowedTopics, claims.topics);
      return issue(deps, { ...claims, app, topics, exclude, log });
    },
    async assign({ bearer, body }) {
      const claims = checkBearer(deps, bearer);
      const { exclude } = parseAssignRequest(body);
      deps.admission.assertAdmitted('known');
      return describeAssignment(deps, claims, exclude);
    },
    async close({ bearer }) {
      const claims = checkBearer(deps, bearer);
      deps.admission.assertAdmitted('known');
      return { device: claims.device, closed: await closeDevice(deps, claims) };
    },
  };
}

/** Who holds the token. An expired one is refused: the device registers again with its app's credential. */
function checkBearer(deps: ServiceDeps, bearer: string | null): TokenClaims {
  if (bearer === null)
    throw new RefusedError('unauthenticated', 'authorization: expected "Bearer <token>"', { field: 'authorization' });
  const verdict = verifyToken(bearer, { keys: deps.keys.current(), cluster: deps.cluster, nowMs: deps.clock.nowMs() });
  if (verdict.kind === 'valid') return verdict.claims;
  throw verdict.kind === 'expired'
    ? new RefusedError('token-expired', 'the token ran out; register again with the credential of the app')
    : new RefusedError('unauthenticated', `the token is invalid: ${verdict.reason}`, { field: 'authorization' });
}

/** A renewal must not bring back a device that was closed; where the store cannot tell, the signature decides (R13). */
async function assertNotRevoked(deps: ServiceDeps, claims: TokenClaims, log: Log): Promise<void> {
  const ask = () => deps.store.tokenClient(claims.app, claims.jti);
  const client = await withoutStore(deps, { operation: 'tokenClient', log }, ask);
  if (client === 'unavailable') return;
  if (client !== null && client.device === claims.device && client.account === claims.account) return;
  throw new RefusedError('unauthenticated', 'the token is not known any more; register again', {
    field: 'authorization',
  });
}

interface Grant {
  readonly app: App;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly topics: readonly string[];
  readonly exclude: ReadonlySet<string>;
  readonly log: Log;
}

async function issue(deps: ServiceDeps, grant: Grant): Promise<Assignment> {
  const { app, account, device, topics, log } = grant;
  const nowMs = deps.clock.nowMs();
  const claims: TokenClaims = {
    iss: deps.cluster,
    app: app.name,
    ...(isNoticeWanted(app, 'presence') ? { presence: true } : {}),
    account,
    device,
    topics,
    jti: randomBytes(12).toString('base64url'),
    iat: nowMs / 1000, // with its milliseconds: a device closed and registered again within a second must not count as closed
    exp: Math.floor((nowMs + deps.tokenTtlMs) / 1000),
  };
  const answer = describeAssignment(deps, claims, grant.exclude); // before anything is stored: it may be refused
  await store(deps, { claims, devicesMax: app.quotas.devicesPerAccount, log });
  deps.metrics.tokensIssued.inc();
  log.debug({ app: app.name, account, device, tokenId: claims.jti, gateway: answer.gateways[0]!.name }, 'token issued');
  return { token: signToken(claims, deps.keys.current()), ...answer };
}

/** Token id → client (A1). Where the store does not answer, the gateway stores it when the device connects. */
async function store(
  deps: ServiceDeps,
  token: { claims: TokenClaims; devicesMax: number | undefined; log: Log },
): Promise<void> {
  const { app, account, device, jti, exp } = token.claims;
  const accountDevicesMax = Math.min(token.devicesMax ?? Infinity, LIMITS.accountDevicesMax);
  const row = { app, account, device, tokenId: jti, tokenExpiresAtMs: exp * 1000, accountDevicesMax };
  const ask = () => deps.store.registerDevice(row);
  const outcome = await withoutStore(deps, { operation: 'registerDevice', log: token.log }, ask);
  if (outcome === 'account-full')
    throw new RefusedError('forbidden', `account ${account}: expected at most ${accountDevicesMax} devices`, {
      field: 'account',
    });
}

function describeAssignment(deps: ServiceDeps, claims: TokenClaims, exclude: ReadonlySet<string>): Assignment {
  const { app, account, device } = claims;
  const assigned = deps.directory.assign(`${app}/${device}`, exclude);
  deps.metrics.assignments.inc({ gateway: assigned[0]!.name });
  return {
    expiresAt: new Date(claims.exp * 1000).toISOString(),
    expiresInMs: Math.floor(claims.exp * 1000 - deps.clock.nowMs()),
    app,
    account,
    device,
    gateways: assigned.map(({ name, url }) => ({ name, url })),
    heartbeatIntervalMs: deps.heartbeatIntervalMs,
    retry: RETRY,
  };
}

/** Only the token in force closes: one from before another account took the device must not. Needs the store. */
async function closeDevice(deps: ServiceDeps, claims: TokenClaims): Promise<boolean> {
  try {
    const client = await deps.store.tokenClient(claims.app, claims.jti);
    if (client === null || client.device !== claims.device || client.account !== claims.account) return false;
    return await deps.store.closeDevice(claims.app, claims.device);
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error;
    deps.metrics.storeFailures.inc({ operation: 'closeDevice' });
    throw new RefusedError('store-unavailable', 'the store did not answer; whether the device was closed is unknown', {
      retryAfterMs: STORE_RETRY_MS,
      cause: error,
    });
  }
}

/** Asks the store, or goes on without it. While the polls of the leases fail it is not asked: nobody waits for its timeout. */
async function withoutStore<T>(
  deps: ServiceDeps,
  about: { operation: string; log: Log },
  ask: () => Promise<T>,
): Promise<T | 'unavailable'> {
  const { operation, log } = about;
  if (!deps.directory.state().leasesKnown) {
    deps.metrics.storeFailures.inc({ operation });
    return 'unavailable';
  }
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error;
    deps.metrics.storeFailures.inc({ operation });
    log.warn({ operation, problem: error.message }, 'store did not answer; going on without it');
    return 'unavailable';
  }
}
