// The Secret with the cluster's own keys; pods mount only the files they need from it.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames } from '../types.ts';
import type { Cluster } from '../types.ts';
import { child } from './metadata.ts';

/** @param data file name → base64 */
export function keysSecret(cluster: Cluster, data: Readonly<Record<string, string>>): KubeObject {
  return child(
    cluster,
    { kind: KINDS.secret, name: childNames(cluster.name).keys, component: null },
    { type: 'Opaque', data },
  );
}
