// A PostgreSQL beside the cluster's pods, where the upstream role stores messages: on the first node's address, which pods reach.
import { TestPostgres } from '../../workloads/upstream/test-postgres.ts';
import { controlPlaneIp } from '../cluster/layout.ts';
import { liveCluster } from '../cluster/live.ts';
import { requirePart } from '../setup/parts.ts';

/** Starts an empty server; ends with `remove()`, or with the cluster. Throws where the cluster is not one of our own. */
export async function startPostgres(): Promise<TestPostgres> {
  liveCluster();
  const programs = { postgres: requirePart('postgres'), initdb: requirePart('initdb') };
  return await TestPostgres.start({ ...programs, host: controlPlaneIp });
}

/** The Secret that `spec.upstream.database.secretRef` names. */
export function databaseSecret(
  place: { readonly namespace: string; readonly name: string },
  server: TestPostgres,
): unknown {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: place.name, namespace: place.namespace },
    stringData: { url: server.url },
  };
}
