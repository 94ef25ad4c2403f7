// What the operator thinks in: the parsed PushCluster and PushApp, what was observed, what shall be done, and the status it
// reports. parse.ts makes the first, observe.ts the second, plan.ts the actions, status.ts the status. Pure types.
import type { GatewayState, DrainRequest } from '../workloads/protocol/admin.ts';
import type { AppDefinition } from '../workloads/protocol/apps.ts';
import type { RoutingDocument } from '../workloads/protocol/routing.ts';
import type { Address, Kind, KubeObject } from './kube/port.ts';
import type { ClusterSpec, JsonObject } from './spec.ts';
import type { DataView, DeploymentView, PodView, ServiceView, StatefulSetView } from './kube/objects.ts';

// ---- the resource, parsed ----

/** A PushCluster that parse.ts accepted. */
export interface Cluster {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly generation: number;
  /** ms since 1970; null while it is not being deleted. */
  readonly deletedAtMs: number | null;
  readonly finalizers: readonly string[];
  readonly spec: ClusterSpec;
  /** As the API server has it now; the memory of autoscaling and of condition times. */
  readonly status: ClusterStatus | null;
}

// ---- what was observed ----

export interface AppResource {
  readonly object: KubeObject;
  /** Why it is refused; empty: it is in use. */
  readonly problems: readonly string[];
}

/** What a gateway's admin port said: its state, or that nothing is known. Unknown is never zero. */
export type Answer =
  | { readonly kind: 'state'; readonly state: GatewayState }
  | { readonly kind: 'unknown'; readonly why: string };

export interface ObservedGateway {
  readonly name: string;
  readonly ordinal: number;
  readonly pod: PodView;
  /** `http://host:port`; null while the pod has no address. */
  readonly adminAddress: string | null;
  readonly answer: Answer;
  /** Its node takes no new pods: it is being drained by somebody. */
  readonly isCordoned: boolean;
}

export interface Observed {
  /** Children of ours as they are, by `Kind/name`. */
  readonly children: ReadonlyMap<string, KubeObject>;
  readonly gatewaySet: StatefulSetView | null;
  readonly storeSet: StatefulSetView | null;
  readonly registry: DeploymentView | null;
  readonly router: DeploymentView | null;
  readonly drainer: DeploymentView | null;
  readonly upstream: DeploymentView | null;
  readonly services: ReadonlyMap<string, ServiceView>;
  /** Pods of every role but the gateways. */
  readonly rolePods: readonly PodView[];
  readonly keys: DataView | null;
  /** What the routing ConfigMap holds; null when there is none or it cannot be read. */
  readonly routing: RoutingDocument | null;
  /** By ordinal, low to high. */
  readonly gateways: readonly ObservedGateway[];
  readonly apps: readonly AppDefinition[];
  /** Every PushApp of this cluster, refused ones too. */
  readonly appResources: readonly AppResource[];
  readonly hasPodMonitors: boolean;
  /** Null: no Prometheus is configured. `connections` null: it did not answer. */
  readonly prometheus: { readonly connections: ReadonlyMap<string, number> | null; readonly detail: string } | null;
}

// ---- what shall be done ----

