// ServiceAccounts and the one Role: registry and router may read the two ConfigMaps of their cluster and nothing else; the
// other roles may do nothing. The operator must hold what it grants here (see crds/install/operator.yaml).
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames } from '../types.ts';
import type { Cluster } from '../types.ts';
import { child } from './metadata.ts';

const READERS = ['registry', 'router'] as const;

export function serviceAccounts(cluster: Cluster): readonly KubeObject[] {
  const names = childNames(cluster.name);
  return (['gateway', 'drainer', 'upstream', ...READERS] as const).map((component) =>
    child(
      cluster,
      { kind: KINDS.serviceAccount, name: names[component], component },
      { automountServiceAccountToken: false },
    ),
  );
}

export function configReaderRole(cluster: Cluster): KubeObject {
  const names = childNames(cluster.name);
  return child(
    cluster,
    { kind: KINDS.role, name: names.config, component: null },
    {
      rules: [
        {
          apiGroups: [''],
          resources: ['configmaps'],
          resourceNames: [names.routing, names.apps],
          verbs: ['get', 'list', 'watch'],
        },
      ],
    },
  );
}

export function configReaderBinding(cluster: Cluster): KubeObject {
  const names = childNames(cluster.name);
  return child(
    cluster,
    { kind: KINDS.roleBinding, name: names.config, component: null },
    {
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: names.config },
      subjects: READERS.map((reader) => ({
        kind: 'ServiceAccount',
        name: names[reader],
        namespace: cluster.namespace,
      })),
    },
  );
}
