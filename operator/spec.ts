// A PushCluster's spec as the operator works with it: every default filled in, every duration in ms. parse.ts makes it, manifests/* read
// it. Pure types.
import type { Strategy } from '../workloads/protocol/routing.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export interface Exposure {
  readonly type: 'ClusterIP' | 'NodePort';
  /** Client address with {name}, {namespace}, {ordinal}, {hostIP}, {nodePort}, {clusterIP} filled in; wins over the type's own. */
  readonly addressTemplate: string | null;
}

/** What any workload may be given for its pods. */
export interface PodShape {
  readonly resources: JsonObject;
  readonly scheduling: JsonObject;
  /** Merged over the pod template that the operator builds. */
  readonly podTemplate: JsonObject;
}

export interface GatewaySpec extends PodShape {
  readonly replicas: number;
  readonly connectionsPerGateway: number;
  readonly transports: readonly 'websocket'[];
  readonly exposure: Exposure;
  readonly heartbeatIntervalMs: number;
  /** To clients, of one gateway: load is shed at it, and less taken in at 80 % of it. 0: no bound. */
  readonly bandwidthBytesPerSecond: number;
}
export interface DeploymentSpec extends PodShape {
  readonly replicas: number;
  readonly exposure: Exposure;
}

export interface RouterSpec extends DeploymentSpec {
  /** Pushes and links of one router; at 80 % live messages are refused, at 95 % durable ones. 0: no bound. */
  readonly bandwidthBytesPerSecond: number;
}

/** Drainer and upstream: pods that nobody connects to. */
export interface WorkerSpec extends PodShape {
  readonly replicas: number;
}
export interface DrainerSpec extends WorkerSpec {
  /** Entries of backlogs that all drainers together hand on. */
  readonly entriesPerSecond: number;
  readonly bytesPerSecond: number;
}

/** Which handler takes which kinds of upstream messages; the first whose pattern fits. */
export interface UpstreamHandlerSpec {
  /** Kinds by name, or by prefix ending in `*`. */
  readonly kinds: readonly string[];
  readonly type: 'database' | 'webhook' | 'echo' | 'group-chat';
  /** Of webhook. */
  readonly url: string | null;
}
export interface UpstreamSpec extends WorkerSpec {
  readonly handlers: readonly UpstreamHandlerSpec[];
  /** Secret and key with a postgres:// URL; null: a SQLite file that goes with the pod. */
  readonly databaseRef: SecretKey | null;
  /** Failures of one message before it is a dead letter. */
  readonly attempts: number;
  /** A call that takes longer has failed. */
  readonly timeoutMs: number;
  /** How long a message waits for a handler that cannot be reached. */
  readonly holdMs: number;
}

export interface SecretKey {
  readonly name: string;
  readonly key: string;
}

export interface BusSpec {
  readonly brokers: readonly string[];
  readonly tls: boolean;
  readonly username: string | null;
  /** Secret and key of the password; null: none. */
  readonly secretRef: SecretKey | null;
  readonly partitions: number;
  /** Of topics that are made; 0: as the brokers are set. */
  readonly replicationFactor: number;
}

export interface StoreSpec {
  readonly mode: 'single' | 'sentinel' | 'cluster';
  readonly addresses: readonly string[];
  readonly masterName: string | null;
  /** An ACL user; null: the default one. */
  readonly username: string | null;
  /** Secret and key of the password; null: none. */
  readonly secretRef: SecretKey | null;
  /** To Sentinels and to nodes that are learned of, too. */
  readonly tls: boolean;
  /** Secret and key of the certificates that sign the servers'; null: the public ones. */
  readonly caSecretRef: SecretKey | null;
  /** Secret of a certificate and its key, shown to servers that ask for one; null: none. */
  readonly clientSecretRef: { readonly name: string } | null;
  /** Name that the servers' certificates have; null: the host that each is reached at. */
  readonly serverName: string | null;
}

export interface AutoscalingSpec {
  readonly engine: 'hpa' | 'builtin';
  readonly minReplicas: number;
  readonly maxReplicas: number;
  /** Percent of connectionsPerGateway. */
  readonly targetUtilization: number;
  readonly scaleOutStabilizationMs: number;
  readonly scaleInStabilizationMs: number;
}

export interface ClusterSpec {
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  readonly imagePullSecrets: readonly string[];
  readonly gateway: GatewaySpec;
  readonly registry: DeploymentSpec;
  readonly router: RouterSpec;
  readonly drainer: DrainerSpec;
  readonly upstream: UpstreamSpec;
  readonly routing: {
    readonly strategy: Strategy;
    /** By hand: gateway name → 0–1000. */
    readonly weights: Readonly<Record<string, number>>;
    /** Weights of the other gateways are tuned from live connections. */
    readonly auto: boolean;
  };
  /** Null: the operator runs an evaluation Redis. */
  readonly store: StoreSpec | null;
  /** Null: links are the only path, and clients' messages to the business are refused. */
  readonly bus: BusSpec | null;
  readonly webhooks: { readonly allowPrivateAddresses: boolean };
  readonly evaluationRedis: { readonly image: string; readonly resources: JsonObject };
  readonly delivery: {
    readonly ackTimeoutMs: number;
    readonly windowMessages: number;
    /** More waiting entries than this are fed by the drainer. */
    readonly backlogThreshold: number;
  };
  readonly auth: {
    readonly tokenTtlMs: number;
    readonly ticketTtlMs: number;
    readonly keyRotationMs: number;
    /** Clients are let in by their signature alone while the store is away (R13). */
    readonly failOpen: boolean;
  };
  readonly disruption: {
    readonly reconnectsPerSecond: number;
    readonly drainDeadlineMs: number;
    readonly maxUnavailable: number;
  };
  readonly autoscaling: AutoscalingSpec | null;
  readonly observability: {
    readonly podMonitor: boolean;
    readonly podMonitorLabels: Readonly<Record<string, string>>;
    readonly prometheusUrl: string | null;
    readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  };
}