/** One line for people: becomes an event. */
export interface Note {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** One write. apply.ts does them in order and stops at the first that fails. */
export type Action =
  /** isNew: nothing of ours has that name yet; apply.ts then looks whether it is somebody else's. */
  | { readonly kind: 'apply'; readonly object: KubeObject; readonly isNew: boolean; readonly note: Note | null }
  | {
      readonly kind: 'delete';
      readonly of: Kind;
      readonly at: Address;
      readonly uid: string;
      readonly graceSeconds?: number;
      readonly note: Note;
    }
  | {
      readonly kind: 'drain';
      readonly gateway: GatewayTarget;
      readonly request: DrainRequest;
      readonly note: Note | null;
    }
  | { readonly kind: 'undrain'; readonly gateway: GatewayTarget; readonly note: Note }
  | { readonly kind: 'put-routing'; readonly gateway: GatewayTarget; readonly document: RoutingDocument }
  | { readonly kind: 'scale'; readonly replicas: number; readonly note: Note }
  | { readonly kind: 'app-status'; readonly app: KubeObject; readonly status: JsonObject; readonly note: Note | null }
  | { readonly kind: 'add-finalizer' }
  | { readonly kind: 'remove-finalizer'; readonly note: Note };

export interface GatewayTarget {
  readonly name: string;
  readonly adminAddress: string;
}

// ---- status ----

export type ConditionType =
  | 'Ready'
  | 'Progressing'
  | 'Degraded'
  | 'Draining'
  | 'Refused'
  | 'StoreEvaluation'
  | 'StoreReachable'
  | 'BusReachable'
  | 'MetricsTrusted';

export interface Condition {
  readonly type: ConditionType;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

export interface GatewayStatus {
  readonly name: string;
  readonly state: 'starting' | 'active' | 'draining' | 'drained' | 'unknown';
  /** Null: it did not answer. */
  readonly connections: number | null;
  readonly weight: number;
  readonly address: string;
  readonly outdated: boolean;
}

export interface DrainStatus {
  /** Names, comma-separated: more than one when maxUnavailable allows or all leave at once. */
  readonly gateway: string;
  readonly reason: string;
  /** Sessions still there; null: not known. */
  readonly left: number | null;
  readonly ratePerSecond: number;
  readonly etaSeconds: number | null;
  readonly startedAt: string;
  readonly deadline: string;
}

/** The builtin autoscaler's memory: it has no other. */
export interface AutoscalingStatus {
  readonly desired: number;
  readonly reason: string;
  /** Since when fewer were enough, and the most that were needed meanwhile. */
  readonly lowSince: string | null;
  readonly lowPeak: number | null;
  /** Since when more were needed, and the least that were needed meanwhile. */
  readonly highSince: string | null;
  readonly highFloor: number | null;
}

export interface ClusterStatus {
  readonly observedGeneration: number;
  readonly replicas: number;
  /** As text, for HPA and KEDA. */
  readonly selector: string;
  readonly readyGateways: number;
  /** Sum over the gateways that answered. */
  readonly connections: number;
  /** How many did not. */
  readonly connectionsUnknown: number;
  readonly gateways: readonly GatewayStatus[];
  readonly drain: DrainStatus | null;
  readonly autoscaling: AutoscalingStatus | null;
  /** Revision of the routing document. */
  readonly routingRevision: string | null;
  /** Revision of the gateways' pod template that is being rolled out or in place. */
  readonly revision: string | null;
  readonly registryAddress: string | null;
  readonly routerAddress: string | null;
  readonly conditions: readonly Condition[];
}

// ---- names ----

export const FINALIZER = 'pushcluster.io/drain';
export const LABEL_CLUSTER = 'pushcluster.io/cluster';
export const LABEL_COMPONENT = 'app.kubernetes.io/component';
export const LABEL_MANAGED_BY = 'app.kubernetes.io/managed-by';
export const MANAGED_BY = 'pushcluster-operator';
/** Hash of what was applied: tells that a field was given up, which a comparison with the live object cannot. */
export const ANNOTATION_APPLIED = 'pushcluster.io/applied-hash';
/** On a gateway's pod: `http://host:port` and `ws://host:port/`, winning over pod IP and Service (embedded, odd networks). */
export const ANNOTATION_ADMIN_ADDRESS = 'pushcluster.io/admin-address';
export const ANNOTATION_CLIENT_ADDRESS = 'pushcluster.io/client-address';
/** On a Deployment or its Service: `http://host:port` of registry or router, winning over the Service (embedded). */
export const ANNOTATION_HTTP_ADDRESS = 'pushcluster.io/http-address';

export type Component = 'gateway' | 'registry' | 'router' | 'drainer' | 'upstream' | 'store';

/** Names of a cluster's children. */
export interface ChildNames {
  readonly gateway: string;
  readonly registry: string;
  readonly router: string;
  readonly drainer: string;
  readonly upstream: string;
  readonly store: string;
  readonly routing: string;
  readonly apps: string;
  readonly keys: string;
  readonly config: string;
}
export function childNames(cluster: string): ChildNames {
  return {
    gateway: `${cluster}-gateway`,
    registry: `${cluster}-registry`,
    router: `${cluster}-router`,
    drainer: `${cluster}-drainer`,
    upstream: `${cluster}-upstream`,
    store: `${cluster}-redis`,
    routing: `${cluster}-routing`,
    apps: `${cluster}-apps`,
    keys: `${cluster}-keys`,
    config: `${cluster}-config-reader`,
  };
}
/** Key of a child in Observed.children. */
export function childKey(object: { readonly kind: string; readonly metadata: { readonly name: string } }): string {
  return `${object.kind}/${object.metadata.name}`;
}
