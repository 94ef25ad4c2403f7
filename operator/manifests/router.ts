// The router: the push API over HTTP and over TCP, linked to every gateway and to the other routers with the link key. It signs
// webhooks with a key of its own.
import type { KubeObject } from '../kube/port.ts';
import type { Cluster } from '../types.ts';
import { memoryEnv } from './memory-env.ts';
import { configEnv } from './pod-template.ts';
import { HTTP_PORTS, roleDeployment, roleService } from './role-deployment.ts';

/** `tcp`: the push API's second door. `link`: other routers forward live messages here. */
export const ROUTER_PORTS = { http: HTTP_PORTS.router, tcp: 8083, link: 7070 } as const;

export function routerDeployment(cluster: Cluster): KubeObject {
  const { router, webhooks } = cluster.spec;
  return roleDeployment(cluster, 'router', {
    env: {
      ...configEnv(cluster),
      PUSHCLUSTER_HTTP_PORT: String(ROUTER_PORTS.http),
      PUSHCLUSTER_TCP_PORT: String(ROUTER_PORTS.tcp),
      PUSHCLUSTER_LINK_PORT: String(ROUTER_PORTS.link),
      PUSHCLUSTER_LINK_HOST: { fieldPath: 'status.podIP' },
      PUSHCLUSTER_WEBHOOK_PRIVATE: String(webhooks.allowPrivateAddresses),
      PUSHCLUSTER_INTAKE_BYTES_PER_SECOND: String(router.bandwidthBytesPerSecond),
      ...memoryEnv('PUSHCLUSTER_INTAKE_MEMORY_BYTES_MAX', router, 'router'),
    },
    keyFiles: ['link', 'webhook'],
    ports: ROUTER_PORTS,
    hasApiAccess: true,
  });
}

export function routerService(cluster: Cluster): KubeObject {
  return roleService(cluster, 'router', { tcp: ROUTER_PORTS.tcp });
}
