// The registry: the only role that holds the private part of the token keys.
import type { KubeObject } from '../kube/port.ts';
import type { Cluster } from '../types.ts';
import { configEnv } from './pod-template.ts';
import { HTTP_PORTS, roleDeployment } from './role-deployment.ts';

export function registryDeployment(cluster: Cluster): KubeObject {
  const { auth, gateway } = cluster.spec;
  return roleDeployment(cluster, 'registry', {
    env: {
      ...configEnv(cluster),
      PUSHCLUSTER_HTTP_PORT: String(HTTP_PORTS.registry),
      PUSHCLUSTER_TOKEN_TTL_MS: String(auth.tokenTtlMs),
      PUSHCLUSTER_HEARTBEAT_INTERVAL_MS: String(gateway.heartbeatIntervalMs),
    },
    keyFiles: ['tokenPrivate', 'tokenPublic'],
    ports: { http: HTTP_PORTS.registry },
    hasApiAccess: true,
  });
}
