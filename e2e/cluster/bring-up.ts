// Brings a cluster up inside its namespace, in the order of what needs what, each step with its time. Nothing is
// undone here when a step fails: the namespace dies as a whole. Called by inside.ts.

import { mkdirSync } from 'node:fs';
import { openApiClient } from './api-client.ts';
import type { ApiClient } from './api-client.ts';
import { makeCertificates } from './certificates.ts';
import { startContainerd } from './containerd.ts';
import { awaitApiServer, startApiServer, startControllerManager, startEtcd, startScheduler } from './control-plane.ts';
import { awaitDaemon } from './daemon.ts';
import { importImage } from './image.ts';
import { dnsServiceIp } from './layout.ts';
import type { ClusterLayout, NodeLayout } from './layout.ts';
import { writeLiveCluster } from './live.ts';
import type { LiveCluster } from './live.ts';
import { makeMounts, makeNetwork, useClusterDns } from './network.ts';
import { startKubelet } from './node.ts';
import { buildSandboxImage } from './part-images.ts';
import { hostService, startDns, startProxy } from './services.ts';

/** Says what has been done; with the milliseconds since the start. */
export type Progress = (line: string) => void;

/** Brings everything up: about 6 s to a Ready node on 2 idle cores. Throws naming the component and its last lines. */
export async function bringUp(layout: ClusterLayout, say: Progress): Promise<LiveCluster> {
  const before = performance.now();
  mkdirSync(layout.logFolder, { recursive: true });
  await makeMounts(layout);
  await makeNetwork(layout);
  await makeCertificates(layout);
  say('network and certificates');

  // etcd, API server and the nodes' containerd need nothing of each other to start.
  const client = openApiClient(layout);
  startEtcd(layout);
  const apiServer = startApiServer(layout);
  await Promise.all([awaitApiServer(apiServer, client), startRuntimes(layout)]);
  say('API server and containerd');

  startControllerManager(layout);
  startScheduler(layout);
  startProxy(layout);
  const dns = startDns(layout);
  const kubelets = layout.nodes.map((node) => ({ node, kubelet: startKubelet(layout, node) }));
  await createAll(client, '/api/v1/namespaces/kube-system/services', [dnsService()[0]]);
  await createAll(client, '/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices', [dnsService()[1]]);
  for (const { node, kubelet } of kubelets) {
    await awaitDaemon(kubelet, async () => await isNodeReady(client, node), { timeoutMs: 60_000 });
  }
  say(`${layout.nodes.length === 1 ? 'node' : `${layout.nodes.length} nodes`} Ready`);

  // Pods are refused until the controller manager has made their service account.
  await awaitDaemon(
    dns,
    async () => (await client.get('/api/v1/namespaces/default/serviceaccounts/default')).status === 200,
    { timeoutMs: 60_000 },
  );
  await useClusterDns(layout);
  client.close();
  const live: LiveCluster = { ...layout, readyAfterMs: Math.round(performance.now() - before) };
  writeLiveCluster(live);
  say('ready');
  return live;
}

async function startRuntimes(layout: ClusterLayout): Promise<void> {
  const sandbox = await buildSandboxImage();
  for (const node of layout.nodes) {
    await startContainerd(layout, node);
    await importImage(sandbox, [node]);
  }
}

function dnsService(): readonly [unknown, unknown] {
  const ports = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'dns-tcp', port: 53, protocol: 'TCP' },
  ] as const;
  return hostService({ namespace: 'kube-system', name: 'kube-dns', clusterIp: dnsServiceIp, ports });
}

async function createAll(client: ApiClient, path: string, objects: readonly unknown[]): Promise<void> {
  for (const object of objects) {
    const answer = await client.post(path, object);
    if (answer.status >= 300) throw new Error(`the API server refused ${path}: ${answer.body.slice(0, 500)}`);
  }
}

async function isNodeReady(client: ApiClient, node: NodeLayout): Promise<boolean> {
  const answer = await client.get(`/api/v1/nodes/${node.name}`);
  if (answer.status !== 200) return false;
  const { status } = JSON.parse(answer.body) as { status: { conditions?: { type: string; status: string }[] } };
  return (status.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True');
}
