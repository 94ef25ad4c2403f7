// The drainer: feeds backlogs to gateways at a pace of its own, apart from live traffic. It opens links; nobody connects to it but
// probes and scrapers.
import type { KubeObject } from '../kube/port.ts';
import type { Cluster } from '../types.ts';
import { roleDeployment } from './role-deployment.ts';

export function drainerDeployment(cluster: Cluster): KubeObject {
  return roleDeployment(cluster, 'drainer', {
    env: {
      PUSHCLUSTER_DRAINER_NAME: { fieldPath: 'metadata.name' },
      PUSHCLUSTER_DRAINER_ENTRIES_PER_SECOND: String(cluster.spec.drainer.entriesPerSecond),
      PUSHCLUSTER_DRAINER_BYTES_PER_SECOND: String(cluster.spec.drainer.bytesPerSecond),
    },
    keyFiles: ['link'],
    ports: {},
    hasApiAccess: false,
  });
}
