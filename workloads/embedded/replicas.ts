// The part of Kubernetes' StatefulSet and Deployment controllers that the product relies on, as pure decisions: which pods to
// create and which to delete. kubelet.ts carries them out one after another.
//   StatefulSet (OnDelete): ordinals 0 … replicas-1; missing ones are created at the newest revision; the highest is removed
//   first; pods of an older revision are left alone. Deployment: a pod for each replica; older revisions go once new ones run.

export interface PodRow {
  readonly name: string;
  readonly revision: string;
  readonly ready: boolean;
  /** Being deleted already. */
  readonly ending: boolean;
}
export interface ReplicaPlan {
  readonly create: readonly { readonly name: string; readonly ordinal: number }[];
  readonly remove: readonly string[];
}

/** Which pods a StatefulSet is missing or has too many. */
export function planStatefulSet(set: { name: string; replicas: number }, pods: readonly PodRow[]): ReplicaPlan {
  const have = new Set(pods.map((pod) => pod.name));
  const create: { name: string; ordinal: number }[] = [];
  for (let ordinal = 0; ordinal < set.replicas; ordinal++) {
    const name = `${set.name}-${ordinal}`;
    if (!have.has(name)) create.push({ name, ordinal });
  }
  const extra = pods
    .filter((pod) => ordinalOf(pod.name) >= set.replicas)
    .sort((a, b) => ordinalOf(b.name) - ordinalOf(a.name));
  const highest = extra[0];
  return { create, remove: highest === undefined || highest.ending ? [] : [highest.name] };
}

/** Which pods a Deployment is missing or has too many; `nextOrdinal` numbers new ones. */
export function planDeployment(
  set: { name: string; replicas: number; revision: string; nextOrdinal: number },
  pods: readonly PodRow[],
): ReplicaPlan {
  const alive = pods.filter((pod) => !pod.ending);
  const current = alive.filter((pod) => pod.revision === set.revision);
  const old = alive.filter((pod) => pod.revision !== set.revision);
  const create = Array.from({ length: Math.max(0, set.replicas - current.length) }, (_, i) => ({
    name: `${set.name}-${set.revision.slice(0, 8)}-${set.nextOrdinal + i}`,
    ordinal: set.nextOrdinal + i,
  }));
  const remove = current.slice(set.replicas).map((pod) => pod.name);
  const isNewReady = current.filter((pod) => pod.ready).length >= set.replicas;
  return { create, remove: isNewReady ? [...remove, ...old.map((pod) => pod.name)] : remove };
}

function ordinalOf(name: string): number {
  return Number(name.slice(name.lastIndexOf('-') + 1));
}
