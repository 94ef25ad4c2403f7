// The apps this cluster serves, as the registry uses them: from the watched apps document, with public keys made ready for checking.
// A key that cannot be used is left out and logged; the app's others go on working. authenticate.ts comes next.
import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { APPS_KEY, parseAppsDocument } from '../protocol/apps.ts';
import type { AppDefinition } from '../protocol/apps.ts';
import { RefusedError } from '../protocol/codes.ts';
import type { AppId } from '../protocol/ids.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import type { Log } from '../runtime/log.ts';

export type CredentialAlgorithm = 'EdDSA' | 'ES256' | 'RS256';

export interface AppKey {
  /** Null: the JWK names none; it is tried for any token of its algorithm. */
  readonly kid: string | null;
  readonly algorithm: CredentialAlgorithm;
  readonly key: KeyObject;
}
export interface App extends AppDefinition {
  readonly keys: readonly AppKey[];
}

export interface Apps {
  /** Throws RefusedError: 'app-unknown', or 'overloaded' while no document has come yet. */
  app(name: AppId): App;
  /** Revision of the document in use; null before the first. */
  revision(): string | null;
  stop(): void;
}

/** RSA keys below this are too weak to take. */
const RSA_BITS_MIN = 2048;
const NOT_YET_MS = 1000;

/** Watches the apps document; one that is refused is logged and the one before stays. */
export function openApps(options: { config: ConfigSource; configMap: string; log: Log }): Apps {
  const { log } = options;
  let revision: string | null = null;
  let byName: ReadonlyMap<AppId, App> = new Map();
  const stop = options.config.watch(options.configMap, APPS_KEY, (text) => {
    try {
      const document = parseAppsDocument(text);
      byName = new Map(document.apps.map((app) => [app.name, { ...app, keys: usableKeys(app, log) }]));
      revision = document.revision;
      log.info({ revision, apps: byName.size }, 'apps document taken');
    } catch (error) {
      log.error({ problem: String(error), revision }, 'apps document refused; the one before stays');
    }
  });
  return {
    app(name) {
      const app = byName.get(name);
      if (app !== undefined) return app;
      if (revision !== null)
        throw new RefusedError('app-unknown', `app: no PushApp ${name} in this cluster`, { field: 'app' });
      throw new RefusedError('overloaded', 'the registry has not read its apps yet', { retryAfterMs: NOT_YET_MS });
    },
    revision: () => revision,
    stop,
  };
}

function usableKeys(app: AppDefinition, log: Log): readonly AppKey[] {
  return app.publicKeys.flatMap((jwk, index) => {
    const key = parseAppKey(jwk);
    if (key === null)
      log.warn({ app: app.name, index }, 'public key left out: expected Ed25519, P-256 or RSA of 2048 bits');
    return key === null ? [] : [key];
  });
}

/** JWK → key; null for what is not a public key of one of the three algorithms, so also for symmetric and private keys. */
export function parseAppKey(jwk: Readonly<Record<string, unknown>>): AppKey | null {
  if (jwk['kty'] === 'oct' || jwk['d'] !== undefined) return null;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    return null;
  }
  const algorithm = algorithmOf(key);
  if (algorithm === null || (jwk['use'] !== undefined && jwk['use'] !== 'sig')) return null;
  return { kid: typeof jwk['kid'] === 'string' ? jwk['kid'] : null, algorithm, key };
}

function algorithmOf(key: KeyObject): CredentialAlgorithm | null {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA';
  if (key.asymmetricKeyType === 'ec') return details?.namedCurve === 'prime256v1' ? 'ES256' : null;
  return key.asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= RSA_BITS_MIN ? 'RS256' : null;
}
