// The upstream role: messages of clients from the bus to the handlers that the manifest names. It runs only where there is a bus.
import type { KubeObject } from '../kube/port.ts';
import type { Cluster } from '../types.ts';
import { memoryEnv } from './memory-env.ts';
import type { EnvValue } from './pod-template.ts';
import { roleDeployment } from './role-deployment.ts';

const SCRATCH_DIR = '/var/lib/pushcluster';

export function upstreamDeployment(cluster: Cluster): KubeObject {
  const { upstream } = cluster.spec;
  const { databaseRef } = upstream;
  const database: EnvValue =
    databaseRef === null ? `sqlite:${SCRATCH_DIR}/upstream.sqlite` : { secret: databaseRef.name, key: databaseRef.key };
  return roleDeployment(cluster, 'upstream', {
    env: {
      PUSHCLUSTER_UPSTREAM_HANDLERS: JSON.stringify(upstream.handlers),
      PUSHCLUSTER_UPSTREAM_DATABASE: database,
      PUSHCLUSTER_UPSTREAM_ATTEMPTS_MAX: String(upstream.attempts),
      PUSHCLUSTER_UPSTREAM_TIMEOUT_MS: String(upstream.timeoutMs),
      PUSHCLUSTER_UPSTREAM_HOLD_MS: String(upstream.holdMs),
      ...memoryEnv('PUSHCLUSTER_UPSTREAM_MEMORY_BYTES_MAX', upstream, 'upstream'),
      PUSHCLUSTER_WEBHOOK_PRIVATE: String(cluster.spec.webhooks.allowPrivateAddresses),
    },
    keyFiles: ['link', 'admin', 'webhook'],
    ports: {},
    hasApiAccess: false,
    scratch: SCRATCH_DIR,
  });
}
