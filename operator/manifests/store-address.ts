// The store's address as the roles' setting PUSHCLUSTER_STORE has it.
import { childNames } from '../types.ts';
import type { Cluster } from '../types.ts';

/** `redis://…`, `redis+cluster://…` or `redis+sentinel://…`; the evaluation Redis where the manifest names none. */
export function storeUrl(cluster: Cluster): string {
  const { store } = cluster.spec;
  if (store === null) return `redis://${childNames(cluster.name).store}.${cluster.namespace}.svc:6379`;
  const hosts = store.addresses.join(',');
  if (store.mode === 'cluster') return `redis+cluster://${hosts}`;
  return store.mode === 'single' ? `redis://${hosts}` : `redis+sentinel://${hosts}/${store.masterName ?? ''}`;
}
