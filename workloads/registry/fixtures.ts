// What the registry's tests are built from: documents, a watched text, an app's key that can sign, a store in memory. Tests only.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import type { CryptoKey } from 'jose';
import { APPS_KEY } from '../protocol/apps.ts';
import type { AccountId, DeviceId, GatewayName, BootId } from '../protocol/ids.ts';
import { ROUTING_KEY } from '../protocol/routing.ts';
import type { Strategy } from '../protocol/routing.ts';
import { aManualClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import { generateKeyFiles, openKeys } from '../runtime/credentials.ts';
import type { Keys } from '../runtime/credentials.ts';
import { silentLog } from '../runtime/log.ts';
import { registrySettings } from '../settings/registry.ts';
import { parseSettings } from '../settings/setting.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { GatewayLease, RegisterDevice, Store } from '../store/port.ts';
import { startRegistry } from './role.ts';

/** JSON text of a routing document for the cluster demo; gateways are name → weight. */
export function aRoutingDocument(over: {
  gateways: Readonly<Record<string, number>>;
  revision?: string;
  cluster?: string;
  strategy?: Strategy;
}): string {
  const { revision = 'r1', cluster = 'demo', strategy = 'consistent-hash' } = over;
  const gateways = Object.entries(over.gateways).map(([name, weight]) => {
    const addresses = { ws: `ws://${name}.test:8080/` };
    return { name, addresses, weight, state: 'active', capacity: 1000, since: '2027-01-15T08:00:00Z' };
  });
  return JSON.stringify({ version: 1, revision, cluster, strategy, gateways });
}

/** A config source with one text, which the test may change. */
export function aWatchedText(text: string) {
  const watching = new Set<(text: string) => void>();
  const source: ConfigSource = {
    watch(_configMap, _key, onText) {
      watching.add(onText);
      onText(text);
      return () => watching.delete(onText);
    },
  };
  return {
    source,
    watchers: () => watching.size,
    set(next: string) {
      text = next;
      for (const onText of watching) onText(next);
    },
  };
}

/** Config source with the routing document and the apps document, by key. */
export function aConfig(texts: Readonly<Record<string, string>>): ConfigSource {
  return {
    watch(_configMap, key, onText) {
      const text = texts[key];
      if (text !== undefined) onText(text);
      return () => {};
    },
  };
}

export interface Signer {
  readonly jwk: Record<string, unknown>;
  readonly privateKey: CryptoKey;
  /** A device credential as an app signs it; `over` changes claims, null leaves one out. */
  sign(over?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>;
}

/** A pair of keys of an app. Credentials are for app shop, account ada, and good for a minute after `nowMs`. */
export async function aSigner(alg: string, options: { nowMs: number; kid?: string }): Promise<Signer> {
  const pair = await generateKeyPair(alg, { extractable: true });
  const kid = options.kid === undefined ? {} : { kid: options.kid };
  const seconds = Math.floor(options.nowMs / 1000);
  return {
    jwk: { ...(await exportJWK(pair.publicKey)), ...kid },
    privateKey: pair.privateKey,
    sign(over = {}, header = {}) {
      const claims = { sub: 'ada', aud: 'pushcluster', app: 'shop', iat: seconds, exp: seconds + 60, ...over };
      const present = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null));
      return new SignJWT(present).setProtectedHeader({ alg, ...kid, ...header }).sign(pair.privateKey);
    },
  };
}

