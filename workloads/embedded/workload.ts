// StatefulSets, Deployments and their pods as the embedded kubelet reads and makes them. Pure; replicas.ts decides, kubelet.ts acts.
import { createHash } from 'node:crypto';
import type { KubeObject } from '../../operator/kube/port.ts';
import type { PodSpec, Secrets } from './pod-spec.ts';
import { planDeployment, planStatefulSet } from './replicas.ts';
import type { PodRow, ReplicaPlan } from './replicas.ts';

const REVISION = { StatefulSet: 'controller-revision-hash', Deployment: 'pod-template-hash' } as const;
export interface Workload {
  readonly object: KubeObject;
  readonly kind: 'StatefulSet' | 'Deployment';
  readonly replicas: number;
  readonly template: { readonly metadata?: { labels?: Readonly<Record<string, string>> }; readonly spec: PodSpec };
  readonly revision: string;
  readonly pods: readonly KubeObject[];
}

/** What a workload is missing or has too many. */
export function planFor(workload: Workload): ReplicaPlan {
  const rows: PodRow[] = workload.pods.map((pod) => ({
    name: pod.metadata.name,
    revision: revisionOf(pod, workload.kind),
    ready: isReady(pod),
    ending: pod.metadata.deletionTimestamp !== undefined,
  }));
  const set = { name: workload.object.metadata.name, replicas: workload.replicas };
  if (workload.kind === 'StatefulSet') return planStatefulSet(set, rows);
  const ordinals = rows.map((row) => Number(row.name.slice(row.name.lastIndexOf('-') + 1)));
  return planDeployment({ ...set, revision: workload.revision, nextOrdinal: Math.max(-1, ...ordinals) + 1 }, rows);
}

/** A StatefulSet or Deployment with its pods. */
export function readWorkload(object: KubeObject, kind: Workload['kind'], pods: readonly KubeObject[]): Workload {
  const spec = object['spec'] as { replicas?: number; template: Workload['template'] };
  const isMine = (pod: KubeObject): boolean =>
    pod.metadata.ownerReferences?.some((owner) => owner.uid === object.metadata.uid) ?? false;
  return {
    object,
    kind,
    replicas: object.metadata.deletionTimestamp === undefined ? (spec.replicas ?? 1) : 0,
    template: spec.template,
    revision: revisionHash(spec.template),
    pods: pods.filter(isMine),
  };
}

/** The pod as its controller makes it. */
export function renderPod(workload: Workload, name: string, ordinal: number): KubeObject {
  const { apiVersion, kind, metadata } = workload.object;
  const stable =
    workload.kind === 'StatefulSet'
      ? { 'statefulset.kubernetes.io/pod-name': name, 'apps.kubernetes.io/pod-index': String(ordinal) }
      : {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      labels: { ...workload.template.metadata?.labels, [REVISION[workload.kind]]: workload.revision, ...stable },
      ownerReferences: [{ apiVersion, kind, name: metadata.name, uid: metadata.uid ?? '', controller: true }],
    },
    spec: { ...workload.template.spec, nodeName: 'embedded' },
  };
}

/** Same template, same hash, whatever the order of its fields. */
function revisionHash(template: unknown): string {
  const sorted = JSON.stringify(template, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(sorted).digest('hex').slice(0, 10);
}

/** The revision of the template that a pod was made from. */
export function revisionOf(pod: KubeObject, kind: Workload['kind']): string {
  return pod.metadata.labels?.[REVISION[kind]] ?? '';
}

/** Whether a pod says that it is Ready. */
export function isReady(pod: KubeObject): boolean {
  const status = pod['status'] as { conditions?: readonly { type: string; status: string }[] } | undefined;
  return status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') ?? false;
}

/** Secrets as their consumers see them: decoded. */
export function readSecrets(objects: readonly KubeObject[]): Secrets {
  const decode = (text: string): string => Buffer.from(text, 'base64').toString('utf8');
  return new Map(
    objects.map((object) => {
      const data = Object.entries((object['data'] ?? {}) as Readonly<Record<string, string>>);
      const plain = (object['stringData'] ?? {}) as Readonly<Record<string, string>>;
      return [
        object.metadata.name,
        { ...Object.fromEntries(data.map(([key, value]) => [key, decode(value)])), ...plain },
      ];
    }),
  );
}
