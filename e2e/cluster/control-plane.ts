// etcd, the API server, the controller manager and the scheduler, with the settings that tests want: quick HPA
// and node-loss decisions, aggregation for custom metrics, nothing synced to disk. Called by bring-up.ts.

import { join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import type { ApiClient } from './api-client.ts';
import { frontProxyName, kubeconfigOf, pki } from './certificates.ts';
import { awaitDaemon, startDaemon } from './daemon.ts';
import type { Daemon } from './daemon.ts';
import { controlPlaneIp, etcdUrl, podRange, serviceRange } from './layout.ts';
import type { ClusterLayout } from './layout.ts';

/** Starts etcd. No fsync: the data does not outlive the namespace. */
export function startEtcd(layout: ClusterLayout): Daemon {
  const args = [
    ['--data-dir', join(layout.folder, 'etcd')],
    ['--unsafe-no-fsync'],
    ['--listen-client-urls', etcdUrl],
    ['--advertise-client-urls', etcdUrl],
    ['--listen-peer-urls', 'http://127.0.0.1:2380'],
    ['--log-level', 'warn'],
  ].flat();
  return startDaemon(layout, { name: 'etcd', program: requirePart('etcd'), args });
}

/** Starts the API server on the first node's address. It retries etcd by itself, so both start at once. */
export function startApiServer(layout: ClusterLayout): Daemon {
  const file = (name: string): string => pki(layout, name);
  const args = {
    'etcd-servers': etcdUrl,
    'bind-address': controlPlaneIp,
    'advertise-address': controlPlaneIp,
    'secure-port': '6443',
    'tls-cert-file': file('apiserver.crt'),
    'tls-private-key-file': file('apiserver.key'),
    'client-ca-file': file('ca.crt'),
    'service-account-key-file': file('sa.pub'),
    'service-account-signing-key-file': file('sa.key'),
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-cluster-ip-range': serviceRange,
    'authorization-mode': 'Node,RBAC',
    'allow-privileged': 'true',
    profiling: 'false',
    'kubelet-certificate-authority': file('ca.crt'),
    'kubelet-client-certificate': file('admin.crt'),
    'kubelet-client-key': file('admin.key'),
    // Without this, logs and exec ask for the node by name, which nobody resolves.
    'kubelet-preferred-address-types': 'InternalIP',
    'enable-aggregator-routing': 'true',
    'proxy-client-cert-file': file('front-proxy.crt'),
    'proxy-client-key-file': file('front-proxy.key'),
    // One authority signs all, so the front proxy must be told apart by its name.
    'requestheader-client-ca-file': file('ca.crt'),
    'requestheader-allowed-names': frontProxyName,
    'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
    'requestheader-group-headers': 'X-Remote-Group',
    'requestheader-username-headers': 'X-Remote-User',
  };
  return startDaemon(layout, { name: 'kube-apiserver', program: requirePart('kube-apiserver'), args: flags(args) });
}

/** Waits until the API server serves. */
export async function awaitApiServer(apiServer: Daemon, client: ApiClient): Promise<void> {
  const isReady = async (): Promise<boolean> => (await client.get('/readyz')).status === 200;
  await awaitDaemon(apiServer, isReady, { timeoutMs: 90_000 });
}

/**
 * Starts the controller manager. HPA decisions every 2 s instead of 15; a node counts as lost after 16 s without
 * a lease (renewed every 3 s, see node.ts) instead of 50.
 */
export function startControllerManager(layout: ClusterLayout): Daemon {
  const kubeconfig = kubeconfigOf(layout, 'controller-manager');
  const args = {
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'bind-address': '127.0.0.1',
    'leader-elect': 'false',
    'service-account-private-key-file': pki(layout, 'sa.key'),
    'root-ca-file': pki(layout, 'ca.crt'),
    'use-service-account-credentials': 'true',
    // At the default of 20 requests/s its own start, with an account for each controller, takes 4 s.
    'kube-api-qps': '300',
    'kube-api-burst': '600',
    'horizontal-pod-autoscaler-sync-period': '2s',
    // The first samples of a young pod count at once: a test has no minutes to wait for "initial readiness".
    'horizontal-pod-autoscaler-initial-readiness-delay': '5s',
    'horizontal-pod-autoscaler-cpu-initialization-period': '5s',
    'node-monitor-period': '2s',
    'node-monitor-grace-period': '16s',
    'cluster-cidr': podRange,
    'allocate-node-cidrs': 'true',
  };
  const program = requirePart('kube-controller-manager');
  return startDaemon(layout, { name: 'kube-controller-manager', program, args: flags(args) });
}

/** Starts the scheduler. */
export function startScheduler(layout: ClusterLayout): Daemon {
  const kubeconfig = kubeconfigOf(layout, 'scheduler');
  const args = {
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    'bind-address': '127.0.0.1',
    'leader-elect': 'false',
  };
  return startDaemon(layout, { name: 'kube-scheduler', program: requirePart('kube-scheduler'), args: flags(args) });
}

function flags(values: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}
