// Killing things beneath Kubernetes: a container's process, a component, a whole node. For scenarios that ask what
// a crash costs; needs a cluster of our own, since it signals processes of this machine.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { cgroupPids } from './cgroups.ts';
import { runCommand } from './command.ts';
import { containerdNamespace, startContainerd } from './containerd.ts';
import { daemonPid, isAlive } from './daemon.ts';
import { getObject } from './kubectl.ts';
import type { Pod } from './kubectl.ts';
import type { LiveCluster } from './live.ts';
import { liveCluster } from './live.ts';
import type { NodeLayout } from './layout.ts';
import { startKubelet } from './node.ts';
import { waitFor } from './wait.ts';

/** The nft table that makes a dead node silent; see {@link killNode}. */
const lostNodesTable = 'pushcluster_lost_nodes';

/** A running container's first process, as this namespace numbers it. */
export interface ContainerProcess {
  readonly container: string;
  readonly pid: number;
}

/**
 * The first process of each of a pod's running containers. Throws when the pod is not there; empty when none of its
 * containers runs. Cost: one kubectl and one ctr, about 0.15 s.
 */
export async function podPids(namespace: string, podName: string): Promise<readonly ContainerProcess[]> {
  const pod = await getObject<Pod>('pod', podName, namespace);
  if (pod === undefined) throw new Error(`there is no pod ${namespace}/${podName}`);
  const node = findNode(pod.spec.nodeName);
  const words = [requirePart('ctr'), '-a', node.containerdSocket, '-n', containerdNamespace, 'tasks', 'ls'];
  const tasks = new Map<string, number>();
  for (const line of (await runCommand(words)).split('\n').slice(1)) {
    const [id = '', pid, state] = line.trim().split(/\s+/);
    if (state === 'RUNNING') tasks.set(id, Number(pid));
  }
  return (pod.status.containerStatuses ?? []).flatMap(({ name, containerID = '' }) => {
    const pid = tasks.get(containerID.replace('containerd://', ''));
    return pid === undefined ? [] : [{ container: name, pid }];
  });
}

/**
 * Sends a signal to the first process of a pod's container: SIGKILL for a crash that nothing announces, SIGSTOP and
 * SIGCONT for one that hangs. Returns the pid. With several containers, name one.
 */
export async function signalPod(
  target: { readonly namespace: string; readonly pod: string; readonly container?: string },
  signal: NodeJS.Signals,
): Promise<number> {
  const processes = await podPids(target.namespace, target.pod);
  const wanted = processes.filter(({ container }) => target.container === undefined || container === target.container);
  const [found] = wanted;
  if (found === undefined || wanted.length > 1) {
    throw new Error(`${target.namespace}/${target.pod}: expected one running container, found ${wanted.length}`);
  }
  process.kill(found.pid, signal);
  return found.pid;
}

/** Signals a component of the cluster by name: `kube-apiserver`, `etcd`, `kubelet-node1`, `containerd-node1`, … */
export function signalComponent(name: string, signal: NodeJS.Signals): void {
  const pid = daemonPid(liveCluster(), name);
  if (pid === undefined || !isAlive(pid)) throw new Error(`component ${name} does not run`);
  process.kill(pid, signal);
}

/**
 * Kills a node as a power cut would: kubelet, containerd, shims and every process of its pods at once, and from
 * then on its pods' addresses answer nothing at all (not even a refusal). The node goes NotReady after 16 s.
 */
export async function killNode(name: string): Promise<void> {
  const cluster = liveCluster();
  const node = findNode(name);
  // Silence first: a dying process must not get a last FIN out, which no power cut sends.
  const rules = ['prerouting', 'output', 'postrouting'].flatMap((hook) => [
    `add chain ip ${lostNodesTable} ${hook} { type filter hook ${hook} priority -310 ; }`,
    `add rule ip ${lostNodesTable} ${hook} ip saddr ${node.podRange} ip saddr != ${node.ip} drop`,
    `add rule ip ${lostNodesTable} ${hook} ip daddr ${node.podRange} ip daddr != ${node.ip} drop`,
  ]);
  const script = [`add table ip ${lostNodesTable}`, ...rules].join('\n');
  await runCommand([requirePart('nft'), '-f', '-'], { stdin: `${script}\n` });
  for (const component of [`kubelet-${name}`, `containerd-${name}`]) {
    const pid = daemonPid(cluster, component);
    if (pid !== undefined && isAlive(pid)) process.kill(pid, 'SIGKILL');
  }
  for (const pid of [...shimPids(node), ...cgroupPids(node.cgroup)]) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  await waitFor(`the processes of ${name} to end`, () => cgroupPids(node.cgroup).every((pid) => !isAlive(pid)), {
    timeoutMs: 10_000,
    intervalMs: 20,
  });
}

/**
 * Brings killed nodes back: their network answers again, containerd and kubelet start, and the kubelet makes the
 * pods anew. All silenced nodes are heard again, so bring back one only after the other.
 */
export async function reviveNode(name: string): Promise<void> {
  const cluster: LiveCluster = liveCluster();
  const node = findNode(name);
  await runCommand([requirePart('nft'), 'delete', 'table', 'ip', lostNodesTable]);
  await startContainerd(cluster, node);
  startKubelet(cluster, node);
}

function findNode(name: string | undefined): NodeLayout {
  const node = liveCluster().nodes.find((candidate) => candidate.name === name);
  if (node === undefined) throw new Error(`this cluster has no node ${name ?? '(none assigned yet)'}`);
  return node;
}

/** The shims name their containerd's socket on their command line. */
function shimPids(node: NodeLayout): readonly number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => commandLine(entry).includes(node.containerdSocket))
    .filter((entry) => commandLine(entry).includes('containerd-shim'))
    .map(Number);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'cmdline'), 'utf8');
  } catch {
    return '';
  }
}
