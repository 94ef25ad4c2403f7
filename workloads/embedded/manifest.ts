// Reads the manifest that `npm start` is given: the same YAML that kubectl apply takes. Only PushCluster and PushApp are taken;
// anything else in the file is named and left out, as is everything that belongs to a cluster (namespaces, Secrets of others).
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../operator/kube/port.ts';

/** The file is not YAML, or holds no PushCluster. */
export class InvalidManifestError extends Error {
  readonly code = 'invalid-manifest';
}

export interface Manifest {
  readonly cluster: KubeObject;
  readonly apps: readonly KubeObject[];
  /** `kind/name` of what was left out. */
  readonly ignored: readonly string[];
}

const API_VERSION = 'pushcluster.io/v1alpha1';

/** YAML text → objects in namespace `default`. Throws InvalidManifestError; exactly one PushCluster is expected. */
export function readManifest(text: string): Manifest {
  const clusters: KubeObject[] = [];
  const apps: KubeObject[] = [];
  const ignored: string[] = [];
  for (const [i, document] of parseAllDocuments(text).entries()) {
    const problem = document.errors[0];
    if (problem !== undefined) throw new InvalidManifestError(`document ${i + 1}: ${problem.message}`);
    const value: unknown = document.toJS();
    if (value === null || value === undefined) continue;
    const object = parseObject(value, i + 1);
    if (object.apiVersion === API_VERSION && object.kind === 'PushCluster') clusters.push(object);
    else if (object.apiVersion === API_VERSION && object.kind === 'PushApp') apps.push(object);
    else ignored.push(`${object.kind}/${object.metadata.name}`);
  }
  const [cluster] = clusters;
  if (cluster === undefined || clusters.length > 1) {
    throw new InvalidManifestError(`expected one PushCluster (${API_VERSION}), got ${clusters.length}`);
  }
  return { cluster, apps, ignored };
}

/** Gateways that the manifest asks for, before anyone has checked it; what is not a number counts as one. */
export function gatewaysOf({ cluster }: Manifest): number {
  const { gateway } = (cluster['spec'] ?? {}) as { gateway?: { replicas?: unknown } };
  return typeof gateway?.replicas === 'number' ? Math.min(Math.max(gateway.replicas, 1), 64) : 1;
}

function parseObject(value: unknown, at: number): KubeObject {
  if (typeof value !== 'object')
    throw new InvalidManifestError(`document ${at}: expected an object, got ${typeof value}`);
  const { apiVersion, kind, metadata, ...rest } = value as Record<string, unknown>;
  const name =
    typeof metadata === 'object' && metadata !== null ? (metadata as Record<string, unknown>)['name'] : undefined;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || typeof name !== 'string') {
    throw new InvalidManifestError(`document ${at}: expected apiVersion, kind and metadata.name`);
  }
  return {
    ...rest,
    apiVersion,
    kind,
    metadata: { ...(metadata as Record<string, unknown>), name, namespace: 'default' },
  };
}
