// The HorizontalPodAutoscaler of `engine: hpa`: aimed at the PushCluster's own /scale, on connections for each gateway. It never
// touches the StatefulSet, so that what it decides is still a drain.
import { METRIC } from '../../workloads/protocol/metrics-names.ts';
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames } from '../types.ts';
import type { Cluster } from '../types.ts';
import { child } from './metadata.ts';

/** Connections that a gateway shall hold on average; at least 1. */
export function connectionsTarget(cluster: Cluster): number {
  const { autoscaling, gateway } = cluster.spec;
  return Math.max(1, Math.floor((gateway.connectionsPerGateway * (autoscaling?.targetUtilization ?? 100)) / 100));
}

/** Null unless autoscaling is by HPA. */
export function horizontalPodAutoscaler(cluster: Cluster): KubeObject | null {
  const { autoscaling } = cluster.spec;
  if (autoscaling?.engine !== 'hpa') return null;
  const seconds = (ms: number): number => Math.round(ms / 1000);
  return child(
    cluster,
    { kind: KINDS.horizontalPodAutoscaler, name: childNames(cluster.name).gateway, component: 'gateway' },
    {
      spec: {
        scaleTargetRef: {
          apiVersion: KINDS.pushCluster.apiVersion,
          kind: KINDS.pushCluster.kind,
          name: cluster.name,
        },
        minReplicas: autoscaling.minReplicas,
        maxReplicas: autoscaling.maxReplicas,
        metrics: [
          {
            type: 'Pods',
            pods: {
              metric: { name: METRIC.connections },
              target: { type: 'AverageValue', averageValue: String(connectionsTarget(cluster)) },
            },
          },
        ],
        behavior: {
          scaleUp: { stabilizationWindowSeconds: seconds(autoscaling.scaleOutStabilizationMs) },
          scaleDown: { stabilizationWindowSeconds: seconds(autoscaling.scaleInStabilizationMs) },
        },
      },
    },
  );
}
