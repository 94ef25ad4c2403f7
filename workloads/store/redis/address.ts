// Parses the address of a Redis store: single, Cluster or Sentinel, plain or by TLS. Called once by redis-store.ts; pure.

export interface HostPort {
  readonly host: string;
  readonly port: number;
}
/** `tls`: every connection is, to Sentinels and to nodes that are only learned of, too. */
export type RedisAddress = { readonly tls: boolean } & (
  | { readonly kind: 'single'; readonly node: HostPort; readonly db: number }
  | { readonly kind: 'cluster'; readonly nodes: readonly HostPort[] }
  | { readonly kind: 'sentinel'; readonly sentinels: readonly HostPort[]; readonly master: string }
);

/** The address is not of the expected form; it is not repeated, for it could hold a password. */
export class RedisAddressError extends Error {
  readonly code = 'store-address';
}

type Kind = RedisAddress['kind'];
const KINDS: Readonly<Record<string, Kind>> = { '': 'single', '+cluster': 'cluster', '+sentinel': 'sentinel' };
/** What follows the scheme. */
const FORMS: Readonly<Record<Kind, readonly string[]>> = {
  single: ['://host:port', '://host:port/db'],
  cluster: ['+cluster://host:port,host:port'],
  sentinel: ['+sentinel://host:port,host:port/master-name'],
};
const WITH_TLS = '; the same with rediss in place of redis for TLS';

/** Text to address; ports default to 6379, of Sentinels to 26379. Throws RedisAddressError. */
export function parseRedisAddress(url: string): RedisAddress {
  const match = /^redis(s?)(|\+cluster|\+sentinel):\/\/([^/?#]*)(?:\/([^/?#]*))?$/.exec(url);
  if (match === null) throw wrong(Object.values(FORMS).flat(), 'redis', WITH_TLS);
  const [, secure, suffix = '', hosts = '', path = ''] = match;
  const kind = KINDS[suffix]!;
  const tls = secure === 's';
  if (hosts.includes('@')) {
    throw new RedisAddressError(
      'store: expected no credentials in the address: PUSHCLUSTER_STORE_USERNAME and PUSHCLUSTER_STORE_PASSWORD hold them',
    );
  }
  const refuse = (): RedisAddressError => wrong(FORMS[kind], `redis${secure}`);
  const nodes = hosts.split(',').map((text) => {
    const node = parseHostPort(text, kind);
    if (node === null) throw refuse();
    return node;
  });
  if (kind === 'cluster' && path === '') return { kind, tls, nodes };
  if (kind === 'sentinel' && /^[\w.-]+$/.test(path)) return { kind, tls, sentinels: nodes, master: path };
  if (kind === 'single' && nodes.length === 1 && /^\d{0,4}$/.test(path)) {
    return { kind, tls, node: nodes[0]!, db: Number(path) };
  }
  throw refuse();
}

function wrong(forms: readonly string[], scheme: string, more = ''): RedisAddressError {
  return new RedisAddressError(`store: expected ${forms.map((form) => scheme + form).join(' or ')}${more}`);
}

/** Null: not of that form. */
function parseHostPort(text: string, kind: Kind): HostPort | null {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? (kind === 'sentinel' ? 26_379 : 6379));
  if (match === null || port < 1 || port > 65_535) return null;
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port };
}
