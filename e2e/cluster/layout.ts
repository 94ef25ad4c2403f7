// Names, addresses and folders of one cluster: pure, the same outside the namespace and inside it. Every other
// file of e2e/cluster takes its paths from here, so that clean-up knows all there can be.

import { join } from 'node:path';
import { cacheFolder } from '../setup/settings.ts';

/** One node: a kubelet and a containerd of its own, and a /24 of pod addresses. */
export interface NodeLayout {
  readonly name: string;
  /** The node's address, also the gateway of its pods. */
  readonly ip: string;
  readonly podRange: string;
  readonly folder: string;
  /** In the namespace's own /run: a path in the cache could exceed the 107 bytes of a Unix socket's address. */
  readonly runFolder: string;
  readonly containerdSocket: string;
  /** Below the cgroup root, shared by no other cluster: kubelets remove the pods they do not know. */
  readonly cgroup: string;
}

/** One cluster's folders and names. */
export interface ClusterLayout {
  readonly name: string;
  readonly folder: string;
  readonly pkiFolder: string;
  readonly logFolder: string;
  readonly pidFolder: string;
  readonly kubeconfig: string;
  /** Written last: its presence means that the cluster is ready. See live.ts. */
  readonly descriptionFile: string;
  readonly ownerFile: string;
  readonly cgroup: string;
  readonly nodes: readonly NodeLayout[];
}

/** The bridge that carries the nodes' addresses; the pods are linked by the ptp plugin, not through it. */
export const bridgeName = 'cni0';
export const podRange = '10.244.0.0/16';
export const serviceRange = '10.96.0.0/16';
export const apiServiceIp = '10.96.0.1';
export const dnsServiceIp = '10.96.0.10';
/** The first node's address; the control plane and the processes beside the pods listen on it. */
export const controlPlaneIp = '10.244.0.1';
export const apiServerUrl = `https://${controlPlaneIp}:6443`;
export const etcdUrl = 'http://127.0.0.1:2379';

/** Node k has 10.244.(k-1).0/24: at most this many, which is also all that a test could want. */
export const nodeCountMax = 8;

/** Where all clusters of our own lie, one folder each. */
export function clustersFolder(): string {
  return join(cacheFolder(), 'clusters');
}

/** Where logs of failed runs are kept. */
export function keptLogsFolder(): string {
  return join(cacheFolder(), 'logs');
}

/** Describes a cluster by name. `name`: letters, digits and dashes, since it names folders and cgroups. */
export function describeCluster(name: string, nodeCount: number): ClusterLayout {
  if (!/^[a-z0-9-]{1,40}$/.test(name)) throw new Error(`a cluster's name is letters, digits and dashes, got ${name}`);
  if (!Number.isInteger(nodeCount) || nodeCount < 1 || nodeCount > nodeCountMax) {
    throw new Error(`a cluster has 1 to ${nodeCountMax} nodes, got ${nodeCount}`);
  }
  const folder = join(clustersFolder(), name);
  const cgroup = `/pushcluster-${name}`;
  return {
    name,
    folder,
    pkiFolder: join(folder, 'pki'),
    logFolder: join(folder, 'log'),
    pidFolder: join(folder, 'pids'),
    kubeconfig: join(folder, 'admin.kubeconfig'),
    descriptionFile: join(folder, 'cluster.json'),
    ownerFile: join(folder, 'owner.json'),
    cgroup,
    nodes: Array.from({ length: nodeCount }, (_, index) => describeNode(index, folder, cgroup)),
  };
}

function describeNode(index: number, clusterFolder: string, clusterCgroup: string): NodeLayout {
  const name = `node${index + 1}`;
  const runFolder = `/run/pushcluster/${name}`;
  return {
    name,
    ip: `10.244.${index}.1`,
    podRange: `10.244.${index}.0/24`,
    folder: join(clusterFolder, name),
    runFolder,
    containerdSocket: join(runFolder, 'containerd.sock'),
    cgroup: `${clusterCgroup}/${name}`,
  };
}
