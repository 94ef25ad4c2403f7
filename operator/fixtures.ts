// Builders for the operator's tests: one for each type, with defaults that a test overrides where it matters.
import type { DrainState, GatewayState } from '../workloads/protocol/admin.ts';
import type { BootId, GatewayName } from '../workloads/protocol/ids.ts';
import type { RoutedGateway, RoutingDocument } from '../workloads/protocol/routing.ts';
import { routingDocument } from './manifests/routing.ts';
import type { PodView, StatefulSetView } from './kube/objects.ts';
import type { KubeObject } from './kube/port.ts';
import type { KeyMaker } from './keys.ts';
import { mergeFields } from './kube/fields.ts';
import { parseCluster } from './parse.ts';
import type { Answer, Cluster, Observed, ObservedGateway } from './types.ts';

export const NOW_MS = 1_800_000_000_000;
export const NOW = new Date(NOW_MS).toISOString();
export function isoAt(offsetMs: number): string {
  return new Date(NOW_MS + offsetMs).toISOString();
}

/** A PushCluster as the API server has it. */
export function aPushCluster(spec: Readonly<Record<string, unknown>> = {}, metadata: object = {}): KubeObject {
  return {
    apiVersion: 'pushcluster.io/v1alpha1',
    kind: 'PushCluster',
    metadata: { name: 'demo', namespace: 'push', uid: 'uid-demo', generation: 1, ...metadata },
    spec: mergeFields({ image: 'pushcluster:test' }, spec),
  };
}

/** The same, parsed. */
export function aCluster(spec: Readonly<Record<string, unknown>> = {}, over: Partial<Cluster> = {}): Cluster {
  const parsed = parseCluster(aPushCluster(spec));
  if (parsed.kind === 'refused') throw new Error(parsed.problems.join('; '));
  return { ...parsed.value, ...over };
}

export function aPushApp(spec: Readonly<Record<string, unknown>> = {}, name = 'shop'): KubeObject {
  return {
    apiVersion: 'pushcluster.io/v1alpha1',
    kind: 'PushApp',
    metadata: { name, namespace: 'push', uid: `uid-${name}`, generation: 1 },
    spec: { clusterRef: { name: 'demo' }, ...spec },
  };
}

export interface PodShape {
  readonly isReady?: boolean;
  readonly phase?: string;
  readonly revision?: string;
  readonly createdMs?: number;
  readonly deletedMs?: number;
  /** Since when it is not Ready, ms before now. */
  readonly unreadyForMs?: number;
  readonly waiting?: boolean;
}

export function aPod(ordinal: number, shape: PodShape = {}): PodView {
  const { isReady = true, phase = 'Running', revision = 'r1', createdMs = NOW_MS - 3_600_000, deletedMs } = shape;
  const deletion = deletedMs === undefined ? {} : { deletionTimestamp: new Date(deletedMs).toISOString() };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `demo-gateway-${ordinal}`,
      namespace: 'push',
      uid: `uid-pod-${ordinal}`,
      creationTimestamp: new Date(createdMs).toISOString().replace(/\.\d+Z$/, 'Z'),
      labels: { 'app.kubernetes.io/component': 'gateway', 'controller-revision-hash': revision },
      ...deletion,
    },
    status: {
      phase,
      podIP: `10.0.0.${ordinal}`,
      hostIP: '10.1.0.1',
      conditions: [
        {
          type: 'Ready',
          status: isReady ? 'True' : 'False',
          lastTransitionTime: new Date(NOW_MS - (shape.unreadyForMs ?? 0)).toISOString(),
        },
      ],
      containerStatuses: [
        {
          name: 'gateway',
          state: shape.waiting === true ? { waiting: { reason: 'CrashLoopBackOff' } } : { running: {} },
        },
      ],
    },
  };
}

