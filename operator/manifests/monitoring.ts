// PodMonitor for clusters with the Prometheus operator: scrapes the admin port of every role. plan.ts leaves it out where that
// CRD is not there.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { LABEL_CLUSTER } from '../types.ts';
import type { Cluster } from '../types.ts';
import { child } from './metadata.ts';

/** Null where the manifest wants none. */
export function podMonitor(cluster: Cluster): KubeObject | null {
  const { observability } = cluster.spec;
  if (!observability.podMonitor) return null;
  return child(
    cluster,
    { kind: KINDS.podMonitor, name: cluster.name, component: null, labels: observability.podMonitorLabels },
    {
      spec: {
        selector: { matchLabels: { [LABEL_CLUSTER]: cluster.name } },
        podMetricsEndpoints: [{ port: 'admin', path: '/metrics' }],
      },
    },
  );
}
