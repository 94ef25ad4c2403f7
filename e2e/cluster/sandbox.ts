// The host's side of a cluster: starts the namespaces (network, mounts, processes), knows who holds them, and
// cleans up. All of a cluster's processes are in one process namespace, so they end with its first process, even
// after kill -9 of the run; bridge, rules and mounts vanish with the last process. What is left to remove is a
// cgroup and a folder. Called by run.ts and main.ts; inside.ts is what runs in there.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { missingPart } from '../setup/parts.ts';
import { hasCgroup, removeCgroup } from './cgroups.ts';
import { clustersFolder, describeCluster, keptLogsFolder } from './layout.ts';
import type { ClusterLayout } from './layout.ts';
import { childrenOf, isMarkAlive, markProcess, readOwner, writeOwner } from './owner.ts';
import type { Owner } from './owner.ts';
import { waitFor } from './wait.ts';

/** What a cluster of our own is made of; images need more (redis-server, busybox …), scenarios say so themselves. */
export const clusterParts: readonly string[] = [
  'runc',
  'ptp',
  'host-local',
  'nft',
  'conntrack',
  'ip',
  'openssl',
  'pause',
  'etcd',
  'coredns',
  'kubectl',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'containerd',
  'containerd-shim-runc-v2',
  'ctr',
];

/**
 * The first process in the namespaces: a shell, since a first process must reap orphans (shells do, Node does
 * not). It raises the file limit as far as it goes, and gives the child its own standard input, which a shell
 * takes from background commands.
 */
const firstProcess = 'ulimit -n "$(ulimit -Hn)"; exec 4<&0; "$@" <&4 4<&- & wait $!';

/** Why no cluster of our own can be made here; undefined when it can. */
export function whyNoCluster(): string | undefined {
  if (process.platform !== 'linux') return 'a cluster of our own needs Linux; set KUBECONFIG to use another';
  if (process.getuid?.() !== 0) return 'a cluster of our own needs root, for namespaces; set KUBECONFIG to use another';
  return missingPart(...clusterParts);
}

export interface SandboxOptions {
  /** Run inside once the cluster is ready; the cluster ends with it. Without: the cluster stays until it is closed. */
  readonly command?: readonly string[];
}

/**
 * Starts the namespaces and, inside them, the bringing up. With a command the cluster is tied to this process: a
 * pipe closes when it dies, however it dies. Without one it is detached and writes to up.log.
 */
export function openSandbox(layout: ClusterLayout, options: SandboxOptions): ChildProcess {
  mkdirSync(layout.logFolder, { recursive: true });
  const isTied = options.command !== undefined;
  const runner = isTied ? markProcess(process.pid) : undefined;
  const owner: Owner = { name: layout.name, nodes: layout.nodes.length, holder: undefined, runner };
  writeOwner(layout.ownerFile, owner);
  const inside = [process.execPath, join(import.meta.dirname, 'inside.ts'), layout.name, `${layout.nodes.length}`];
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child=SIGKILL'];
  const words = [...namespaces, 'sh', '-c', firstProcess, 'sh', ...inside, ...(options.command ?? [])];
  const log = isTied ? undefined : openSync(join(layout.logFolder, 'up.log'), 'a');
  const holder = spawn('unshare', words, {
    detached: !isTied,
    stdio: log === undefined ? ['inherit', 'inherit', 'inherit', 'pipe'] : ['ignore', log, log],
  });
  if (log !== undefined) closeSync(log);
  if (holder.pid === undefined) throw new Error('could not start unshare (util-linux)');
  writeOwner(layout.ownerFile, { ...owner, holder: markProcess(holder.pid) });
  return holder;
}

/** Ends a cluster whose holder may still live, and removes what is left of it. Under a second. */
export async function closeSandbox(layout: ClusterLayout): Promise<void> {
  const holder = readOwner(layout.ownerFile)?.holder;
  if (holder !== undefined && isMarkAlive(holder)) {
    // The first process, not its holder: the holder returns only once every process inside is dead.
    for (const first of childrenOf(holder.pid)) process.kill(first, 'SIGKILL');
    await waitFor(`the processes of cluster ${layout.name} to end`, () => !isMarkAlive(holder), {
      timeoutMs: 20_000,
      intervalMs: 20,
    });
  }
  await waitFor(
    `the cgroup ${layout.cgroup} to be empty`,
    () => {
      removeCgroup(layout.cgroup);
      return !hasCgroup(layout.cgroup);
    },
    { timeoutMs: 10_000, intervalMs: 50 },
  );
  // Retries: a killed process may write its last file while the folder is being removed.
  rmSync(layout.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

/** Whether somebody holds that cluster now. */
export function isSandboxAlive(name: string): boolean {
  const owner = readOwner(describeCluster(name, 1).ownerFile);
  return owner !== undefined && (isMarkAlive(owner.holder) || isMarkAlive(owner.runner));
}

/**
 * Removes what killed runs have left: clusters whose run is gone. One that outlives its run for a moment is ended.
 * Called before every start. Returns the names of what was removed.
 */
export async function sweepSandboxes(): Promise<readonly string[]> {
  if (!existsSync(clustersFolder())) return [];
  const swept: string[] = [];
  for (const name of readdirSync(clustersFolder())) {
    const layout = describeCluster(name, 1);
    const owner = readOwner(layout.ownerFile);
    const isHeld = owner?.runner === undefined ? isMarkAlive(owner?.holder) : isMarkAlive(owner.runner);
    if (isHeld || (owner === undefined && isYoung(layout.folder))) continue;
    await closeSandbox(layout);
    swept.push(name);
  }
  return swept;
}

/** Keeps a failed cluster's logs. Returns their folder. At most ten are kept. */
export function keepLogs(layout: ClusterLayout): string {
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-').slice(0, 19);
  const folder = join(keptLogsFolder(), `${stamp}-${layout.name}`);
  mkdirSync(keptLogsFolder(), { recursive: true });
  if (existsSync(layout.logFolder)) cpSync(layout.logFolder, folder, { recursive: true });
  for (const old of readdirSync(keptLogsFolder()).toSorted().slice(0, -10)) {
    rmSync(join(keptLogsFolder(), old), { recursive: true, force: true });
  }
  return folder;
}

/** Another start may be between making its folder and writing its owner. */
function isYoung(folder: string): boolean {
  const stat = statSync(folder, { throwIfNoEntry: false });
  return stat !== undefined && Date.now() - stat.mtimeMs < 10_000;
}
