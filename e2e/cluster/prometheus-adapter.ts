// prometheus-adapter as a process beside the pods, registered as the API that serves custom metrics, so that an
// HPA reads numbers from Prometheus as in any cluster. Called by scenarios about autoscaling, after prometheus.ts.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { awaitDaemon, isListening, startDaemon, stopDaemon } from './daemon.ts';
import { apply, remove, tryKubectl } from './kubectl.ts';
import { controlPlaneIp } from './layout.ts';
import { liveCluster } from './live.ts';
import { hostService } from './services.ts';
import { waitFor } from './wait.ts';

/** A running adapter. */
export interface RunningAdapter {
  /** The path of the API; `kubectl get --raw` takes it. */
  readonly path: string;
  readonly stop: () => Promise<void>;
}

const securePort = 6444;
const customMetrics = '/apis/custom.metrics.k8s.io/v1beta1';

/**
 * Starts prometheus-adapter with its rules and waits until the API server serves custom metrics through it: about
 * 3 s. The list of metrics is read anew every 2 s, so a new metric shows up quickly.
 */
export async function startPrometheusAdapter(configYaml: string, prometheusUrl: string): Promise<RunningAdapter> {
  const cluster = liveCluster();
  const folder = join(cluster.folder, 'prometheus-adapter');
  mkdirSync(folder, { recursive: true });
  const configFile = join(folder, 'config.yaml');
  writeFileSync(configFile, configYaml);
  const args = [
    `--config=${configFile}`,
    `--prometheus-url=${prometheusUrl}`,
    '--metrics-relist-interval=2s',
    '--metrics-max-age=30s',
    `--lister-kubeconfig=${cluster.kubeconfig}`,
    `--authentication-kubeconfig=${cluster.kubeconfig}`,
    `--authorization-kubeconfig=${cluster.kubeconfig}`,
    `--bind-address=${controlPlaneIp}`,
    `--secure-port=${securePort}`,
    `--tls-cert-file=${join(cluster.pkiFolder, 'adapter.crt')}`,
    `--tls-private-key-file=${join(cluster.pkiFolder, 'adapter.key')}`,
  ];
  const program = requirePart('prometheus-adapter');
  const daemon = startDaemon(cluster, { name: 'prometheus-adapter', program, args });
  await awaitDaemon(daemon, async () => await isListening(controlPlaneIp, securePort), { timeoutMs: 30_000 });
  const objects = registration(readFileSync(join(cluster.pkiFolder, 'ca.crt')).toString('base64'));
  await apply(objects);
  const stop = async (): Promise<void> => {
    // An API that is registered and gone makes every discovery slow, and keeps namespaces from going.
    await remove(objects, { wait: true });
    await stopDaemon(daemon);
  };
  try {
    await waitFor('the API server to serve custom metrics', isServed, { timeoutMs: 30_000, intervalMs: 200 });
  } catch (error) {
    await stop();
    throw error;
  }
  return { path: customMetrics, stop };
}

async function isServed(): Promise<true> {
  const { code, stderr } = await tryKubectl(['get', '--raw', customMetrics]);
  if (code === 0) return true;
  throw new Error(stderr);
}

/** The API server verifies the adapter's certificate against the cluster's authority. */
function registration(authority: string): readonly unknown[] {
  // A namespace that is always there: one of our own would still be going when the next adapter comes.
  const namespace = 'kube-system';
  const name = 'prometheus-adapter';
  const ports = [{ name: 'https', port: 443, targetPort: securePort, protocol: 'TCP' }] as const;
  return [
    ...hostService({ namespace, name, ports }),
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: 'v1beta1.custom.metrics.k8s.io' },
      spec: {
        group: 'custom.metrics.k8s.io',
        version: 'v1beta1',
        groupPriorityMinimum: 100,
        versionPriority: 100,
        caBundle: authority,
        service: { namespace, name, port: 443 },
      },
    },
  ];
}
