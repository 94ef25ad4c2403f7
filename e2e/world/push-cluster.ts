// A PushCluster as a scenario uses it: made with small defaults for two cores, applied, waited for, read, and removed to its last trace.
// What is read is what a user sees: the resource's status and its children by label.
import { apply, getObject, kubectl, listObjects, tryKubectl } from '../cluster/kubectl.ts';
import type { KubeObject, Pod } from '../cluster/kubectl.ts';
import { waitFor } from '../cluster/wait.ts';
import type { ClusterStatus } from '../../operator/types.ts';
import { mergeFields } from '../../operator/kube/fields.ts';
import { images } from './images.ts';

export interface PushCluster extends KubeObject {
  readonly spec: { readonly gateway?: { readonly replicas?: number } };
  /** Any part may be missing before the operator's first look. */
  readonly status?: Partial<ClusterStatus>;
}
/** Where a PushCluster lies. */
export interface Place {
  readonly namespace: string;
  readonly name: string;
}

/** The manifest: one registry and one router, our images, and what the scenario wants on top. */
export function aPushCluster(place: Place, spec: Readonly<Record<string, unknown>> = {}): unknown {
  const small = {
    image: images.product,
    imagePullPolicy: images.pullPolicy,
    evaluationRedis: { image: images.redis },
    registry: { replicas: 1 },
    router: { replicas: 1 },
  };
  return {
    apiVersion: 'pushcluster.io/v1alpha1',
    kind: 'PushCluster',
    metadata: { name: place.name, namespace: place.namespace },
    spec: mergeFields(small, spec),
  };
}

export async function makeNamespace(name: string): Promise<void> {
  await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }]);
}

/** The resource as it is now; throws when it is not there. */
export async function readPushCluster(place: Place): Promise<PushCluster> {
  const found = await getObject<PushCluster>('pushcluster', place.name, place.namespace);
  if (found === undefined) throw new Error(`there is no PushCluster ${place.namespace}/${place.name}`);
  return found;
}

/** A condition's status, and its words for messages. */
export function condition(cluster: PushCluster, type: string): { readonly status: string; readonly said: string } {
  const found = cluster.status?.conditions?.find((candidate) => candidate.type === type);
  if (found === undefined) return { status: 'absent', said: `${type} is absent` };
  return { status: found.status, said: `${type}=${found.status} ${found.reason}: ${found.message}` };
}

/** What the status says, in one line, for the message of a wait that ran out. */
export function describeStatus(cluster: PushCluster): string {
  const gateways = (cluster.status?.gateways ?? []).map(
    (g) => `${g.name} ${g.state} ${g.connections ?? '?'} w${g.weight}`,
  );
  const drain = cluster.status?.drain;
  return [
    ...(cluster.status?.conditions ?? []).map((c) => `${c.type}=${c.status} (${c.reason}: ${c.message})`),
    `gateways [${gateways.join('; ')}]`,
    drain == null ? 'no drain' : `drain of ${drain.gateway}: ${drain.left ?? '?'} left`,
  ].join(', ');
}

/** Waits until the resource is as wanted, and returns it. `wanted` answers true, or what is still missing. */
export async function waitForCluster(
  place: Place,
  label: string,
  wanted: (cluster: PushCluster) => true | string,
  timeoutMs = 90_000,
): Promise<PushCluster> {
  const look = async (): Promise<PushCluster> => {
    const cluster = await readPushCluster(place);
    const verdict = wanted(cluster);
    if (verdict === true) return cluster;
    throw new Error(`${verdict}; ${describeStatus(cluster)}`);
  };
  return await waitFor(`PushCluster ${place.namespace}/${place.name}: ${label}`, look, { timeoutMs, intervalMs: 250 });
}

