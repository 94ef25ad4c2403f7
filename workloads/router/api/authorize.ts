// Which app a push comes from: the credential decides. An API key is looked up by its SHA-256; anything else must be a JWT signed by
// one of the app's keys: `iss` the app, `aud` pushcluster, an `exp`. Verified tokens are remembered until they run out.
import { hash, timingSafeEqual } from 'node:crypto';
import { createLocalJWKSet, decodeJwt, errors, jwtVerify } from 'jose';
import type { JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from 'jose';
import { APPS_KEY, parseAppsDocument } from '../../protocol/apps.ts';
import type { AppDefinition } from '../../protocol/apps.ts';
import { RefusedError } from '../../protocol/codes.ts';
import type { AppId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ConfigSource } from '../../runtime/config-source.ts';
import type { Log } from '../../runtime/log.ts';

const AUDIENCE = 'pushcluster';
const ALGORITHMS = ['EdDSA', 'Ed25519', 'ES256', 'RS256'];
const SKEW_SECONDS = 5;
const NOT_YET_MS = 1000;
/** About 200 bytes each. */
const TOKENS_REMEMBERED_MAX = 10_000;

export interface Authorizer {
  /** The app of an Authorization header. Rejects with RefusedError: 'unauthenticated', or 'overloaded' before the first document. */
  authorize(header: string | undefined): Promise<AppDefinition>;
  /** An app by its name; null: there is none, or no document yet. */
  app(name: AppId): AppDefinition | null;
  apps(): readonly AppDefinition[];
  /** Revision of the apps document in use; null before the first. */
  revision(): string | null;
  stop(): void;
}

interface Known {
  readonly revision: string;
  readonly apps: ReadonlyMap<AppId, AppDefinition>;
  readonly byKey: ReadonlyMap<string, { readonly app: AppDefinition; readonly sha256: Buffer }>;
  readonly keySets: ReadonlyMap<AppId, JWTVerifyGetKey>;
  /** SHA-256 of a token that verified → its app and when it runs out. */
  readonly tokens: Map<string, { readonly app: AppDefinition; readonly untilMs: number }>;
}

/** Watches the apps document; one that is refused is logged and the one before stays. */
export function openAuthorizer(options: {
  config: ConfigSource;
  configMap: string;
  clock: Clock;
  log: Log;
  onApps?: (apps: readonly AppDefinition[]) => void;
}): Authorizer {
  const { clock, log } = options;
  let known: Known | null = null;
  const stop = options.config.watch(options.configMap, APPS_KEY, (text) => {
    try {
      const { revision, apps } = parseAppsDocument(text);
      known = {
        revision,
        apps: new Map(apps.map((app) => [app.name, app])),
        byKey: indexKeys(apps, log),
        keySets: new Map(apps.map((app) => [app.name, createLocalJWKSet({ keys: [...app.publicKeys] })])),
        tokens: new Map(), // a key may have been withdrawn: tokens verify anew
      };
      options.onApps?.(apps);
      log.info({ revision, apps: apps.length }, 'apps document taken');
    } catch (error) {
      log.error({ problem: String(error), revision: known?.revision ?? null }, 'apps document refused');
    }
  });
  return {
    async authorize(header) {
      if (known === null)
        throw new RefusedError('overloaded', 'the router has not read its apps yet', { retryAfterMs: NOT_YET_MS });
      const credential = bearerOf(header);
      return apiKeyApp(known, credential) ?? (await tokenApp(known, credential, clock.nowMs()));
    },
    app: (name) => known?.apps.get(name) ?? null,
    apps: () => [...(known?.apps.values() ?? [])],
    revision: () => known?.revision ?? null,
    stop,
  };
}

/** The credential of `Bearer …`; throws RefusedError. */
function bearerOf(header: string | undefined): string {
  const credential = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
  if (credential === undefined) throw refused('expected "Bearer <API key or signed token>"');
  if (credential.length <= LIMITS.credentialCharsMax) return credential;
  throw refused(`expected at most ${LIMITS.credentialCharsMax} characters, got ${credential.length}`);
}

function indexKeys(apps: readonly AppDefinition[], log: Log): Known['byKey'] {
  const byKey = new Map<string, { app: AppDefinition; sha256: Buffer }>();
  const shared = new Set<string>();
  for (const app of apps) {
    for (const { name, sha256 } of app.apiKeys) {
      if (byKey.has(sha256) && byKey.get(sha256)?.app !== app) {
        shared.add(sha256);
        log.error({ app: app.name, other: byKey.get(sha256)?.app.name, key: name }, 'API key of two apps left out');
      }
      byKey.set(sha256, { app, sha256: Buffer.from(sha256, 'hex') });
    }
  }
  for (const sha256 of shared) byKey.delete(sha256);
  return byKey;
}

/** The look-up is by hash, so its time tells nothing of the key; the hit is compared in constant time all the same. */
function apiKeyApp(known: Known, credential: string): AppDefinition | null {
  const digest = hash('sha256', credential, 'buffer');
  const hit = known.byKey.get(digest.toString('hex'));
  return hit !== undefined && timingSafeEqual(hit.sha256, digest) ? hit.app : null;
}

async function tokenApp(known: Known, token: string, nowMs: number): Promise<AppDefinition> {
  const digest = hash('sha256', token, 'base64url');
  const remembered = known.tokens.get(digest);
  if (remembered !== undefined && remembered.untilMs > nowMs) return remembered.app;
  known.tokens.delete(digest);
  const issuer = issuerOf(token);
  const app = known.apps.get(issuer as AppId);
  const keySet = known.keySets.get(issuer as AppId);
  if (app === undefined || keySet === undefined) throw refused('the token is of no app of this cluster (claim iss)');
  const claims = await verify(token, keySet, {
    issuer,
    audience: AUDIENCE,
    algorithms: ALGORITHMS,
    requiredClaims: ['exp'],
    clockTolerance: SKEW_SECONDS,
    currentDate: new Date(nowMs),
  });
  // A device holds a credential signed by the same keys; it names its app in `app` and must never push.
  if (claims['app'] !== undefined) throw refused('the token is a device credential (it has the claim app)');
  if (known.tokens.size >= TOKENS_REMEMBERED_MAX) known.tokens.clear();
  known.tokens.set(digest, { app, untilMs: claims.exp! * 1000 });
  return app;
}

function issuerOf(token: string): string {
  try {
    const { iss } = decodeJwt(token);
    if (typeof iss === 'string') return iss;
  } catch (error) {
    throw refused('neither a known API key nor a signed token', error);
  }
  throw refused('the token names no app (claim iss)');
}

async function verify(token: string, keySet: JWTVerifyGetKey, options: JWTVerifyOptions): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keySet, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw refused(describeFailure(error), error);
    // The token names no key and several fit: each is tried.
    let failure: unknown = error;
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (next) {
        failure = next;
      }
    }
    throw refused(describeFailure(failure), failure);
  }
}

function describeFailure(failure: unknown): string {
  if (failure instanceof errors.JWTExpired) return 'the token ran out';
  if (failure instanceof errors.JWTClaimValidationFailed)
    return `the token's claim ${failure.claim} is ${failure.reason === 'missing' ? 'missing' : 'not as expected'}`;
  if (failure instanceof errors.JWKSNoMatchingKey) return 'no key of the app fits the token';
  return 'the token is not signed by a key of the app';
}

function refused(message: string, cause?: unknown): RefusedError {
  return new RefusedError('unauthenticated', `authorization: ${message}`, { field: 'authorization', cause });
}
