// What a test may know of the cluster it runs against: written by bring-up.ts when the cluster is ready, read by
// everything that scenarios call. With a KUBECONFIG of somebody else's cluster there is no description, and what
// needs the machine below the cluster (killing a process, a node) says so.

import { readFileSync, writeFileSync } from 'node:fs';
import { liveClusterFile } from '../setup/settings.ts';
import type { ClusterLayout } from './layout.ts';

/** The description of a running cluster of our own: its layout, and how long it took to come up. */
export interface LiveCluster extends ClusterLayout {
  readonly readyAfterMs: number;
}

/** Writes the description; its presence says "ready". */
export function writeLiveCluster(cluster: LiveCluster): void {
  writeFileSync(cluster.descriptionFile, `${JSON.stringify(cluster, undefined, 2)}\n`);
}

/** The cluster that this process runs in, or undefined when it is somebody else's or there is none. */
export function findLiveCluster(): LiveCluster | undefined {
  const file = liveClusterFile();
  return file === undefined ? undefined : (JSON.parse(readFileSync(file, 'utf8')) as LiveCluster);
}

/** The cluster that this process runs in. Throws, with what to do, when it is not one of our own. */
export function liveCluster(): LiveCluster {
  const cluster = findLiveCluster();
  if (cluster !== undefined) return cluster;
  throw new Error('this needs a cluster of our own: node e2e/cluster/run.ts -- <command>');
}
