// What the operator makes of what it saw: who leaves, who takes clients with what weight, the routing document, the budget's shares,
// whether counts are trusted, how many replicas the builtin autoscaler wants. plan.ts turns it into writes, status.ts into words,
// so both speak of the same. Pure.
import type { GatewayName } from '../workloads/protocol/ids.ts';
import type { RoutedGateway, RoutingDocument } from '../workloads/protocol/routing.ts';
import { decideReplicas } from './autoscale.ts';
import { grantRates } from './budget.ts';
import { planDrains } from './drain.ts';
import type { DrainPlan, GatewayPlan } from './drain.ts';
import { isNodeLost, sessionsOf } from './gateway-state.ts';
import { gatewayAddress } from './manifests/gateway.ts';
import { routingDocument } from './manifests/routing.ts';
import { judgeMetrics } from './trust.ts';
import type { Trust } from './trust.ts';
import type { AutoscalingStatus, Cluster, Observed } from './types.ts';
import { tuneWeight, WEIGHT_DEFAULT } from './weights.ts';

/** A goaway carries a few places to go; more only makes it longer. */
const TARGETS_MAX = 16;

export interface Assessment {
  readonly nowMs: number;
  readonly drains: DrainPlan;
  readonly document: RoutingDocument;
  /** Rate that each draining gateway is to have now; those without one wait for the budget. */
  readonly rates: ReadonlyMap<string, number>;
  /** Where clients of draining gateways go, best first. */
  readonly targets: readonly string[];
  readonly trust: Trust;
  readonly autoscaling: { readonly replicas: number; readonly status: AutoscalingStatus } | null;
}

export function assess(cluster: Cluster, observed: Observed, nowMs: number): Assessment {
  const trust = judgeMetrics(cluster, observed);
  const isFrozen = cluster.spec.autoscaling !== null && !trust.isTrusted;
  const drains = planDrains(cluster, observed, { nowMs, isFrozen });
  const rows = drains.gateways.map((plan) => routedGateway(cluster, observed, plan)).filter((row) => row !== null);
  const document = routingDocument({ cluster: cluster.name, strategy: cluster.spec.routing.strategy, gateways: rows });
  return {
    nowMs,
    drains,
    document,
    rates: ratesOf(cluster, observed, { drains, nowMs }),
    targets: targetsOf(drains, document),
    trust,
    autoscaling: cluster.deletedAtMs === null ? decideReplicas(cluster, observed, nowMs) : null,
  };
}

/** A gateway's row; null while it has no address. One that is on record keeps the address it had. */
function routedGateway(cluster: Cluster, observed: Observed, plan: GatewayPlan): RoutedGateway | null {
  const { gateway } = plan;
  const before = observed.routing?.gateways.find((row) => row.name === gateway.name);
  const service = observed.services.get(gateway.name);
  const address = gatewayAddress(cluster, gateway.ordinal, { pod: gateway.pod, service }) ?? before?.addresses.ws;
  if (address === undefined) return null;
  return {
    name: gateway.name as GatewayName,
    addresses: { ws: address },
    weight: weightOf(cluster, plan, before?.weight ?? null),
    state: plan.phase === 'waiting' ? 'active' : plan.phase,
    capacity: cluster.spec.gateway.connectionsPerGateway,
    since: plan.since,
  };
}

function weightOf(cluster: Cluster, plan: GatewayPlan, before: number | null): number {
  if (plan.phase !== 'active') return 0;
  const { weights, auto } = cluster.spec.routing;
  const byHand = weights[plan.gateway.name];
  if (byHand !== undefined) return byHand;
  if (!auto) return WEIGHT_DEFAULT;
  const { answer } = plan.gateway;
  return tuneWeight({
    connections: answer.kind === 'state' ? answer.state.connections : null,
    capacity: cluster.spec.gateway.connectionsPerGateway,
    weight: before,
  });
}

function ratesOf(
  cluster: Cluster,
  observed: Observed,
  when: { readonly drains: DrainPlan; readonly nowMs: number },
): ReadonlyMap<string, number> {
  const spenders = when.drains.gateways
    .filter((plan) => plan.phase === 'draining' && !plan.isDrained)
    .map((plan) => ({
      name: plan.gateway.name,
      left: sessionsOf(plan.gateway),
      ratePerSecond: rateOf(observed, plan, when.nowMs),
    }));
  return grantRates(cluster.spec.disruption.reconnectsPerSecond, spenders);
}

/** What it spends now; null: not known. One that is not on record was told nothing, and past its deadline it has closed all. */
function rateOf(observed: Observed, plan: GatewayPlan, nowMs: number): number | null {
  const { answer, name, pod } = plan.gateway;
  if (answer.kind === 'state') return answer.state.drain?.ratePerSecond ?? 0;
  const row = observed.routing?.gateways.find((r) => r.name === name);
  const mayBeTold = observed.routing === null || row?.state === 'draining';
  return mayBeTold && nowMs < plan.deadlineMs && !isNodeLost(pod) ? null : 0;
}

/** Those of the new revision first, so that a client moves once in a rollout; then the emptiest. */
function targetsOf(drains: DrainPlan, document: RoutingDocument): readonly string[] {
  const rows = new Map(document.gateways.map((row) => [String(row.name), row]));
  return drains.gateways
    .filter((plan) => plan.phase === 'active' && (rows.get(plan.gateway.name)?.weight ?? 0) > 0)
    .toSorted((a, b) => Number(a.isOutdated) - Number(b.isOutdated) || loadOf(a) - loadOf(b))
    .slice(0, TARGETS_MAX)
    .map((plan) => rows.get(plan.gateway.name)!.addresses.ws);
}

function loadOf({ gateway }: GatewayPlan): number {
  return gateway.answer.kind === 'state' ? gateway.answer.state.connections : Number.POSITIVE_INFINITY;
}
