// The environment of what runs against a cluster of our own: the same for a command that a run starts inside and
// for a developer's `exec`. Called by inside.ts and main.ts.

import { dirname } from 'node:path';
import { findPart } from '../setup/parts.ts';
import { childEnvironment, liveClusterVariable, programFolders } from '../setup/settings.ts';
import type { ClusterLayout } from './layout.ts';

/** Sets KUBECONFIG and the description's path, and puts kubectl, helm and ctr on the PATH. */
export function clusterEnvironment(layout: ClusterLayout): NodeJS.ProcessEnv {
  const built = ['kubectl', 'helm', 'ctr'].map((name) => findPart(name)).filter((path) => path !== undefined);
  const folders = new Set([dirname(process.execPath), ...programFolders(), ...built.map((path) => dirname(path))]);
  return childEnvironment({
    KUBECONFIG: layout.kubeconfig,
    [liveClusterVariable]: layout.descriptionFile,
    PATH: [...folders].join(':'),
  });
}
