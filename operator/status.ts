// The status of a PushCluster, from what was observed and made of it: what kubectl shows, what HPA and the next operator read.
// reconcile.ts writes it when it differs from what is there. Pure.
import type { Assessment } from './assess.ts';
import { describeConditions, refusedConditions } from './conditions.ts';
import type { Subject } from './conditions.ts';
import type { GatewayPlan } from './drain.ts';
import { isServing, sessionsOf } from './gateway-state.ts';
import { roleAddress } from './manifests/role-deployment.ts';
import { selectorLabels } from './manifests/metadata.ts';
import { childNames, LABEL_COMPONENT } from './types.ts';
import type { Cluster, ClusterStatus, DrainStatus, GatewayStatus, Observed } from './types.ts';

/** Gateways listed one by one; a status must stay well below the 1.5 MB of an object. */
const GATEWAYS_LISTED_MAX = 1000;

export function describeStatus(subject: Subject, failure: string | null): ClusterStatus {
  const { cluster, observed, assessment } = subject;
  const answers = observed.gateways.map((g) => g.answer);
  return {
    observedGeneration: cluster.generation,
    replicas: observed.gateways.length,
    selector: selectorText(cluster),
    readyGateways: observed.gateways.filter((g) => isServing(g)).length,
    connections: answers.reduce((sum, answer) => sum + (answer.kind === 'state' ? answer.state.connections : 0), 0),
    connectionsUnknown: answers.filter((answer) => answer.kind === 'unknown').length,
    gateways: assessment.drains.gateways.slice(0, GATEWAYS_LISTED_MAX).map((g) => describeGateway(assessment, g)),
    drain: describeDrain(assessment),
    autoscaling: assessment.autoscaling?.status ?? null,
    routingRevision: assessment.document.revision,
    revision: observed.gatewaySet?.status?.updateRevision ?? null,
    registryAddress: addressOfRole(cluster, observed, 'registry'),
    routerAddress: addressOfRole(cluster, observed, 'router'),
    conditions: describeConditions(subject, failure),
  };
}

/** The status of a resource that parse.ts refused: as it was, but for what it says of the manifest. */
export function describeRefusal(
  resource: { readonly name: string; readonly generation: number; readonly status: ClusterStatus | null },
  problems: readonly string[],
  nowMs: number,
): Partial<ClusterStatus> {
  return {
    ...resource.status,
    observedGeneration: resource.generation,
    conditions: refusedConditions(resource, problems, nowMs),
  };
}

function selectorText(cluster: Cluster): string {
  return Object.entries(selectorLabels(cluster, 'gateway'))
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

function describeGateway(assessment: Assessment, plan: GatewayPlan): GatewayStatus {
  const { gateway } = plan;
  const row = assessment.document.gateways.find((r) => r.name === gateway.name);
  const isUnknown = gateway.answer.kind === 'unknown' && plan.phase !== 'starting';
  return {
    name: gateway.name,
    state: isUnknown ? 'unknown' : stateOf(plan),
    connections: gateway.answer.kind === 'state' ? gateway.answer.state.connections : null,
    weight: row?.weight ?? 0,
    address: row?.addresses.ws ?? '',
    outdated: plan.isOutdated,
  };
}

function stateOf(plan: GatewayPlan): GatewayStatus['state'] {
  if (plan.phase === 'draining') return plan.isDrained ? 'drained' : 'draining';
  return plan.phase === 'starting' ? 'starting' : 'active';
}

function describeDrain({ drains, rates, nowMs }: Assessment): DrainStatus | null {
  const leaving = drains.gateways.filter((g) => g.phase === 'draining');
  const [first] = leaving;
  if (first === undefined) return null;
  const counts = leaving.map((g) => sessionsOf(g.gateway));
  const left = counts.includes(null) ? null : counts.reduce<number>((sum, n) => sum + (n ?? 0), 0);
  const rate = leaving.reduce((sum, g) => sum + (rates.get(g.gateway.name) ?? 0), 0);
  const since = leaving.map((g) => g.since).sort()[0] ?? new Date(nowMs).toISOString();
  return {
    gateway: leaving.map((g) => g.gateway.name).join(','),
    reason: [...new Set(leaving.map((g) => g.reason ?? 'called off'))].join(','),
    left,
    ratePerSecond: Math.round(rate * 100) / 100,
    etaSeconds: left === null || (rate === 0 && left > 0) ? null : left === 0 ? 0 : Math.ceil(left / rate),
    startedAt: since,
    deadline: new Date(Math.max(...leaving.map((g) => g.deadlineMs))).toISOString(),
  };
}

function addressOfRole(cluster: Cluster, observed: Observed, role: 'registry' | 'router'): string | null {
  const service = observed.services.get(childNames(cluster.name)[role]);
  const anyPod = observed.rolePods.find((pod) => pod.metadata.labels?.[LABEL_COMPONENT] === role);
  return roleAddress(cluster, role, { service, deployment: observed[role], anyPod });
}
