// What makes Services and their names work: kube-proxy for the namespace, CoreDNS as a process beside the pods,
// and the Service that leads to such a process. Called by bring-up.ts, prometheus.ts and prometheus-adapter.ts.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { kubeconfigOf } from './certificates.ts';
import { startDaemon } from './daemon.ts';
import type { Daemon } from './daemon.ts';
import { controlPlaneIp, podRange } from './layout.ts';
import type { ClusterLayout } from './layout.ts';

/** Starts kube-proxy. One serves all nodes, since they share the namespace's firewall. */
export function startProxy(layout: ClusterLayout): Daemon {
  const config = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    bindAddress: '127.0.0.1',
    metricsBindAddress: '127.0.0.1:10249',
    healthzBindAddress: '127.0.0.1:10256',
    clientConnection: { kubeconfig: kubeconfigOf(layout, 'proxy') },
    mode: 'nftables',
    clusterCIDR: podRange,
    hostnameOverride: layout.nodes[0]?.name,
    nodePortAddresses: layout.nodes.map((node) => `${node.ip}/32`),
    // The table's size belongs to the host, and a namespace may not set it.
    conntrack: { maxPerCore: 0 },
    nftables: { minSyncPeriod: '100ms', syncPeriod: '30s' },
  };
  const file = join(layout.folder, 'proxy.json');
  writeFileSync(file, `${JSON.stringify(config, undefined, 2)}\n`);
  const pathFolders = [dirname(requirePart('nft')), dirname(requirePart('conntrack'))];
  const args = [`--config=${file}`];
  return startDaemon(layout, { name: 'kube-proxy', program: requirePart('kube-proxy'), args, pathFolders });
}

/** Starts CoreDNS on the first node's address, port 53. Names of pods with a subdomain resolve too. */
export function startDns(layout: ClusterLayout): Daemon {
  const folder = join(layout.folder, 'coredns');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'Corefile');
  writeFileSync(
    file,
    `.:53 {
  bind ${controlPlaneIp}
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${layout.kubeconfig} e2e
    ttl 1
  }
  cache 1
}
`,
  );
  return startDaemon(layout, { name: 'coredns', program: requirePart('coredns'), args: ['-conf', file] });
}

/** A port of a process beside the pods. */
export interface HostPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** Where the process listens, when it differs from the Service's port. */
  readonly targetPort?: number;
}

/** A Service and the EndpointSlice that leads it to a process on the first node's address. */
export function hostService(service: {
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly HostPort[];
  readonly clusterIp?: string;
}): readonly [unknown, unknown] {
  const { namespace, name, ports } = service;
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: {
        ...(service.clusterIp === undefined ? {} : { clusterIP: service.clusterIp }),
        ports: ports.map((port) => ({ name: port.name, port: port.port, protocol: port.protocol })),
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-host`, namespace, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [controlPlaneIp], conditions: { ready: true } }],
      ports: ports.map((port) => ({
        name: port.name,
        port: port.targetPort ?? port.port,
        protocol: port.protocol,
      })),
    },
  ];
}
