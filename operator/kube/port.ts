// The kube port: all that the operator asks of a Kubernetes API server. kube/client.ts speaks to a real one, kube/memory.ts
// is one in memory (embedded and tests); kube/contract.ts is the suite that both pass. Objects are plain JSON throughout, as
// they are on the wire: no classes, no Dates. observe.ts and watch.ts read through it, apply.ts and leader.ts write.

/** One kind of object: enough to build its address. */
export interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

const kind = (apiVersion: string, name: string, plural: string, namespaced = true): Kind => ({
  apiVersion,
  kind: name,
  plural,
  namespaced,
});

/** The kinds this product touches. */
export const KINDS = {
  pushCluster: kind('pushcluster.io/v1alpha1', 'PushCluster', 'pushclusters'),
  pushApp: kind('pushcluster.io/v1alpha1', 'PushApp', 'pushapps'),
  pod: kind('v1', 'Pod', 'pods'),
  node: kind('v1', 'Node', 'nodes', false),
  namespace: kind('v1', 'Namespace', 'namespaces', false),
  service: kind('v1', 'Service', 'services'),
  configMap: kind('v1', 'ConfigMap', 'configmaps'),
  secret: kind('v1', 'Secret', 'secrets'),
  serviceAccount: kind('v1', 'ServiceAccount', 'serviceaccounts'),
  event: kind('v1', 'Event', 'events'),
  statefulSet: kind('apps/v1', 'StatefulSet', 'statefulsets'),
  deployment: kind('apps/v1', 'Deployment', 'deployments'),
  role: kind('rbac.authorization.k8s.io/v1', 'Role', 'roles'),
  roleBinding: kind('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings'),
  podDisruptionBudget: kind('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets'),
  networkPolicy: kind('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies'),
  horizontalPodAutoscaler: kind('autoscaling/v2', 'HorizontalPodAutoscaler', 'horizontalpodautoscalers'),
  lease: kind('coordination.k8s.io/v1', 'Lease', 'leases'),
  podMonitor: kind('monitoring.coreos.com/v1', 'PodMonitor', 'podmonitors'),
} as const satisfies Readonly<Record<string, Kind>>;

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  /** Rises with each change of the spec (of anything but metadata and status). */
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
  readonly managedFields?: readonly unknown[];
}

/** Any object, as JSON. Narrow views of the kinds we read are in kube/objects.ts. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** Which objects: all of a namespace (absent: of every namespace) that carry these labels and have these fields. */
export interface Selection {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Path → value, of the few that the server can select by: `metadata.name`, a node's `spec.unschedulable`. */
  readonly fields?: Readonly<Record<string, string>>;
}

export interface ObjectList {
  readonly items: readonly KubeObject[];
  /** Where a watch goes on from. */
  readonly resourceVersion: string;
}

export type WatchEvent =
  | { readonly type: 'added' | 'modified' | 'deleted'; readonly object: KubeObject }
  /** Nothing changed, but a watch may go on from here. */
  | { readonly type: 'bookmark'; readonly resourceVersion: string };

/** Why a watch ended; it MUST be listed again after 'expired' and may be resumed after the others. */
export type WatchEnd = 'closed' | 'expired' | 'failed';

export interface Watch {
  /** Resolves when the watch is over; never rejects. */
  readonly ended: Promise<{ readonly why: WatchEnd; readonly detail: string }>;
  stop(): void;
}

export interface Address {
  readonly name: string;
  /** Absent for kinds without a namespace. */
  readonly namespace?: string;
}

/** A request that the API server answered with an error, or did not answer (status 0). */
export class KubeError extends Error {
  readonly code = 'kube';
  /** HTTP status; 0: no answer, outcome unknown. */
  readonly status: number;
  /** `reason` of the Status object: NotFound, Conflict, Invalid, Forbidden … */
  readonly reason: string;
  constructor(status: number, reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.reason = reason;
  }
}

/** Whether an error is the API server's answer with this HTTP status. */
export function isKubeStatus(error: unknown, status: number): boolean {
  return error instanceof KubeError && error.status === status;
}

/** Name under which all our fields are applied. */
export const FIELD_MANAGER = 'pushcluster-operator';

/**
 * MUST: answer reads with what is committed (no cache); reject with KubeError; time out by itself.
 * MUST NOT: retry a write; keep state between calls other than connections.
 */
export interface Kube {
  /** Null when there is none. */
  get(kind: Kind, at: Address): Promise<KubeObject | null>;
  /** 404 when the server does not serve the kind (its CRD is not there). */
  list(kind: Kind, selection: Selection): Promise<ObjectList>;
  /** Events after `resourceVersion`, in order. A handler that throws ends the watch as failed. */
  watch(
    kind: Kind,
    selection: Selection & { readonly resourceVersion: string },
    onEvent: (event: WatchEvent) => void,
  ): Watch;

  /** 409 AlreadyExists when there is one of that name. */
  create(object: KubeObject): Promise<KubeObject>;
  /** Whole object; 409 Conflict when metadata.resourceVersion is set and not the current one. */
  replace(object: KubeObject): Promise<KubeObject>;
  /**
   * Server-side apply as FIELD_MANAGER, forced: creates or merges; fields of ours that are no longer given go away, other
   * managers' stay. With metadata.resourceVersion: 409 Conflict unless it is the current one. No change: no new
   * resourceVersion.
   */
  apply(object: KubeObject): Promise<KubeObject>;
  /** The same on the status subresource: only `status` is taken. 404 when there is no such object. */
  applyStatus(object: KubeObject): Promise<KubeObject>;
  /** JSON merge patch. With metadata.resourceVersion in it: 409 Conflict unless it is the current one. */
  merge(kind: Kind, at: Address, patch: Readonly<Record<string, unknown>>): Promise<KubeObject>;
  /** Sets replicas through the scale subresource. */
  scale(kind: Kind, at: Address, replicas: number): Promise<void>;
  /**
   * Background deletion. `uid`: 409 Conflict unless the object is that one. `graceSeconds`: for pods.
   * 'gone': there was none.
   */
  delete(
    kind: Kind,
    at: Address,
    options?: { readonly uid?: string; readonly graceSeconds?: number },
  ): Promise<'deleted' | 'gone'>;
}

/** The kind of an object among KINDS; throws on one that this product does not touch. */
export function kindOf(object: { readonly apiVersion: string; readonly kind: string }): Kind {
  for (const known of Object.values(KINDS))
    if (known.kind === object.kind && known.apiVersion === object.apiVersion) return known;
  throw new KubeError(0, 'UnknownKind', `no such kind among KINDS: ${object.apiVersion} ${object.kind}`);
}

/** Where an object lies. */
export function addressOf(object: KubeObject): Address {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? { name } : { name, namespace };
}
