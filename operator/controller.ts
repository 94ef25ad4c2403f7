// The running operator: watches tell which PushCluster may have changed, the queue has each looked at, now and then without a
// reason too. main.ts runs it while it leads; the embedded process runs the same over kube/memory.ts.
import { openEvents } from './events.ts';
import type { Events } from './events.ts';
import type { GatewayAdmin } from './gateway-admin.ts';
import type { KeyMaker } from './keys.ts';
import { KINDS } from './kube/port.ts';
import type { Kind, Kube, KubeObject, Selection } from './kube/port.ts';
import type { OperatorMetrics } from './metrics.ts';
import { clusterOfApp } from './parse-app.ts';
import type { PrometheusReader } from './prometheus.ts';
import { WorkQueue } from './queue.ts';
import { reconcile } from './reconcile.ts';
import type { ReconcileDeps } from './reconcile.ts';
import { LABEL_CLUSTER, LABEL_MANAGED_BY, MANAGED_BY } from './types.ts';
import { superviseWatch } from './watch.ts';
import type { SupervisedWatch } from './watch.ts';
import type { Clock } from '../workloads/runtime/clock.ts';
import type { Log } from '../workloads/runtime/log.ts';

export interface ControllerOptions {
  readonly kube: Kube;
  readonly admin: GatewayAdmin;
  readonly prometheus: PrometheusReader;
  readonly clock: Clock;
  readonly log: Log;
  readonly keyMaker: KeyMaker & { password(): string };
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly watchNodes: boolean;
  readonly workersMax: number;
  readonly resyncMs: number;
  readonly activeMs: number;
  readonly metrics?: OperatorMetrics;
  /** 0 ≤ random() < 1 */
  readonly random?: () => number;
}

export interface Controller {
  /** Resolves once every kind was listed for the first time. */
  readonly synced: Promise<void>;
  /** Ends the watches, lets what is being written finish, then resolves. */
  stop(): Promise<void>;
}

/** Children whose change by another hand is a reason to look; the others (Secrets, RBAC) are looked at with each resync. */
const WATCHED_CHILDREN: readonly Kind[] = [
  KINDS.pod,
  KINDS.statefulSet,
  KINDS.deployment,
  KINDS.service,
  KINDS.configMap,
  KINDS.podDisruptionBudget,
  KINDS.networkPolicy,
  KINDS.horizontalPodAutoscaler,
];

/** Least time between two looks at the same PushCluster. */
const PAUSE_MS = 100;

export function startController(options: ControllerOptions): Controller {
  const { kube, clock, log } = options;
  const random = options.random ?? Math.random;
  const events: Events = openEvents({ kube, clock, log });
  const deps: ReconcileDeps = { ...options, events };
  const queue = new WorkQueue({
    clock,
    workersMax: options.workersMax,
    pauseMs: PAUSE_MS,
    random,
    work: (key) => work(key, deps, options),
    onFailure: (key, error, retryMs) => {
      options.metrics?.failed();
      const problem = error instanceof Error ? error.message : String(error);
      log.error({ key, problem, retryMs: Math.round(retryMs) }, 'reconcile failed');
    },
  });
  options.metrics?.observeDepth(() => queue.depth);
  const watches = openWatches(options, random, (key) => queue.add(key));
  return {
    synced: Promise.all(watches.map((watch) => watch.synced)).then(() => undefined),
    async stop() {
      await Promise.all(watches.map((watch) => watch.stop()));
      await queue.stop();
    },
  };
}

async function work(key: string, deps: ReconcileDeps, options: ControllerOptions): Promise<number | null> {
  const [namespace = '', name = ''] = key.split('/');
  const startedMs = deps.clock.monotonicMs();
  const outcome = await reconcile({ namespace, name }, deps);
  options.metrics?.reconciled(outcome.kind, (deps.clock.monotonicMs() - startedMs) / 1000);
  if (outcome.kind === 'gone') return null;
  return outcome.kind === 'again' ? outcome.afterMs : options.resyncMs;
}

function openWatches(
  options: ControllerOptions,
  random: () => number,
  onKey: (key: string) => void,
): readonly SupervisedWatch[] {
  const within: Selection = options.namespace === undefined ? {} : { namespace: options.namespace };
  const own: Selection = { ...within, labels: { [LABEL_MANAGED_BY]: MANAGED_BY } };
  const isNews = openNewsFilter();
  const open = (kind: Kind, selection: Selection, keyOf: (object: KubeObject) => string | null): SupervisedWatch =>
    superviseWatch({
      kube: options.kube,
      clock: options.clock,
      log: options.log,
      random,
      kind,
      selection,
      onObject: (object) => {
        const key = keyOf(object);
        if (key !== null) onKey(key);
      },
    });
  return [
    open(KINDS.pushCluster, within, (object) => (isNews(object) ? keyOfCluster(object, object.metadata.name) : null)),
    open(KINDS.pushApp, within, (object) => (isNews(object) ? keyOfCluster(object, clusterOfApp(object)) : null)),
    ...WATCHED_CHILDREN.map((kind) =>
      open(kind, own, (object) => keyOfCluster(object, object.metadata.labels?.[LABEL_CLUSTER] ?? null)),
    ),
  ];
}

/** Resources of ours seen last; the oldest are forgotten first, which costs one look too many. */
const SEEN_MAX = 10_000;

/** Tells changes of the spec from changes of the status, which are our own: they are no reason to look again. */
function openNewsFilter(): (object: KubeObject) => boolean {
  const seen = new Map<string, string>();
  return ({ metadata }) => {
    const uid = metadata.uid ?? '';
    const state = JSON.stringify([metadata.generation, metadata.deletionTimestamp, metadata.finalizers]);
    const isSame = seen.get(uid) === state;
    seen.delete(uid);
    seen.set(uid, state);
    for (const key of seen.keys()) if (seen.size > SEEN_MAX) seen.delete(key);
    return !isSame;
  };
}

function keyOfCluster(object: KubeObject, cluster: string | null): string | null {
  return cluster === null ? null : `${object.metadata.namespace ?? 'default'}/${cluster}`;
}
