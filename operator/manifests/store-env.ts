// The store as the roles' settings have it: its address, who we are there, and the files of its TLS. pod-template.ts gives them to every
// role.
import { childNames } from '../types.ts';
import type { Cluster } from '../types.ts';
import type { EnvValue } from './pod-template.ts';

const DIR = '/etc/pushcluster/store-tls';
/** Names of the files in it; those of the client's certificate are also the keys of a Secret of type kubernetes.io/tls. */
const FILES = { ca: 'ca.crt', certificate: 'tls.crt', key: 'tls.key' } as const;

/** `redis://…`, `redis+cluster://…` or `redis+sentinel://…`, each with `rediss` for TLS; the evaluation Redis where the manifest names none. */
export function storeUrl(cluster: Cluster): string {
  const { store } = cluster.spec;
  if (store === null) return `redis://${childNames(cluster.name).store}.${cluster.namespace}.svc:6379`;
  const scheme = store.tls ? 'rediss' : 'redis';
  const hosts = store.addresses.join(',');
  if (store.mode === 'cluster') return `${scheme}+cluster://${hosts}`;
  return store.mode === 'single' ? `${scheme}://${hosts}` : `${scheme}+sentinel://${hosts}/${store.masterName ?? ''}`;
}

export function storeEnv(cluster: Cluster): Readonly<Record<string, EnvValue>> {
  const { store } = cluster.spec;
  const url = { PUSHCLUSTER_STORE: storeUrl(cluster) };
  if (store === null) {
    const evaluation = { secret: childNames(cluster.name).store, key: 'password' };
    return { ...url, PUSHCLUSTER_STORE_PASSWORD: evaluation };
  }
  const { username, secretRef, caSecretRef, clientSecretRef, serverName } = store;
  return {
    ...url,
    ...(username === null ? {} : { PUSHCLUSTER_STORE_USERNAME: username }),
    ...(secretRef === null ? {} : { PUSHCLUSTER_STORE_PASSWORD: { secret: secretRef.name, key: secretRef.key } }),
    ...(caSecretRef === null ? {} : { PUSHCLUSTER_STORE_CA_FILE: `${DIR}/${FILES.ca}` }),
    ...(clientSecretRef === null
      ? {}
      : {
          PUSHCLUSTER_STORE_CERTIFICATE_FILE: `${DIR}/${FILES.certificate}`,
          PUSHCLUSTER_STORE_KEY_FILE: `${DIR}/${FILES.key}`,
        }),
    ...(serverName === null ? {} : { PUSHCLUSTER_STORE_SERVER_NAME: serverName }),
  };
}

/** The files of the store's TLS and where they are: kubelets renew them with their Secrets, and roles read them again. None without. */
export function storeVolume(cluster: Cluster): {
  readonly volumes: readonly object[];
  readonly mounts: readonly object[];
} {
  const { caSecretRef = null, clientSecretRef = null } = cluster.spec.store ?? {};
  const same = (file: string): object => ({ key: file, path: file });
  const sources = [
    ...(caSecretRef === null
      ? []
      : [{ secret: { name: caSecretRef.name, items: [{ key: caSecretRef.key, path: FILES.ca }] } }]),
    ...(clientSecretRef === null
      ? []
      : [{ secret: { name: clientSecretRef.name, items: [same(FILES.certificate), same(FILES.key)] } }]),
  ];
  if (sources.length === 0) return { volumes: [], mounts: [] };
  return {
    volumes: [{ name: 'store-tls', projected: { defaultMode: 0o440, sources } }],
    mounts: [{ name: 'store-tls', mountPath: DIR, readOnly: true }],
  };
}
