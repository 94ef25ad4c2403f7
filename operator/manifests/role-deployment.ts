// What the roles apart from the gateways have alike: a Deployment that is replaced one by one; registry and router with a Service in
// front. registry.ts, router.ts, drainer.ts and upstream.ts say what differs.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import type { DeploymentView, PodView, ServiceView } from '../kube/objects.ts';
import { ANNOTATION_HTTP_ADDRESS, childNames } from '../types.ts';
import type { Cluster } from '../types.ts';
import type { WorkerSpec } from '../spec.ts';
import { fillTemplate } from './gateway.ts';
import { child, selectorLabels } from './metadata.ts';
import { roleTemplate } from './pod-template.ts';
import type { RolePod } from './pod-template.ts';

export const ADMIN_PORT = 9090;
/** Requests under way are finished; clients of the HTTP APIs hold nothing longer. */
const TERMINATION_GRACE_SECONDS = 60;

export type HttpRole = 'registry' | 'router';
export const HTTP_PORTS: Readonly<Record<HttpRole, number>> = { registry: 8082, router: 8081 };

/** Everything but the gateways. */
export type DeployedRole = HttpRole | 'drainer' | 'upstream';

export function roleDeployment(
  cluster: Cluster,
  role: DeployedRole,
  pod: Pick<RolePod, 'env' | 'keyFiles' | 'ports' | 'hasApiAccess'> & Partial<Pick<RolePod, 'scratch'>>,
): KubeObject {
  const name = childNames(cluster.name)[role];
  const spec: WorkerSpec = cluster.spec[role];
  const template = roleTemplate(cluster, {
    ...pod,
    component: role,
    serviceAccount: name,
    shape: spec,
    ports: { ...pod.ports, admin: ADMIN_PORT },
    terminationGraceSeconds: TERMINATION_GRACE_SECONDS,
  });
  return child(
    cluster,
    { kind: KINDS.deployment, name, component: role },
    {
      spec: {
        replicas: spec.replicas,
        revisionHistoryLimit: 5,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        selector: { matchLabels: selectorLabels(cluster, role) },
        template,
      },
    },
  );
}

export function roleService(cluster: Cluster, role: HttpRole, more: Readonly<Record<string, number>> = {}): KubeObject {
  const ports = { http: HTTP_PORTS[role], ...more };
  return child(
    cluster,
    { kind: KINDS.service, name: childNames(cluster.name)[role], component: role },
    {
      spec: {
        type: cluster.spec[role].exposure.type,
        selector: selectorLabels(cluster, role),
        ports: Object.entries(ports).map(([port, number]) => ({
          name: port,
          port: number,
          targetPort: port,
          protocol: 'TCP',
        })),
      },
    },
  );
}

/** Where clients of an HTTP role reach it; null while it is not known. */
export function roleAddress(
  cluster: Cluster,
  role: HttpRole,
  seen: {
    readonly service: ServiceView | undefined;
    readonly deployment: DeploymentView | null;
    readonly anyPod: PodView | undefined;
  },
): string | null {
  for (const holder of [seen.service, seen.deployment]) {
    const annotated = holder?.metadata.annotations?.[ANNOTATION_HTTP_ADDRESS];
    if (annotated !== undefined) return annotated;
  }
  const { exposure } = cluster.spec[role];
  const port = seen.service?.spec?.ports?.find((p) => p.name === 'http');
  const byType =
    exposure.type === 'NodePort' ? 'http://{hostIP}:{nodePort}' : `http://{name}.{namespace}.svc:${HTTP_PORTS[role]}`;
  return fillTemplate(exposure.addressTemplate ?? byType, {
    name: childNames(cluster.name)[role],
    namespace: cluster.namespace,
    hostIP: seen.anyPod?.status?.hostIP,
    nodePort: port?.nodePort?.toString(),
    clusterIP: seen.service?.spec?.clusterIP,
  });
}
