// Parses the address of a Redis store: single, Cluster or Sentinel. Called once by redis-store.ts; pure.

export interface HostPort {
  readonly host: string;
  readonly port: number;
}
export type RedisAddress =
  | { readonly kind: 'single'; readonly node: HostPort; readonly db: number }
  | { readonly kind: 'cluster'; readonly nodes: readonly HostPort[] }
  | { readonly kind: 'sentinel'; readonly sentinels: readonly HostPort[]; readonly master: string };

/** The address is not of the expected form; it is not repeated, for it could hold a password. */
export class RedisAddressError extends Error {
  readonly code = 'store-address';
}

const FORMS = {
  'redis:': 'redis://host:port or redis://host:port/db',
  'redis+cluster:': 'redis+cluster://host:port,host:port',
  'redis+sentinel:': 'redis+sentinel://host:port,host:port/master-name',
} as const;

/** Text to address; ports default to 6379, of Sentinels to 26379. Throws RedisAddressError. */
export function parseRedisAddress(url: string): RedisAddress {
  const match = /^(redis:|redis\+cluster:|redis\+sentinel:)\/\/([^/?#]*)(?:\/([^/?#]*))?$/.exec(url);
  if (match === null) throw new RedisAddressError(`store: expected ${Object.values(FORMS).join(', or ')}`);
  const scheme = match[1] as keyof typeof FORMS;
  const hosts = match[2]!;
  const path = match[3] ?? '';
  if (hosts.includes('@')) {
    throw new RedisAddressError(
      'store: expected no credentials in the address: PUSHCLUSTER_STORE_PASSWORD holds the password',
    );
  }
  const nodes = hosts.split(',').map((text) => parseHostPort(text, scheme));
  if (scheme === 'redis+cluster:' && path === '') return { kind: 'cluster', nodes };
  if (scheme === 'redis+sentinel:' && /^[\w.-]+$/.test(path))
    return { kind: 'sentinel', sentinels: nodes, master: path };
  if (scheme === 'redis:' && nodes.length === 1 && /^\d{0,4}$/.test(path)) {
    return { kind: 'single', node: nodes[0]!, db: Number(path) };
  }
  throw new RedisAddressError(`store: expected ${FORMS[scheme]}`);
}

function parseHostPort(text: string, scheme: keyof typeof FORMS): HostPort {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? (scheme === 'redis+sentinel:' ? 26_379 : 6379));
  if (match === null || port < 1 || port > 65_535) throw new RedisAddressError(`store: expected ${FORMS[scheme]}`);
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port };
}
