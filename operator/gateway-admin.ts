// The gateways' admin port (workloads/protocol/admin.ts) from the operator's side: HTTP with a short timeout and the admin key.
// observe.ts asks for the state, apply.ts tells drains and routing. A gateway that does not answer in time is unknown.
import type { DrainRequest, GatewayState } from '../workloads/protocol/admin.ts';
import type { RoutingDocument } from '../workloads/protocol/routing.ts';
import { isRow } from './kube/fields.ts';

/** Where a gateway's admin port is, and the admin key as its bearer. */
export interface AdminPeer {
  /** `http://host:port` */
  readonly address: string;
  readonly bearer: string;
}

/** MUST reject with GatewayAdminError, also when there is no answer in time. MUST NOT retry. */
export interface GatewayAdmin {
  state(peer: AdminPeer): Promise<GatewayState>;
  drain(peer: AdminPeer, request: DrainRequest): Promise<void>;
  undrain(peer: AdminPeer): Promise<void>;
  putRouting(peer: AdminPeer, document: RoutingDocument): Promise<void>;
}

export class GatewayAdminError extends Error {
  readonly code = 'gateway-admin';
  /** HTTP status; 0: no answer. */
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

const STATE_BYTES_MAX = 64 * 1024;

export function openGatewayAdmin(options: { readonly timeoutMs: number }): GatewayAdmin {
  const call = async (peer: AdminPeer, method: string, what: { path: string; body?: unknown }): Promise<string> => {
    const headers: Record<string, string> = { authorization: `Bearer ${peer.bearer}` };
    if (what.body !== undefined) headers['content-type'] = 'application/json';
    let response: Response;
    let text: string;
    try {
      response = await fetch(new URL(what.path, peer.address), {
        method,
        headers,
        signal: AbortSignal.timeout(options.timeoutMs),
        ...(what.body === undefined ? {} : { body: JSON.stringify(what.body) }),
      });
      text = await response.text();
    } catch (cause) {
      throw new GatewayAdminError(0, `${method} ${what.path}: no answer (${reasonOf(cause)})`, { cause });
    }
    if (!response.ok || text.length > STATE_BYTES_MAX)
      throw new GatewayAdminError(response.status, `${method} ${what.path}: expected 2xx, got ${response.status}`);
    return text;
  };
  return {
    state: async (peer) => parseGatewayState(await call(peer, 'GET', { path: '/v1/state' })),
    drain: async (peer, request) => void (await call(peer, 'PUT', { path: '/v1/drain', body: request })),
    undrain: async (peer) => void (await call(peer, 'DELETE', { path: '/v1/drain' })),
    putRouting: async (peer, document) => void (await call(peer, 'PUT', { path: '/v1/routing', body: document })),
  };
}

const STATES: readonly string[] = ['starting', 'active', 'draining', 'drained', 'stopping'];
const COUNTS = ['connections', 'sessions', 'unacked'] as const;

/** JSON text → state; a text that is not one means that nothing is known, never that there is nothing. */
export function parseGatewayState(text: string): GatewayState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new GatewayAdminError(200, 'GET /v1/state: expected JSON', { cause });
  }
  if (!isRow(value) || !STATES.includes(String(value['state'])))
    throw new GatewayAdminError(200, `GET /v1/state: expected a state of ${STATES.join(', ')}`);
  for (const name of COUNTS)
    if (!Number.isInteger(value[name]) || Number(value[name]) < 0)
      throw new GatewayAdminError(200, `GET /v1/state: expected a count in ${name}`);
  return value as unknown as GatewayState;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no reason given';
  return error.cause instanceof Error ? error.cause.message : error.message;
}