/** A fresh key ring, read from a folder that is gone again. */
export function aKeyRing(clock: Clock): Keys {
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-registry-'));
  try {
    for (const [name, text] of Object.entries(generateKeyFiles('2027-01-15T08:00:00Z')))
      writeFileSync(join(dir, name), text);
    const keys = openKeys(dir, clock, silentLog);
    keys.stop();
    return keys;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

type RegistryStore = Pick<Store, 'leases' | 'registerDevice' | 'tokenClient' | 'closeDevice'>;

/** The store's part that a registry uses, in memory; `down` has every operation fail. Its real ones pass store/contract.ts. */
export function aStore(gateways: readonly string[]) {
  const tokens = new Map<string, { account: AccountId; device: DeviceId }>();
  const registered: RegisterDevice[] = [];
  const state = { down: false, accountFull: false };
  const answer = <T>(make: () => T): Promise<T> =>
    state.down ? Promise.reject(new StoreUnavailableError('down')) : Promise.resolve(make());
  const store: RegistryStore = {
    leases: () =>
      answer(() =>
        gateways.map((name): GatewayLease => {
          const ids = { gateway: name as GatewayName, bootId: `${name}-1` as BootId };
          return { ...ids, linkAddress: '127.0.0.1:1', connections: 0, startedAtMs: 0 };
        }),
      ),
    registerDevice: (device) =>
      answer(() => {
        if (state.accountFull) return 'account-full';
        registered.push(device);
        tokens.set(device.tokenId, { account: device.account, device: device.device });
        return 'registered';
      }),
    tokenClient: (_app, tokenId) => answer(() => tokens.get(tokenId) ?? null),
    closeDevice: (_app, device) =>
      answer(() => {
        const ids = [...tokens].filter(([, client]) => client.device === device).map(([id]) => id);
        for (const id of ids) tokens.delete(id);
        return ids.length > 0;
      }),
  };
  return { store: store as Store, state, registered, tokens };
}

export interface RegistryOver {
  /** Gateways of the routing document, name → weight; a to d by default. */
  readonly gateways?: Readonly<Record<string, number>>;
  /** Names that hold a lease; all by default. */
  readonly leases?: readonly string[];
  readonly storeDown?: boolean;
  /** False: no document ever comes. */
  readonly documents?: boolean;
  readonly httpPort?: number;
  /** Instead of the one in memory. */
  readonly openStore?: (clock: Clock) => Promise<Store>;
}
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The text as JSON; null when it is none. */
  readonly body: unknown;
}
export type TestRegistry = Awaited<ReturnType<typeof aRegistry>>;

/** A running registry on ports of its own, with the apps shop (signed credentials) and legacy (a webhook that says yes). */
export async function aRegistry(over: RegistryOver = {}) {
  const clock = aManualClock();
  const gateways = over.gateways ?? { a: 100, b: 100, c: 100, d: 100 };
  const names = over.leases ?? Object.keys(gateways);
  const signer = await aSigner('EdDSA', { nowMs: clock.nowMs(), kid: 'k1' });
  const stored = aStore(names);
  stored.state.down = over.storeDown ?? false;
  const store = over.openStore === undefined ? stored.store : await over.openStore(clock);
  if (over.openStore !== undefined)
    for (const name of names) {
      const life = { gateway: name as GatewayName, bootId: `${name}-1` as BootId, linkAddress: '127.0.0.1:1' };
      await store.renewLease({ ...life, connections: 0, startedAtMs: clock.nowMs() }, 60_000);
    }
  const apps = [
    { name: 'shop', publicKeys: [signer.jwk], allowedTopics: ['news', 'chat.*'] },
    { name: 'legacy', authWebhook: { url: 'http://legacy.test/', timeoutMs: 1000 }, allowedTopics: ['news'] },
  ];
  const documents = {
    [ROUTING_KEY]: aRoutingDocument({ gateways }),
    [APPS_KEY]: JSON.stringify({ version: 1, revision: 'r1', apps }),
  };
  const env = {
    PUSHCLUSTER_CLUSTER: 'demo',
    PUSHCLUSTER_BIND: '127.0.0.1',
    PUSHCLUSTER_STORE: 'given',
    PUSHCLUSTER_KEYS_DIR: 'given',
    PUSHCLUSTER_HTTP_PORT: String(over.httpPort ?? 0),
    PUSHCLUSTER_ADMIN_PORT: '0',
    PUSHCLUSTER_ROUTING_CONFIGMAP: 'demo-routing',
    PUSHCLUSTER_APPS_CONFIGMAP: 'demo-apps',
  };
  const keys = aKeyRing(clock);
  const yes = (() => Promise.resolve(new Response('{"allow":true}'))) as typeof fetch;
  const role = await startRegistry(
    parseSettings(registrySettings, env, () => ''),
    {
      store,
      keys,
      clock,
      config: aConfig(over.documents === false ? {} : documents),
      log: silentLog,
      random: () => 0.5,
      fetch: yes,
    },
  );
  const ask = async (port: number, path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : null };
  };
  const send = (
    method: string,
    path: string,
    sent: { text?: string; bearer?: string | null; headers?: Record<string, string> },
  ): Promise<Answer> => {
    const headers: Record<string, string> = { ...sent.headers };
    if (sent.text !== undefined) headers['content-type'] = 'application/json';
    if (typeof sent.bearer === 'string') headers['authorization'] = `Bearer ${sent.bearer}`;
    return ask(role.ports['http']!, path, { method, headers, ...(sent.text === undefined ? {} : { body: sent.text }) });
  };
  return {
    role,
    clock,
    signer,
    store,
    stored,
    keys,
    send,
    admin: (path: string) => ask(role.ports['admin']!, path, {}),
    /** Registers phone-1 of ada and gives its token. */
    token: async (): Promise<string> => {
      const credential = { token: await signer.sign() };
      const body = { app: 'shop', account: 'ada', device: 'phone-1', credential };
      const answer = await send('POST', '/v1/register', { text: JSON.stringify(body) });
      return (answer.body as { token: string }).token;
    },
  };
}
