// The pod template of our own roles: restricted pod security, ports, probes, keys, scheduling, and the user's overlay on top.
// gateway.ts and role-deployment.ts fill it in.
import { KEY_FILES } from '../../workloads/protocol/credentials.ts';
import { mergeFields } from '../kube/fields.ts';
import { childNames } from '../types.ts';
import type { Cluster, Component } from '../types.ts';
import type { PodShape } from '../spec.ts';
import { busEnv } from './bus-env.ts';
import { labelsOf, selectorLabels } from './metadata.ts';
import { storeEnv, storeVolume } from './store-env.ts';

export const KEYS_DIR = '/etc/pushcluster/keys';
const USER = 65_532;
const SCRATCH_SIZE = '1Gi';

/** What the restricted Pod Security Standard asks of a pod. */
export const POD_SECURITY = {
  runAsNonRoot: true,
  runAsUser: USER,
  runAsGroup: USER,
  fsGroup: USER,
  seccompProfile: { type: 'RuntimeDefault' },
} as const;
/** And of a container. */
export const CONTAINER_SECURITY = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
} as const;

export type EnvValue = string | { readonly fieldPath: string } | { readonly secret: string; readonly key: string };
type RoleComponent = Exclude<Component, 'store'>;

export interface RolePod {
  readonly component: RoleComponent;
  readonly serviceAccount: string;
  /** Whether it watches ConfigMaps with its ServiceAccount. */
  readonly hasApiAccess: boolean;
  readonly shape: PodShape;
  readonly ports: Readonly<Record<string, number>>;
  readonly env: Readonly<Record<string, EnvValue>>;
  readonly keyFiles: readonly (keyof typeof KEY_FILES)[];
  readonly terminationGraceSeconds: number;
  /** A folder that can be written to and goes with the pod. */
  readonly scratch?: string;
}

/** Pod template of one of our roles. */
export function roleTemplate(cluster: Cluster, role: RolePod): Readonly<Record<string, unknown>> {
  const labels = labelsOf(cluster, role.component);
  const base = { metadata: { labels }, spec: podSpec(cluster, role) };
  const merged = mergeFields(base, role.shape.podTemplate) as typeof base;
  return { ...merged, metadata: { ...merged.metadata, labels: { ...merged.metadata.labels, ...labels } } };
}

function podSpec(cluster: Cluster, role: RolePod): Readonly<Record<string, unknown>> {
  const { spec } = cluster;
  return {
    serviceAccountName: role.serviceAccount,
    automountServiceAccountToken: role.hasApiAccess,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: role.terminationGraceSeconds,
    securityContext: POD_SECURITY,
    ...(spec.imagePullSecrets.length > 0 ? { imagePullSecrets: spec.imagePullSecrets.map((name) => ({ name })) } : {}),
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: selectorLabels(cluster, role.component) },
      },
    ],
    ...role.shape.scheduling,
    containers: [container(cluster, role)],
    volumes: [
      keysVolume(cluster, role),
      ...storeVolume(cluster).volumes,
      ...(role.scratch === undefined ? [] : [{ name: 'scratch', emptyDir: { sizeLimit: SCRATCH_SIZE } }]),
    ],
  };
}

function container(cluster: Cluster, role: RolePod): Readonly<Record<string, unknown>> {
  const probe = (path: string): object => ({ httpGet: { path, port: 'admin', scheme: 'HTTP' }, timeoutSeconds: 3 });
  return {
    name: role.component,
    image: cluster.spec.image,
    imagePullPolicy: cluster.spec.imagePullPolicy,
    command: ['node', `dist/workloads/${role.component}/main.js`],
    workingDir: '/app',
    env: Object.entries({ ...sharedEnv(cluster), ...role.env }).map(([name, value]) => renderEnv(name, value)),
    ports: Object.entries(role.ports).map(([name, port]) => ({ name, containerPort: port, protocol: 'TCP' })),
    resources: role.shape.resources,
    securityContext: CONTAINER_SECURITY,
    // The first probe that passes ends the start; 120 s is for a store that is late, readiness does not wait for it.
    startupProbe: { ...probe('/healthz'), periodSeconds: 1, failureThreshold: 120 },
    readinessProbe: { ...probe('/readyz'), periodSeconds: 2, failureThreshold: 3 },
    livenessProbe: { ...probe('/healthz'), periodSeconds: 10, failureThreshold: 6 },
    volumeMounts: [
      { name: 'keys', mountPath: KEYS_DIR, readOnly: true },
      ...storeVolume(cluster).mounts,
      ...(role.scratch === undefined ? [] : [{ name: 'scratch', mountPath: role.scratch }]),
    ],
  };
}

function sharedEnv(cluster: Cluster): Readonly<Record<string, EnvValue>> {
  return {
    PUSHCLUSTER_CLUSTER: cluster.name,
    PUSHCLUSTER_LOG_LEVEL: cluster.spec.observability.logLevel,
    ...storeEnv(cluster),
    ...busEnv(cluster),
    PUSHCLUSTER_KEYS_DIR: KEYS_DIR,
  };
}

function renderEnv(name: string, value: EnvValue): Readonly<Record<string, unknown>> {
  if (typeof value === 'string') return { name, value };
  if ('fieldPath' in value) return { name, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: value.fieldPath } } };
  return { name, valueFrom: { secretKeyRef: { name: value.secret, key: value.key } } };
}

/** Only the files that the role needs: a gateway never sees the private part of the token keys. */
function keysVolume(cluster: Cluster, role: RolePod): Readonly<Record<string, unknown>> {
  const items = role.keyFiles.map((file) => ({ key: KEY_FILES[file], path: KEY_FILES[file] }));
  const sources = [{ secret: { name: childNames(cluster.name).keys, items } }];
  return { name: 'keys', projected: { defaultMode: 0o440, sources } };
}

/** Env that names the ConfigMaps a role watches. */
export function configEnv(cluster: Cluster): Readonly<Record<string, EnvValue>> {
  const names = childNames(cluster.name);
  return {
    PUSHCLUSTER_CONFIG_SOURCE: 'kubernetes',
    PUSHCLUSTER_NAMESPACE: { fieldPath: 'metadata.namespace' },
    PUSHCLUSTER_ROUTING_CONFIGMAP: names.routing,
    PUSHCLUSTER_APPS_CONFIGMAP: names.apps,
  };
}
