// Opens the store that a setting names; every role's start calls it once. SQLite files are shared within the process: each open of
// one path is a handle on the same writer, which goes with the last handle.
import { openRedisStore } from './redis/redis-store.ts';
import type { TrustFiles } from './redis/trust.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import type { Store } from './port.ts';
import { StoreUnavailableError } from './port.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { storeSettings } from '../settings/store.ts';
import type { SettingsOf } from '../settings/setting.ts';

type StoreSettings = SettingsOf<typeof storeSettings>;

export interface OpenStoreOptions {
  /**
   * redis://host:port[/db], redis+cluster://h1:p1,h2:p2, redis+sentinel://h1:p1,h2:p2/master-name, each with rediss for TLS,
   * sqlite:/path/to/file or sqlite::memory:NAME (shared by everyone in this process who names it).
   */
  readonly url: string;
  /** Empty or left out: the default user. */
  readonly username?: string;
  /** Empty: none. */
  readonly password: string;
  /** For rediss…; left out: the public certificates are trusted. */
  readonly trust?: TrustFiles;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** The address of the store is not of a known form. */
export class StoreAddressError extends Error {
  readonly code = 'store-address';
}

/**
 * Opens a store. A Redis that does not answer yet is no error: operations reject until it does, and health() says so.
 * Throws StoreAddressError, StoreFileError (a SQLite file that cannot be used), StoreTrustError (the TLS settings or their files) or
 * StoreRefusedError (wrong user, password, certificate, version).
 */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
  const { url } = options;
  if (url.startsWith('sqlite:')) return openShared(url.slice('sqlite:'.length), options);
  if (/^rediss?(\+cluster|\+sentinel)?:\/\//.test(url)) return openRedisStore(options);
  throw new StoreAddressError(
    `store: expected redis://…, redis+cluster://…, redis+sentinel://…, each with rediss for TLS, or sqlite:…, got ${JSON.stringify(scheme(url))}`,
  );
}

/** The store that a role's settings name. Rejects as openStore does. */
export async function openStoreOf(
  settings: StoreSettings,
  surroundings: Pick<OpenStoreOptions, 'clock' | 'log'>,
): Promise<Store> {
  return await openStore({
    url: settings.store,
    username: settings.storeUsername,
    password: settings.storePassword,
    trust: {
      caFile: settings.storeCaFile,
      certificateFile: settings.storeCertificateFile,
      keyFile: settings.storeKeyFile,
      serverName: settings.storeServerName,
    },
    timeoutMs: settings.storeTimeoutMs,
    ...surroundings,
  });
}

/** Only the scheme: the rest could hold a password. */
function scheme(url: string): string {
  return url.slice(0, Math.max(0, url.indexOf(':')) + 1).slice(0, 40);
}

// The one state of this module: a SQLite file has one writer in a process, whoever opens it.
const shared = new Map<string, { store: Store; handles: number }>();

function openShared(path: string, options: OpenStoreOptions): Store {
  if (path === '') throw new StoreAddressError('store: expected sqlite:/path/to/file, got no path');
  const held = shared.get(path) ?? { store: openSqliteStore({ path, clock: options.clock }), handles: 0 };
  held.handles++;
  shared.set(path, held);
  return aHandle(held.store, async () => {
    held.handles--;
    if (held.handles > 0) return;
    shared.delete(path);
    await held.store.close();
  });
}

/** The same store with a `close` of its own: it ends this handle only. */
function aHandle(store: Store, release: () => Promise<void>): Store {
  let open = true;
  const close = async (): Promise<void> => {
    if (!open) return;
    open = false;
    await release();
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'close') return close;
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      if (open) return member.bind(target);
      if (name === 'health') return () => Promise.resolve({ reachable: false, warnings: ['the store is closed'] });
      return () => Promise.reject(new StoreUnavailableError('the store is closed'));
    },
  });
}
