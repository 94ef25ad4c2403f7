// Prometheus as a process beside the pods, which it reaches as they reach each other, and as a Service
// (prometheus.monitoring.svc) for what runs in pods. Data in the cluster's folder. Called by
// scenarios about metrics and autoscaling.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { awaitDaemon, startDaemon, stopDaemon } from './daemon.ts';
import { apply } from './kubectl.ts';
import { controlPlaneIp } from './layout.ts';
import { liveCluster } from './live.ts';
import { hostService } from './services.ts';

/** A running Prometheus. */
export interface RunningPrometheus {
  /** From the tests and from pods alike. */
  readonly url: string;
  /** Evaluates an expression now; label sets and numbers. */
  readonly query: (expression: string) => Promise<readonly Sample[]>;
  readonly stop: () => Promise<void>;
}

/** One series' value. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const port = 9090;

/**
 * Starts Prometheus with a configuration. `kubernetes_sd_configs` without an `api_server` would look for a pod's
 * account; write `kubeconfig_file: ${KUBECONFIG}` and it is put in here. Rule files: absolute paths. A fault in
 * the configuration fails the start, with Prometheus's own words. About 0.7 s.
 */
export async function startPrometheus(configYaml: string): Promise<RunningPrometheus> {
  const cluster = liveCluster();
  const folder = join(cluster.folder, 'prometheus');
  mkdirSync(folder, { recursive: true });
  const configFile = join(folder, 'prometheus.yml');
  writeFileSync(configFile, configYaml.replaceAll('${KUBECONFIG}', cluster.kubeconfig));
  const args = [
    `--config.file=${configFile}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=${controlPlaneIp}:${port}`,
    '--web.enable-lifecycle',
  ];
  const daemon = startDaemon(cluster, { name: 'prometheus', program: requirePart('prometheus'), args });
  const url = `http://${controlPlaneIp}:${port}`;
  await awaitDaemon(daemon, async () => (await fetch(`${url}/-/ready`)).ok, { timeoutMs: 30_000 });
  const ports = [{ name: 'http', port, protocol: 'TCP' }] as const;
  await apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'monitoring' } },
    ...hostService({ namespace: 'monitoring', name: 'prometheus', ports }),
  ]);
  return {
    url,
    query: async (expression) => await query(url, expression),
    stop: async () => await stopDaemon(daemon),
  };
}

async function query(url: string, expression: string): Promise<readonly Sample[]> {
  const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expression)}`);
  const body = (await answer.json()) as {
    readonly status: string;
    readonly error?: string;
    readonly data?: { readonly result: readonly { metric: Record<string, string>; value: [number, string] }[] };
  };
  if (body.data === undefined) throw new Error(`prometheus refused ${expression}: ${body.error ?? body.status}`);
  return body.data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
}
