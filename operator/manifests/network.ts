// NetworkPolicies: links only from routers, the evaluation Redis only from this cluster's pods. Clients and scrapers come from
// anywhere; what changes a gateway over its admin port needs the admin key.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames, LABEL_CLUSTER } from '../types.ts';
import type { Cluster } from '../types.ts';
import { child, selectorLabels } from './metadata.ts';

export function networkPolicies(cluster: Cluster): readonly KubeObject[] {
  const names = childNames(cluster.name);
  const gateway = child(
    cluster,
    { kind: KINDS.networkPolicy, name: names.gateway, component: 'gateway' },
    {
      spec: {
        podSelector: { matchLabels: selectorLabels(cluster, 'gateway') },
        policyTypes: ['Ingress'],
        ingress: [
          { ports: [port('client'), port('admin')] },
          { ports: [port('link')], from: [{ podSelector: { matchLabels: selectorLabels(cluster, 'router') } }] },
        ],
      },
    },
  );
  if (cluster.spec.store !== null) return [gateway];
  const store = child(
    cluster,
    { kind: KINDS.networkPolicy, name: names.store, component: 'store' },
    {
      spec: {
        podSelector: { matchLabels: selectorLabels(cluster, 'store') },
        policyTypes: ['Ingress'],
        ingress: [
          { ports: [port('redis')], from: [{ podSelector: { matchLabels: { [LABEL_CLUSTER]: cluster.name } } }] },
        ],
      },
    },
  );
  return [gateway, store];
}

function port(name: string): Readonly<Record<string, unknown>> {
  return { port: name, protocol: 'TCP' };
}
