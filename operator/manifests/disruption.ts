// PodDisruptionBudgets: what evictions (kubectl drain, cluster-autoscaler) may take away at once. The operator's own removals are
// not evictions; drain.ts holds them to the same number.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames } from '../types.ts';
import type { Cluster, Component } from '../types.ts';
import { child, selectorLabels } from './metadata.ts';

export function disruptionBudgets(cluster: Cluster): readonly KubeObject[] {
  return [
    budget(cluster, 'gateway', cluster.spec.disruption.maxUnavailable),
    budget(cluster, 'registry', 1),
    budget(cluster, 'router', 1),
    budget(cluster, 'drainer', 1),
    ...(cluster.spec.bus === null ? [] : [budget(cluster, 'upstream', 1)]),
  ];
}

function budget(cluster: Cluster, component: Exclude<Component, 'store'>, maxUnavailable: number): KubeObject {
  return child(
    cluster,
    { kind: KINDS.podDisruptionBudget, name: childNames(cluster.name)[component], component },
    {
      spec: {
        maxUnavailable,
        selector: { matchLabels: selectorLabels(cluster, component) },
        // A pod that never became Ready holds no sessions: evicting it is always allowed.
        unhealthyPodEvictionPolicy: 'AlwaysAllow',
      },
    },
  );
}
