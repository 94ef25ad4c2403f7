// Which route a method and a path belong to: exact paths by one look-up, patterns one after another. http.ts asks for each request.
import { RefusedError } from '../protocol/codes.ts';
import type { HttpRoute } from './http.ts';

export type RouteMatch =
  | { readonly kind: 'found'; readonly route: HttpRoute; readonly params: Readonly<Record<string, string>> }
  | { readonly kind: 'method-not-allowed'; readonly allow: string; readonly error: RefusedError };

const NO_PARAMS: Readonly<Record<string, string>> = {};

export class RouteTable {
  readonly #exact = new Map<string, HttpRoute[]>();
  readonly #patterns: { readonly parts: readonly string[]; readonly routes: HttpRoute[] }[] = [];

  constructor(routes: readonly HttpRoute[]) {
    for (const route of routes) {
      if (!route.path.includes('{')) {
        this.#exact.set(route.path, [...(this.#exact.get(route.path) ?? []), route]);
        continue;
      }
      const known = this.#patterns.find((pattern) => pattern.parts.join('/') === route.path);
      if (known === undefined) this.#patterns.push({ parts: route.path.split('/'), routes: [route] });
      else known.routes.push(route);
    }
  }

  /** Throws RefusedError not-found, or invalid-request for a parameter that is not percent-encoded UTF-8. */
  find(method: string, path: string): RouteMatch {
    const exact = this.#exact.get(path);
    if (exact !== undefined) return choose(exact, method, NO_PARAMS);
    const parts = path.split('/');
    for (const pattern of this.#patterns)
      if (isMatch(pattern.parts, parts)) return choose(pattern.routes, method, paramsOf(pattern.parts, parts));
    throw new RefusedError('not-found', `no such path: ${path.slice(0, 100)}`);
  }
}

function choose(routes: readonly HttpRoute[], method: string, params: Readonly<Record<string, string>>): RouteMatch {
  const wanted = method === 'HEAD' ? 'GET' : method;
  const route = routes.find((candidate) => candidate.method === wanted);
  if (route !== undefined) return { kind: 'found', route, params };
  const allow = routes.map((other) => (other.method === 'GET' ? 'GET, HEAD' : other.method)).join(', ');
  const error = new RefusedError('method-not-allowed', `expected ${allow}, got ${method.slice(0, 20)}`);
  return { kind: 'method-not-allowed', allow, error };
}

function isMatch(pattern: readonly string[], parts: readonly string[]): boolean {
  return (
    pattern.length === parts.length &&
    pattern.every((expected, i) => (expected.startsWith('{') ? parts[i] !== '' : expected === parts[i]))
  );
}

function paramsOf(pattern: readonly string[], parts: readonly string[]): Readonly<Record<string, string>> {
  const params: Record<string, string> = {};
  for (const [i, expected] of pattern.entries()) {
    if (!expected.startsWith('{')) continue;
    const name = expected.slice(1, -1);
    try {
      params[name] = decodeURIComponent(parts[i]!);
    } catch {
      throw new RefusedError('invalid-request', `${name}: expected percent-encoded UTF-8`, { field: name });
    }
  }
  return params;
}
