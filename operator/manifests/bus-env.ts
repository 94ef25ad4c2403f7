// The bus as the roles' settings have it. pod-template.ts gives it to every role that has a use for one.
import type { Cluster } from '../types.ts';
import type { EnvValue } from './pod-template.ts';

export function busEnv(cluster: Cluster): Readonly<Record<string, EnvValue>> {
  const { bus } = cluster.spec;
  if (bus === null) return { PUSHCLUSTER_BUS: 'none' };
  const { username, secretRef } = bus;
  return {
    PUSHCLUSTER_BUS: `kafka://${bus.brokers.join(',')}`,
    PUSHCLUSTER_BUS_TLS: String(bus.tls),
    PUSHCLUSTER_BUS_PREFIX: `${cluster.namespace}.${cluster.name}.`,
    PUSHCLUSTER_BUS_PARTITIONS: String(bus.partitions),
    PUSHCLUSTER_BUS_REPLICATION: String(bus.replicationFactor),
    ...(username === null || secretRef === null
      ? {}
      : {
          PUSHCLUSTER_BUS_USERNAME: username,
          PUSHCLUSTER_BUS_PASSWORD: { secret: secretRef.name, key: secretRef.key },
        }),
  };
}
