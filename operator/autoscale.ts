// The builtin autoscaler: connections over all gateways → replicas. Scale-out follows need at once (or after its stabilisation),
// scale-in only after fewer were enough for the whole stabilisation, and never below the most that was needed in it. Its only
// memory is status.autoscaling, so a restarted operator goes on where the last one was. Pure; plan.ts calls it.
import { judgeMetrics } from './trust.ts';
import { connectionsTarget } from './manifests/autoscaling.ts';
import type { AutoscalingStatus, Cluster, Observed } from './types.ts';
import type { AutoscalingSpec } from './spec.ts';

/** Need within this share of the target is no reason to move: the HPA's own tolerance. */
const TOLERANCE = 0.1;

/** What shall be; `replicas` differs from the spec's when it must be changed. Null: not by this engine. */
export function decideReplicas(
  cluster: Cluster,
  observed: Observed,
  nowMs: number,
): { readonly replicas: number; readonly status: AutoscalingStatus } | null {
  const { autoscaling, gateway } = cluster.spec;
  if (autoscaling?.engine !== 'builtin') return null;
  const current = gateway.replicas;
  const bounded = Math.min(autoscaling.maxReplicas, Math.max(autoscaling.minReplicas, current));
  if (bounded !== current) return at(bounded, `within ${autoscaling.minReplicas} to ${autoscaling.maxReplicas}`);
  const need = needOf(cluster, observed, autoscaling);
  if (need > current) return scaleOut({ cluster, autoscaling, need, nowMs });
  if (need === current) return at(current, 'as many as needed');
  const trust = judgeMetrics(cluster, observed);
  const isPartial = observed.gateways.some((g) => g.answer.kind === 'unknown') || observed.gateways.length < current;
  if (!trust.isTrusted || isPartial)
    return at(
      current,
      trust.isTrusted ? 'scale-in waits: not every gateway answered' : `scale-in frozen: ${trust.reason}`,
    );
  return scaleIn({ cluster, autoscaling, need, nowMs });
}

/** Gateways needed for the connections that are known; within the tolerance it is as many as there are. */
function needOf(cluster: Cluster, observed: Observed, autoscaling: AutoscalingSpec): number {
  const total = observed.gateways.reduce(
    (sum, g) => sum + (g.answer.kind === 'state' ? g.answer.state.connections : 0),
    0,
  );
  const target = connectionsTarget(cluster);
  const current = cluster.spec.gateway.replicas;
  const exact = total / target;
  const need = Math.abs(exact / Math.max(1, current) - 1) <= TOLERANCE ? current : Math.ceil(exact);
  return Math.min(autoscaling.maxReplicas, Math.max(autoscaling.minReplicas, need));
}

interface Wanted {
  readonly cluster: Cluster;
  readonly autoscaling: AutoscalingSpec;
  readonly need: number;
  readonly nowMs: number;
}

function scaleOut({ cluster, autoscaling, need, nowMs }: Wanted): ReturnType<typeof decideReplicas> {
  const before = cluster.status?.autoscaling;
  const since = before?.highSince ?? new Date(nowMs).toISOString();
  const floor = Math.min(need, before?.highSince == null ? need : (before.highFloor ?? need));
  if (nowMs - Date.parse(since) >= autoscaling.scaleOutStabilizationMs) return at(floor, 'more are needed');
  const reason = 'more are needed: stabilising';
  return {
    replicas: cluster.spec.gateway.replicas,
    status: { ...memory(floor, reason), highSince: since, highFloor: floor },
  };
}

function scaleIn({ cluster, autoscaling, need, nowMs }: Wanted): ReturnType<typeof decideReplicas> {
  const before = cluster.status?.autoscaling;
  const since = before?.lowSince ?? new Date(nowMs).toISOString();
  const peak = Math.max(need, before?.lowSince == null ? need : (before.lowPeak ?? need));
  if (nowMs - Date.parse(since) >= autoscaling.scaleInStabilizationMs) return at(peak, 'fewer are enough');
  const reason = 'fewer are enough: stabilising';
  return {
    replicas: cluster.spec.gateway.replicas,
    status: { ...memory(peak, reason), lowSince: since, lowPeak: peak },
  };
}

function at(replicas: number, reason: string): { readonly replicas: number; readonly status: AutoscalingStatus } {
  return { replicas, status: memory(replicas, reason) };
}
function memory(desired: number, reason: string): AutoscalingStatus {
  return { desired, reason, lowSince: null, lowPeak: null, highSince: null, highFloor: null };
}