/** Whether it is Ready for its present spec, with this many gateways taking clients and none leaving. */
export function isReadyWith(gateways: number): (cluster: PushCluster) => true | string {
  return (cluster) => {
    const { status } = cluster;
    if (status?.observedGeneration !== cluster.metadata.generation)
      return `generation ${cluster.metadata.generation} was not looked at yet`;
    const ready = condition(cluster, 'Ready');
    if (ready.status !== 'True') return ready.said;
    if (status?.drain != null) return `${status.drain.gateway} is being drained`;
    const active = (status?.gateways ?? []).filter((gateway) => gateway.state === 'active');
    if (active.length !== gateways || status?.gateways?.length !== gateways)
      return `expected ${gateways} active gateways, got ${active.length} of ${status?.gateways?.length ?? 0}`;
    return true;
  };
}

/** Whether a condition has this status. */
export function saysOf(type: string, status: 'True' | 'False'): (cluster: PushCluster) => true | string {
  return (cluster) => {
    const found = condition(cluster, type);
    return found.status === status ? true : found.said;
  };
}

/** Applies a cluster and its app, waits until it is Ready; returns it. */
export async function applyAndWait(
  place: Place,
  manifests: readonly unknown[],
  gateways: number,
): Promise<PushCluster> {
  await apply(manifests);
  return await waitForCluster(place, `Ready with ${gateways} gateways`, isReadyWith(gateways));
}

/** What the user types: `kubectl scale pushcluster NAME --replicas=N`. */
export async function scalePushCluster(place: Place, replicas: number): Promise<void> {
  await kubectl(['scale', 'pushcluster', place.name, '-n', place.namespace, `--replicas=${replicas}`]);
}

/** A JSON merge patch of the spec. */
export async function patchSpec(place: Place, spec: Readonly<Record<string, unknown>>): Promise<void> {
  const patch = JSON.stringify({ spec });
  await kubectl(['patch', 'pushcluster', place.name, '-n', place.namespace, '--type=merge', '-p', patch]);
}

/** Pods of one component. */
export async function podsOf(
  place: Place,
  component: 'gateway' | 'registry' | 'router' | 'drainer' | 'upstream' | 'store',
): Promise<readonly Pod[]> {
  const selector = `pushcluster.io/cluster=${place.name},app.kubernetes.io/component=${component}`;
  return await listObjects<Pod>('pods', { namespace: place.namespace, selector });
}

const CHILDREN =
  'statefulsets,deployments,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,horizontalpodautoscalers';

/** Everything that carries the cluster's label, as `Kind/name`. */
export async function childrenOf(place: Place): Promise<readonly string[]> {
  const found = await listObjects(CHILDREN, {
    namespace: place.namespace,
    selector: `pushcluster.io/cluster=${place.name}`,
  });
  return found.map((object) => `${object.kind}/${object.metadata.name}`).toSorted();
}

/** Deletes the PushCluster and waits until it and every child are gone; returns how long each took, in seconds. */
export async function removePushCluster(
  place: Place,
  timeoutMs = 90_000,
): Promise<{ readonly resource: number; readonly children: number }> {
  const startedAt = performance.now();
  const seconds = (): number => (performance.now() - startedAt) / 1000;
  await kubectl(['delete', 'pushcluster', place.name, '-n', place.namespace, '--ignore-not-found', '--wait=false']);
  const isGone = async (): Promise<true> => {
    const left = await getObject<PushCluster>('pushcluster', place.name, place.namespace);
    if (left !== undefined) throw new Error(`it is still there: ${describeStatus(left)}`);
    return true;
  };
  await waitFor(`PushCluster ${place.namespace}/${place.name} to be gone`, isGone, { timeoutMs, intervalMs: 200 });
  const resource = seconds();
  const nothingLeft = async (): Promise<true> => {
    const left = await childrenOf(place);
    if (left.length > 0) throw new Error(`still there: ${left.join(', ')}`);
    return true;
  };
  await waitFor(`the children of ${place.namespace}/${place.name} to be gone`, nothingLeft, {
    timeoutMs,
    intervalMs: 300,
  });
  return { resource, children: seconds() };
}

/** Leaves nothing behind, whatever the scenario came to: the PushCluster first, since its finalizer needs the operator. */
export async function removeNamespace(namespace: string): Promise<void> {
  await tryKubectl(['delete', 'pushclusters', '--all', '-n', namespace, '--ignore-not-found', '--timeout=60s'], {
    timeoutMs: 70_000,
  });
  await tryKubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']);
}
