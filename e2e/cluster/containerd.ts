// A node's containerd: its configuration, the pods' network, the sandbox image. Called by node.ts; image.ts
// imports into it and processes.ts asks it for a container's process.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { awaitDaemon, startDaemon } from './daemon.ts';
import type { Daemon } from './daemon.ts';
import { tryCommand } from './command.ts';
import type { ClusterLayout, NodeLayout } from './layout.ts';

/** The image that the kubelet's pods are told to use for their sandbox; made by pause-image.ts. */
export const sandboxImage = 'registry.k8s.io/pause:3.10';

/** The namespace of containerd in which the kubelet's containers and images are. */
export const containerdNamespace = 'k8s.io';

/** Starts a node's containerd and waits until it answers. About 0.4 s. */
export async function startContainerd(layout: ClusterLayout, node: NodeLayout): Promise<Daemon> {
  const cniFolder = join(node.folder, 'cni');
  mkdirSync(cniFolder, { recursive: true });
  mkdirSync(node.runFolder, { recursive: true });
  writeFileSync(join(cniFolder, '10-pods.conflist'), networkConfig(node));
  const configFile = join(node.folder, 'containerd.toml');
  writeFileSync(configFile, containerdConfig(node, cniFolder));
  const containerd = startDaemon(layout, {
    name: `containerd-${node.name}`,
    program: requirePart('containerd'),
    args: ['-c', configFile],
    pathFolders: [dirname(requirePart('containerd-shim-runc-v2')), dirname(requirePart('runc'))],
  });
  const isReady = async (): Promise<boolean> => {
    const version = await tryCommand([requirePart('ctr'), '-a', node.containerdSocket, 'version']);
    return version.code === 0;
  };
  await awaitDaemon(containerd, isReady, { timeoutMs: 30_000 });
  return containerd;
}

/**
 * ptp and not bridge: every packet between pods then goes through this namespace's routes and rules, so that a
 * Service's answer finds its way back even when both pods are on one node (on a bridge it takes a short cut).
 */
function networkConfig(node: NodeLayout): string {
  const ipam = {
    type: 'host-local',
    dataDir: join(node.folder, 'cni', 'addresses'),
    ranges: [[{ subnet: node.podRange, rangeStart: node.ip.replace(/\d+$/, '10'), gateway: node.ip }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const plugins = [{ type: 'ptp', ipMasq: false, mtu: 1500, ipam }];
  return `${JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins }, undefined, 2)}\n`;
}

/**
 * restrict_oom_score_adj: a sandbox like this one may not lower a process's score, and every pod would fail
 * without it. The pinned sandbox image must not be collected as unused.
 */
function containerdConfig(node: NodeLayout, cniFolder: string): string {
  const runtime = `plugins.'io.containerd.cri.v1.runtime'`;
  return `version = 3
root = "${join(node.folder, 'containerd')}"
state = "${join(node.runFolder, 'containerd')}"
[grpc]
  address = "${node.containerdSocket}"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "${sandboxImage}"
[${runtime}]
  restrict_oom_score_adj = true
  disable_apparmor = true
  [${runtime}.cni]
    bin_dirs = ["${dirname(requirePart('ptp'))}"]
    conf_dir = "${cniFolder}"
  [${runtime}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [${runtime}.containerd.runtimes.runc.options]
      SystemdCgroup = false
`;
}
