// The registry over HTTP: routes, bearer, CORS, what is counted. service.ts does the work; openapi.yaml describes it for clients.
import { RefusedError } from '../protocol/codes.ts';
import type { HttpHandler, HttpRequest, HttpRoute } from '../runtime/http.ts';
import type { RegistryMetrics } from './metrics.ts';
import openapi from './openapi.json' with { type: 'json' };
import type { Service, ServiceRequest } from './service.ts';

/** Answers carry tokens: no cache may keep them. */
const HEADERS = { 'cache-control': 'no-store' };
const OPENAPI = JSON.stringify(openapi);

/** The routes of the registry's client port. */
export function registryRoutes(service: Service, metrics: RegistryMetrics): readonly HttpRoute[] {
  const handle = (name: string, ask: (request: ServiceRequest) => Promise<object>): HttpHandler =>
    counted(metrics, name, async (request) => ask(serviceRequest(request)));
  return [
    { method: 'POST', path: '/v1/register', handler: handle('register', (request) => service.register(request)) },
    { method: 'POST', path: '/v1/renew', handler: handle('renew', (request) => service.renew(request)) },
    { method: 'POST', path: '/v1/assign', handler: handle('assign', (request) => service.assign(request)) },
    { method: 'DELETE', path: '/v1/device', handler: handle('close', (request) => service.close(request)) },
    {
      method: 'GET',
      path: '/v1/openapi.json',
      handler: () => ({ status: 200, headers: { 'content-type': 'application/json' }, body: OPENAPI }),
    },
  ];
}

function serviceRequest(request: HttpRequest): ServiceRequest {
  return { body: request.body, bearer: bearerOf(request.headers.authorization), log: request.log };
}

/** `Bearer <token>` → token; null for anything else. The scheme's case does not matter (RFC 9110). */
export function bearerOf(header: string | undefined): string | null {
  return /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(header ?? '')?.[1] ?? null;
}

function counted(
  metrics: RegistryMetrics,
  route: string,
  answer: (request: HttpRequest) => Promise<object>,
): HttpHandler {
  return async (request) => {
    const end = metrics.seconds.startTimer({ route });
    let outcome = 'ok';
    try {
      return { status: 200, headers: HEADERS, body: await answer(request) };
    } catch (error) {
      outcome = error instanceof RefusedError ? error.code : 'internal';
      throw error;
    } finally {
      metrics.requests.inc({ route, outcome });
      end();
    }
  };
}
