// The router: the push API, linked to every gateway with the link key.
import type { KubeObject } from '../kube/port.ts';
import type { Cluster } from '../types.ts';
import { configEnv } from './pod-template.ts';
import { HTTP_PORTS, roleDeployment } from './role-deployment.ts';

export function routerDeployment(cluster: Cluster): KubeObject {
  return roleDeployment(cluster, 'router', {
    env: { ...configEnv(cluster), PUSHCLUSTER_HTTP_PORT: String(HTTP_PORTS.router) },
    keyFiles: ['link'],
  });
}
