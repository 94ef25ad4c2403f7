// NetworkPolicies: links only from roles that hold them, the evaluation Redis only from this cluster's pods. Clients and scrapers come from
// anywhere; what changes a gateway over its admin port needs the admin key.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames, LABEL_CLUSTER } from '../types.ts';
import type { Cluster, Component } from '../types.ts';
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
          { ports: [port('link')], from: linkPeers(cluster, ['router', 'drainer', 'gateway']) },
        ],
      },
    },
  );
  const router = child(
    cluster,
    { kind: KINDS.networkPolicy, name: names.router, component: 'router' },
    {
      spec: {
        podSelector: { matchLabels: selectorLabels(cluster, 'router') },
        policyTypes: ['Ingress'],
        ingress: [
          { ports: [port('http'), port('tcp'), port('admin')] },
          { ports: [port('link')], from: linkPeers(cluster, ['router', 'upstream']) },
        ],
      },
    },
  );
  if (cluster.spec.store !== null) return [gateway, router];
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
  return [gateway, router, store];
}

function linkPeers(cluster: Cluster, components: readonly Component[]): readonly Readonly<Record<string, unknown>>[] {
  return components.map((component) => ({ podSelector: { matchLabels: selectorLabels(cluster, component) } }));
}

function port(name: string): Readonly<Record<string, unknown>> {
  return { port: name, protocol: 'TCP' };
}