export function aGatewayState(over: Partial<GatewayState> = {}): GatewayState {
  return {
    name: 'demo-gateway-0' as GatewayName,
    bootId: 'boot' as BootId,
    state: 'active',
    connections: 0,
    sessions: 0,
    unacked: 0,
    routingRevision: null,
    drain: null,
    resumed: 0,
    opened: 0,
    store: 'reachable',
    bus: 'none',
    shedding: 0,
    intakePaused: false,
    drainers: 0,
    backlogs: 0,
    provisional: 0,
    ...over,
  };
}

export function aDrainState(over: Partial<DrainState> = {}): DrainState {
  return {
    generation: '',
    startedAtMs: NOW_MS,
    asked: 0,
    left: 0,
    ratePerSecond: 500,
    deadlineMs: NOW_MS + 600_000,
    etaMs: null,
    ...over,
  };
}

export function answering(over: Partial<GatewayState> = {}): Answer {
  return { kind: 'state', state: aGatewayState(over) };
}
export const SILENT: Answer = { kind: 'unknown', why: 'no answer' };

export function aGateway(
  ordinal: number,
  over: Partial<ObservedGateway> & { readonly shape?: PodShape } = {},
): ObservedGateway {
  const { shape, ...rest } = over;
  return {
    name: `demo-gateway-${ordinal}`,
    ordinal,
    pod: aPod(ordinal, shape),
    adminAddress: `http://10.0.0.${ordinal}:9090`,
    answer: answering(),
    isCordoned: false,
    ...rest,
  };
}

/** A gateway that was told to drain at `since` and did so far as `over` says. */
export function aDrainingGateway(ordinal: number, since: string, over: Partial<GatewayState> = {}): ObservedGateway {
  const drain = aDrainState({ generation: `uid-pod-${ordinal}@${since}` });
  return aGateway(ordinal, { answer: answering({ state: 'draining', drain, ...over }) });
}

export function aGatewaySet(
  replicas: number,
  over: { generation?: number; seen?: number; revision?: string } = {},
): StatefulSetView {
  const { generation = 1, seen = generation, revision = 'r1' } = over;
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'demo-gateway', namespace: 'push', uid: 'uid-set', generation, resourceVersion: '7' },
    spec: { replicas },
    status: { observedGeneration: seen, replicas, updateRevision: revision },
  };
}

export function aRow(ordinal: number, over: Partial<RoutedGateway> = {}): RoutedGateway {
  return {
    name: `demo-gateway-${ordinal}` as GatewayName,
    addresses: { ws: `ws://demo-gateway-${ordinal}.push.svc:8080/` },
    weight: 100,
    state: 'active',
    capacity: 18_000,
    since: isoAt(-600_000),
    ...over,
  };
}

export function aRouting(rows: readonly RoutedGateway[]): RoutingDocument {
  return routingDocument({ cluster: 'demo', strategy: 'least-loaded', gateways: rows });
}

export function anObserved(over: Partial<Observed> = {}): Observed {
  return {
    children: new Map(),
    gatewaySet: null,
    storeSet: null,
    registry: null,
    router: null,
    drainer: null,
    upstream: null,
    services: new Map(),
    rolePods: [],
    keys: null,
    routing: null,
    gateways: [],
    apps: [],
    appResources: [],
    hasPodMonitors: false,
    prometheus: null,
    ...over,
  };
}

/** Keys that can be told apart and are the same in every run. */
export function aKeyMaker(): KeyMaker & { password(): string } {
  let made = 0;
  return {
    symmetric: (createdAt) => ({ kid: `s${++made}`, secret: `secret-${made}`, createdAt }),
    signing: (createdAt) => ({
      kid: `t${++made}`,
      publicJwk: { x: `x${made}` },
      privateJwk: { d: `d${made}` },
      createdAt,
    }),
    password: () => `password-${++made}`,
  };
}

/** A sequence of numbers in 0 ≤ n < 1, the same for the same seed (mulberry32). */
export function aRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
