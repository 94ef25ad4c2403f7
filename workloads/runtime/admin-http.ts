// The admin port that every role has: /healthz, /readyz with details, /metrics, and the role's own routes under /v1, which ask for the
// bearer secret. It is not reachable from client ports. Roles start it; gateway/admin.ts gives it routes.
import { timingSafeEqual } from 'node:crypto';
import type { Registry } from 'prom-client';
import { RefusedError } from '../protocol/codes.ts';
import type { SymmetricKey } from '../protocol/credentials.ts';
import { startHttpServer } from './http.ts';
import type { HttpAnswer, HttpRequest, HttpRoute, HttpServer } from './http.ts';
import type { Log } from './log.ts';

export interface Readiness {
  readonly ready: boolean;
  /** What it depends on and how that stands, for people; answered as JSON. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface AdminHttpOptions {
  readonly bind: string;
  /** 0 picks one. */
  readonly port: number;
  readonly log: Log;
  readonly registry: Registry;
  /** False: only a restart helps. Default: always healthy. */
  readonly healthy?: () => boolean;
  readonly readiness: () => Readiness;
  /** Answered only to who shows one of `secrets`. */
  readonly routes?: readonly HttpRoute[];
  /** The admin keys as they are now; without any, the routes refuse everyone. */
  readonly secrets?: () => readonly SymmetricKey[];
}

/** Resolves once it listens; rejects when the port is taken. */
export function startAdminHttp(options: AdminHttpOptions): Promise<HttpServer> {
  const { bind, port, log } = options;
  const guarded = (options.routes ?? []).map((route) => guard(route, options.secrets ?? (() => [])));
  return startHttpServer({ bind, port, log, routes: [...openRoutes(options), ...guarded] });
}

function openRoutes({ registry, healthy, readiness }: AdminHttpOptions): HttpRoute[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      handler: () => (healthy === undefined || healthy() ? text(200, 'ok\n') : text(503, 'unhealthy\n')),
    },
    {
      method: 'GET',
      path: '/readyz',
      handler() {
        const { ready, details } = readiness();
        return { status: ready ? 200 : 503, body: { ready, ...details } };
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      handler: async () => ({
        status: 200,
        headers: { 'content-type': registry.contentType },
        body: await registry.metrics(),
      }),
    },
  ];
}

function text(status: number, body: string): HttpAnswer {
  return { status, headers: { 'content-type': 'text/plain' }, body };
}

function guard(route: HttpRoute, secrets: () => readonly SymmetricKey[]): HttpRoute {
  return {
    ...route,
    handler(request) {
      if (!holdsSecret(request, secrets()))
        throw new RefusedError('unauthenticated', 'expected the admin bearer secret');
      return route.handler(request);
    },
  };
}

/** Compares in constant time with each key, since keys rotate. */
function holdsSecret(request: HttpRequest, keys: readonly SymmetricKey[]): boolean {
  const header = request.headers.authorization ?? '';
  if (!header.startsWith('Bearer ')) return false;
  const shown = Buffer.from(header.slice('Bearer '.length));
  let held = false;
  for (const { secret } of keys) {
    const expected = Buffer.from(secret);
    if (shown.length === expected.length && timingSafeEqual(shown, expected)) held = true;
  }
  return held;
}
