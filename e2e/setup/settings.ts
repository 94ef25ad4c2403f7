// The one place under e2e/ that reads the environment: where the cache lies, which cluster to use, what the
// cluster told the command that runs inside it. Everything else takes these as values.
// Called by e2e/setup and e2e/cluster; scenarios read `liveCluster()` in e2e/cluster/live.ts instead.

import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

/** Where binaries, images, running clusters and kept logs lie. Outside the repository, so a fresh clone reuses it. */
export function cacheFolder(): string {
  const own = process.env['PUSHCLUSTER_CACHE'];
  if (own !== undefined && own !== '') return resolve(own);
  const xdg = process.env['XDG_CACHE_HOME'];
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'pushcluster');
}

/**
 * The folders a program is looked for in: PATH, then the administrator's folders, which PATH lacks for plain
 * users, then where Debian keeps the CNI plugins and, by version, PostgreSQL.
 */
export function programFolders(): readonly string[] {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const system = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/usr/lib/cni'];
  return [...new Set([...path, ...system, ...postgresFolders()])];
}

function postgresFolders(): readonly string[] {
  const root = '/usr/lib/postgresql';
  if (!existsSync(root)) return [];
  return readdirSync(root).map((version) => join(root, version, 'bin'));
}

/** The kubeconfig of a cluster that is already there (kind, k3s, a real one), or undefined. */
export function givenKubeconfig(): string | undefined {
  const path = process.env['KUBECONFIG'];
  return path === undefined || path === '' ? undefined : path;
}

/** Set by the cluster for what runs inside it: the path of the live cluster's description. See cluster/live.ts. */
export const liveClusterVariable = 'PUSHCLUSTER_E2E_CLUSTER';

/** The path in {@link liveClusterVariable}, or undefined outside a cluster of our own. */
export function liveClusterFile(): string | undefined {
  const path = process.env[liveClusterVariable];
  return path === undefined || path === '' ? undefined : path;
}

/** The environment for a child: this process's own with changes on top; undefined removes a variable. */
export function childEnvironment(changes: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  const merged: NodeJS.ProcessEnv = { ...process.env };
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete merged[name];
    else merged[name] = value;
  }
  return merged;
}
