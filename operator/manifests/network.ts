// NetworkPolicies: links only from roles that hold them, the evaluation Redis only from this cluster's pods. Clients and scrapers come from
// anywhere; what changes a gateway over its admin port needs the admin key.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames, LABEL_CLUSTER } from '../types.ts';
import type { Cluster, Component } from '../types.ts';
import { child, selectorLabels } from './metadata.ts';

export function networkPolicies(cluster: Cluster): readonly KubeObject[] {
  const policies = [
    ingressOf(cluster, 'gateway', [
      { ports: [port('client'), port('admin')] },
      { ports: [port('link')], from: linkPeers(cluster, ['router', 'drainer', 'gateway']) },
    ]),
    ingressOf(cluster, 'router', [
      { ports: [port('http'), port('tcp'), port('admin')] },
      { ports: [port('link')], from: linkPeers(cluster, ['router', 'upstream']) },
    ]),
  ];
  if (cluster.spec.store !== null) return policies;
  const pods = [{ podSelector: { matchLabels: { [LABEL_CLUSTER]: cluster.name } } }];
  return [...policies, ingressOf(cluster, 'store', [{ ports: [port('redis')], from: pods }])];
}

/** The pods of a component take what `ingress` says, and nothing else. */
function ingressOf(
  cluster: Cluster,
  component: 'gateway' | 'router' | 'store',
  ingress: readonly Readonly<Record<string, unknown>>[],
): KubeObject {
  const podSelector = { matchLabels: selectorLabels(cluster, component) };
  return child(
    cluster,
    { kind: KINDS.networkPolicy, name: childNames(cluster.name)[component], component },
    { spec: { podSelector, policyTypes: ['Ingress'], ingress } },
  );
}

function linkPeers(cluster: Cluster, components: readonly Component[]): readonly Readonly<Record<string, unknown>>[] {
  return components.map((component) => ({ podSelector: { matchLabels: selectorLabels(cluster, component) } }));
}

function port(name: string): Readonly<Record<string, unknown>> {
  return { port: name, protocol: 'TCP' };
}
