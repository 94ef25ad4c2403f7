// The routing document: what the operator writes into the routing ConfigMap (key `routing.json`), the registry watches, and
// the operator hands to each gateway's admin port. Pure types and a parser; bad documents are refused whole by field.
import type { GatewayName } from './ids.ts';

export const STRATEGIES = ['round-robin', 'hash-mod', 'consistent-hash', 'weighted', 'least-loaded'] as const;
/** How the registry picks a gateway for a device (A3). `weighted` uses weights as set; `least-loaded` has them tuned. */
export type Strategy = (typeof STRATEGIES)[number];

export interface GatewayAddresses {
  /** WebSocket URL that clients use, `ws://host:port/` or `wss://…`. */
  readonly ws: string;
}

export interface RoutedGateway {
  readonly name: GatewayName;
  readonly addresses: GatewayAddresses;
  /** 0–1000; 0 = takes no new clients. */
  readonly weight: number;
  readonly state: 'active' | 'draining' | 'starting';
  /** Connections it is sized for. */
  readonly capacity: number;
  /** When `state` began, ISO 8601. */
  readonly since: string;
}

export interface RoutingDocument {
  readonly version: 1;
  /** Changes whenever anything else in the document does: a hash of it. */
  readonly revision: string;
  readonly cluster: string;
  readonly strategy: Strategy;
  readonly gateways: readonly RoutedGateway[];
}

export const ROUTING_KEY = 'routing.json';

/** The document or the gateways in it are not of the form this version reads. */
export class InvalidDocumentError extends Error {
  readonly code = 'invalid-document';
}

/** JSON text → routing document. Unknown fields are ignored (a newer operator may write them). Throws InvalidDocumentError. */
export function parseRoutingDocument(text: string): RoutingDocument {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InvalidDocumentError('routing document: expected JSON', { cause: error });
  }
  const root = object(value, 'routing document');
  if (root['version'] !== 1) throw new InvalidDocumentError(`version: expected 1, got ${String(root['version'])}`);
  const strategy = STRATEGIES.find((known) => known === root['strategy']);
  if (strategy === undefined) {
    throw new InvalidDocumentError(
      `strategy: expected one of ${STRATEGIES.join(', ')}, got ${String(root['strategy'])}`,
    );
  }
  const list = root['gateways'];
  if (!Array.isArray(list)) throw new InvalidDocumentError('gateways: expected a list');
  return {
    version: 1,
    revision: string(root['revision'], 'revision'),
    cluster: string(root['cluster'], 'cluster'),
    strategy,
    gateways: list.map((item: unknown, i) => parseGateway(item, `gateways[${i}]`)),
  };
}

function parseGateway(value: unknown, at: string): RoutedGateway {
  const row = object(value, at);
  const addresses = object(row['addresses'], `${at}.addresses`);
  const state = row['state'];
  if (state !== 'active' && state !== 'draining' && state !== 'starting') {
    throw new InvalidDocumentError(`${at}.state: expected active, draining or starting, got ${String(state)}`);
  }
  return {
    name: string(row['name'], `${at}.name`) as GatewayName,
    addresses: { ws: string(addresses['ws'], `${at}.addresses.ws`) },
    weight: number(row['weight'], `${at}.weight`),
    state,
    capacity: number(row['capacity'], `${at}.capacity`),
    since: string(row['since'], `${at}.since`),
  };
}

function object(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new InvalidDocumentError(`${at}: expected an object`);
}
function string(value: unknown, at: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new InvalidDocumentError(`${at}: expected a text`);
}
function number(value: unknown, at: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidDocumentError(`${at}: expected a number of at least 0`);
}
