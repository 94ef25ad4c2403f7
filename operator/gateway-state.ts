// Small questions about one gateway, asked of its pod and of what it answered: is it ready, was it ever running, does it hold
// anything. Unknown is never zero: only an answer, or Kubernetes saying that no process runs, makes a gateway empty. Pure.
import type { PodView, StatefulSetView } from './kube/objects.ts';
import type { ObservedGateway } from './types.ts';

export function isPodReady(pod: PodView): boolean {
  return pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
}

/** Its node no longer reports, says Kubernetes. */
export function isNodeLost(pod: PodView): boolean {
  return pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'Unknown') ?? false;
}

/** Since when the pod has not been Ready, ms; null while it is. */
export function unreadySinceMs(pod: PodView): number | null {
  if (isPodReady(pod)) return null;
  const ready = pod.status?.conditions?.find((c) => c.type === 'Ready');
  return Date.parse(ready?.lastTransitionTime ?? pod.metadata.creationTimestamp ?? '');
}

/** Takes clients: its pod is Ready and itself says that it is active. */
export function isServing(gateway: ObservedGateway): boolean {
  return isPodReady(gateway.pod) && gateway.answer.kind === 'state' && gateway.answer.state.state === 'active';
}

/** Its process does not run, says the kubelet: nothing was started yet, or the container waits to be started again. */
export function isWithoutProcess(pod: PodView): boolean {
  if (isPodReady(pod)) return false;
  const { phase, containerStatuses } = pod.status ?? {};
  if (phase === 'Pending' || phase === 'Failed' || phase === 'Succeeded') return true;
  const own = containerStatuses?.find((status) => status.name === 'gateway');
  return own?.state?.waiting !== undefined && own.state.running === undefined;
}

/** What it still holds, as far as is known. */
export type Holding = 'nothing' | 'something' | 'unknown';

/**
 * @param generation the drain it must have taken up for 'nothing': a gateway that was not told to drain may be given a client
 * in the next moment
 */
export function holdingOf(gateway: ObservedGateway, generation: string): Holding {
  if (isWithoutProcess(gateway.pod)) return 'nothing';
  if (gateway.answer.kind === 'unknown') return 'unknown';
  const { state } = gateway.answer;
  const isTold = state.drain?.generation === generation || state.state === 'stopping';
  return isTold && state.sessions === 0 && state.unacked === 0 ? 'nothing' : 'something';
}

/** Sessions on it; null: not known. */
export function sessionsOf(gateway: ObservedGateway): number | null {
  if (isWithoutProcess(gateway.pod)) return 0;
  return gateway.answer.kind === 'state' ? gateway.answer.state.sessions : null;
}

/** Whether its pod is of an older template than the StatefulSet has; null while the StatefulSet's controller is behind. */
export function isOutdated(gateway: ObservedGateway, set: StatefulSetView | null): boolean | null {
  if (set === null || !isSetCurrent(set)) return null;
  const latest = set.status?.updateRevision;
  const own = gateway.pod.metadata.labels?.['controller-revision-hash'];
  if (latest === undefined || own === undefined) return null;
  return own !== latest;
}

/** The StatefulSet's controller has seen its last change. */
export function isSetCurrent(set: StatefulSetView): boolean {
  return (set.status?.observedGeneration ?? 0) >= (set.metadata.generation ?? 1);
}
