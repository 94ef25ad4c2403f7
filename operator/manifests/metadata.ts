// Metadata that every child has: name, labels by which it is found, the owner by whom it goes away. All builders start here.
import type { Kind, KubeObject } from '../kube/port.ts';
import { KINDS } from '../kube/port.ts';
import { LABEL_CLUSTER, LABEL_COMPONENT, LABEL_MANAGED_BY, MANAGED_BY } from '../types.ts';
import type { Cluster, Component } from '../types.ts';

export type Labels = Readonly<Record<string, string>>;

/** Labels that select a component's pods. They never change. */
export function selectorLabels(cluster: Cluster, component: Component): Labels {
  return { [LABEL_CLUSTER]: cluster.name, [LABEL_COMPONENT]: component };
}

export function labelsOf(cluster: Cluster, component: Component | null): Labels {
  return {
    'app.kubernetes.io/name': 'pushcluster',
    'app.kubernetes.io/instance': cluster.name,
    [LABEL_MANAGED_BY]: MANAGED_BY,
    [LABEL_CLUSTER]: cluster.name,
    ...(component === null ? {} : { [LABEL_COMPONENT]: component }),
  };
}

/** A child of the cluster: owned by it, labelled, with the given body. */
export function child(
  cluster: Cluster,
  what: { readonly kind: Kind; readonly name: string; readonly component: Component | null; readonly labels?: Labels },
  body: Readonly<Record<string, unknown>>,
): KubeObject {
  return {
    apiVersion: what.kind.apiVersion,
    kind: what.kind.kind,
    metadata: {
      name: what.name,
      namespace: cluster.namespace,
      labels: { ...what.labels, ...labelsOf(cluster, what.component) },
      ownerReferences: [
        {
          apiVersion: KINDS.pushCluster.apiVersion,
          kind: KINDS.pushCluster.kind,
          name: cluster.name,
          uid: cluster.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    ...body,
  };
}
