// One node: a containerd and a kubelet. Several nodes share the namespace; each has its own address, pods' range,
// cgroup and containerd, so that a node can be killed alone. Called by bring-up.ts and by scenarios that bring a
// killed node back.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { kubeconfigOf, pki } from './certificates.ts';
import { makeCgroup } from './cgroups.ts';
import { startDaemon } from './daemon.ts';
import type { Daemon } from './daemon.ts';
import { dnsServiceIp } from './layout.ts';
import type { ClusterLayout, NodeLayout } from './layout.ts';

/** Starts a node's kubelet, which registers the node by itself. containerd must answer already. */
export function startKubelet(layout: ClusterLayout, node: NodeLayout): Daemon {
  makeCgroup(node.cgroup);
  mkdirSync(node.folder, { recursive: true });
  const configFile = join(node.folder, 'kubelet.json');
  writeFileSync(configFile, `${JSON.stringify(kubeletConfig(layout, node), undefined, 2)}\n`);
  const args = [
    `--config=${configFile}`,
    `--kubeconfig=${kubeconfigOf(layout, node.name)}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${node.ip}`,
    `--root-dir=${join(node.folder, 'kubelet')}`,
  ];
  const pathFolders = [dirname(requirePart('runc')), dirname(requirePart('conntrack'))];
  return startDaemon(layout, { name: `kubelet-${node.name}`, program: requirePart('kubelet'), args, pathFolders });
}

function kubeletConfig(layout: ClusterLayout, node: NodeLayout): unknown {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: node.ip,
    healthzBindAddress: node.ip,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki(layout, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: pki(layout, `${node.name}.crt`),
    tlsPrivateKeyFile: pki(layout, `${node.name}.key`),
    containerRuntimeEndpoint: `unix://${node.containerdSocket}`,
    cgroupRoot: node.cgroup,
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    maxPods: 200,
    readOnlyPort: 0,
    clusterDNS: [dnsServiceIp],
    clusterDomain: 'cluster.local',
    // The cluster's DNS answers for the cluster only; there is no other resolver to fall back to.
    resolvConf: '',
    // Kept with the other logs of a failed run.
    podLogsDir: join(layout.logFolder, `pods-${node.name}`),
    // The lease is renewed every quarter of this: with the controller manager's 16 s of grace a lost node is
    // noticed quickly, and a busy machine still has five chances to renew.
    nodeLeaseDurationSeconds: 12,
    serializeImagePulls: false,
    // A developer's disk may be nearly full; pods of a test are not evicted for that.
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
      'nodefs.inodesFree': '1%',
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
  };
}
