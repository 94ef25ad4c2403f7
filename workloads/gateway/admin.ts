// The gateway's part of the admin port (protocol/admin.ts): its exact state, drains, and the routing document. The operator calls it.
import { busState } from '../bus/port.ts';
import type { GatewayState } from '../protocol/admin.ts';
import { RefusedError } from '../protocol/codes.ts';
import { InvalidDocumentError, parseRoutingDocument } from '../protocol/routing.ts';
import type { Readiness } from '../runtime/admin-http.ts';
import type { HttpRoute } from '../runtime/http.ts';
import type { DrainOrder } from './drain/drain.ts';
import type { Gateway } from './gateway.ts';

const REASONS = ['drain', 'rollout', 'rebalance'] as const;
const TARGETS_MAX = 64;

export function adminRoutes(gateway: Gateway): HttpRoute[] {
  return [
    { method: 'GET', path: '/v1/state', handler: () => ({ status: 200, body: stateOf(gateway) }) },
    {
      method: 'PUT',
      path: '/v1/drain',
      handler(request) {
        if (gateway.state.life === 'stopping') throw new RefusedError('overloaded', 'the gateway is stopping');
        gateway.drain.put(parseDrain(request.body));
        return { status: 200, body: stateOf(gateway) };
      },
    },
    {
      method: 'DELETE',
      path: '/v1/drain',
      handler() {
        if (gateway.state.life !== 'stopping') gateway.drain.cancel();
        return { status: 200, body: stateOf(gateway) };
      },
    },
    {
      method: 'PUT',
      path: '/v1/routing',
      handler(request) {
        gateway.targets.update(parseRouting(request.bytes));
        return { status: 204 };
      },
    },
  ];
}

/** What this gateway is doing now, counted, not estimated. */
export function stateOf(gateway: Gateway): GatewayState {
  const { name, bootId, directory, counts, targets, drain } = gateway;
  const connections = directory.connections.length;
  return {
    name,
    bootId,
    state: lifeOf(gateway, connections),
    connections,
    sessions: directory.sessions,
    unacked: counts.unacked,
    routingRevision: targets.revision,
    drain: drain.state(),
    resumed: counts.resumed,
    opened: counts.opened,
    store: storeOf(gateway),
    bus: busState(gateway.bus),
    shedding: gateway.shedding.level,
    intakePaused: gateway.shedding.intakePaused,
    drainers: gateway.state.peers('drainer').length,
    backlogs: gateway.backlog.sessions,
    provisional: gateway.provisional.size,
  };
}

/** Ready from the first confirmed lease until it drains or stops, whatever the store or the load do afterwards. */
export function readinessOf(gateway: Gateway): Readiness {
  const { state, drain, directory, settings } = gateway;
  return {
    ready: state.life === 'active' && !drain.refusesClients,
    details: {
      state: lifeOf(gateway, directory.connections.length),
      store: storeOf(gateway),
      links: state.peers().length,
      drainers: state.peers('drainer').length,
      backlogs: gateway.backlog.sessions,
      provisional: gateway.provisional.size,
      shedding: gateway.shedding.level,
      intakePaused: gateway.shedding.intakePaused,
      upstreamBufferedBytes: gateway.upstream.bufferedBytes,
      bus: busState(gateway.bus),
      busProblem: gateway.bus?.health().problem ?? null,
      connections: directory.connections.length,
      connectionsMax: settings.connectionsMax,
    },
  };
}

function storeOf({ state }: Gateway): GatewayState['store'] {
  return state.storeReachable ? 'reachable' : 'away';
}

function lifeOf({ state, drain }: Gateway, connections: number): GatewayState['state'] {
  if (state.life !== 'active') return state.life;
  if (!drain.refusesClients) return 'active';
  return connections === 0 ? 'drained' : 'draining';
}

function parseRouting(bytes: Buffer): ReturnType<typeof parseRoutingDocument> {
  try {
    return parseRoutingDocument(bytes.toString());
  } catch (error) {
    if (!(error instanceof InvalidDocumentError)) throw error;
    throw new RefusedError('invalid-request', error.message, { cause: error });
  }
}

/** Body of PUT /v1/drain → order; throws RefusedError that names the field. */
export function parseDrain(body: unknown): DrainOrder {
  if (typeof body !== 'object' || body === null) throw refused('body', 'an object', body);
  const row = body as Record<string, unknown>;
  const { generation, reason, rate, deadlineMs, targets, count } = row;
  const known = REASONS.find((each) => each === reason);
  if (typeof generation !== 'string' || generation === '') throw refused('generation', 'a text', generation);
  if (known === undefined) throw refused('reason', `one of ${REASONS.join(', ')}`, reason);
  if (!isNumber(rate) || rate <= 0) throw refused('rate', 'a number above 0', rate);
  if (!isNumber(deadlineMs) || deadlineMs <= 0) throw refused('deadlineMs', 'ms since 1970', deadlineMs);
  if (!isTexts(targets) || targets.length > TARGETS_MAX)
    throw refused('targets', `a list of at most ${TARGETS_MAX} texts`, targets);
  if (count !== undefined && (!isNumber(count) || count < 0)) throw refused('count', 'a number of at least 0', count);
  const order = { generation, reason: known, rate, deadlineMs, targets };
  return count === undefined ? order : { ...order, count };
}

function refused(field: string, expected: string, got: unknown): RefusedError {
  const shown = got === undefined ? 'nothing' : (JSON.stringify(got) ?? typeof got).slice(0, 60);
  return new RefusedError('invalid-request', `${field}: expected ${expected}, got ${shown}`, { field });
}
function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
