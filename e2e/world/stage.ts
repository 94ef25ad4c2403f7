// What most scenarios begin with: the operator, a namespace of their own, a PushCluster that is Ready, an app that may use it, and the two
// addresses that a business and its devices are told. Closed at the end, whatever came between.
import { apply } from '../cluster/kubectl.ts';
import { waitFor } from '../cluster/wait.ts';
import { mergeFields } from '../../operator/kube/fields.ts';
import { prepareOperator } from './operator.ts';
import { makeApp } from './push-app.ts';
import type { App } from './push-app.ts';
import { aPushCluster, isReadyWith, makeNamespace, removeNamespace, waitForCluster } from './push-cluster.ts';
import type { Place, PushCluster } from './push-cluster.ts';

export interface Stage extends Place {
  readonly app: App;
  readonly registryUrl: string;
  readonly routerUrl: string;
  /** Pids of fleets and publishers that run on it: what a scenario that failed has left behind is killed at the end. */
  readonly running: Set<number>;
  close(): Promise<void>;
}

export interface StageOptions {
  /** Names the namespace too. */
  readonly name: string;
  readonly gateways: number;
  /** On top of the small defaults of {@link aPushCluster}. */
  readonly spec?: Readonly<Record<string, unknown>>;
  /** On top of the app's keys. */
  readonly app?: Readonly<Record<string, unknown>>;
  /** Applied before the PushCluster: what it refers to. */
  readonly beforehand?: readonly unknown[];
}

export async function openStage(options: StageOptions): Promise<Stage> {
  const place = { namespace: `e2e-${options.name}`, name: options.name };
  await prepareOperator();
  await makeNamespace(place.namespace);
  const app = makeApp({
    namespace: place.namespace,
    cluster: place.name,
    ...(options.app === undefined ? {} : { spec: options.app }),
  });
  await apply([...(options.beforehand ?? []), aPushCluster(place, specOf(options)), app.manifest]);
  const cluster = await waitForCluster(place, `Ready with ${options.gateways} gateways`, isReadyWith(options.gateways));
  return await onStage(place, app, cluster);
}

/** Replicas are left out where an autoscaler owns them. */
function specOf({ gateways, spec = {} }: StageOptions): Readonly<Record<string, unknown>> {
  return 'autoscaling' in spec ? spec : (mergeFields({ gateway: { replicas: gateways } }, spec) as typeof spec);
}

/** A stage around a PushCluster that is Ready already. */
export async function onStage(place: Place, app: App, cluster: PushCluster): Promise<Stage> {
  const { registryAddress, routerAddress } = cluster.status ?? {};
  if (registryAddress == null || routerAddress == null)
    throw new Error('the status of a Ready PushCluster names the addresses of registry and router');
  await waitForAnswer(registryAddress);
  await waitForAnswer(routerAddress);
  const running = new Set<number>();
  return {
    ...place,
    app,
    registryUrl: registryAddress,
    routerUrl: routerAddress,
    running,
    close: async () => {
      for (const pid of running) kill(pid);
      await removeNamespace(place.namespace);
    },
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has ended by itself
  }
}

/** kube-proxy and DNS follow within a second; a client would try again as well. */
async function waitForAnswer(url: string): Promise<void> {
  const look = async (): Promise<boolean> => (await fetch(url, { signal: AbortSignal.timeout(2_000) })).status > 0;
  await waitFor(`an answer from ${url}`, look, { timeoutMs: 20_000, intervalMs: 200 });
}
