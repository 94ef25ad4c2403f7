// Proves that the cluster which the scenarios stand on is a real one: nodes, pods, names, Services, logs, exec, a
// crash beneath Kubernetes, custom metrics. Prints what each took. Run: node e2e/cluster/run.ts -- node --test
// e2e/cluster/smoke.e2e.ts

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { missingPart } from '../setup/parts.ts';
import { loadNodeImage } from './app-image.ts';
import { apply, getObject, getRaw, kubectl, listObjects, remove, waitForPod } from './kubectl.ts';
import type { KubeObject, Pod } from './kubectl.ts';
import { controlPlaneIp } from './layout.ts';
import { findLiveCluster } from './live.ts';
import { loadBusyboxImage, loadRedisImage } from './part-images.ts';
import { podPids, signalPod } from './processes.ts';
import { startPrometheusAdapter } from './prometheus-adapter.ts';
import { startPrometheus } from './prometheus.ts';
import { waitFor } from './wait.ts';

const namespace = 'smoke';
const nodePort = 30_080;
const labels = { app: 'web' };

/** As strict as the product's pods: no root, no writable root filesystem. */
const strict = {
  runAsNonRoot: true,
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
};

/** Answers with its host's name, and one metric for the adapter. */
const webScript = `
const server = require('node:http').createServer((request, response) => {
  response.setHeader('content-type', 'text/plain; version=0.0.4');
  response.end(request.url === '/metrics' ? 'smoke_connections 42\\n' : 'web ' + process.env.HOSTNAME);
});
server.listen(8080, () => console.log('listening as uid', process.getuid()));
`;

const web = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web-0', namespace, labels },
  spec: {
    containers: [
      {
        name: 'web',
        image: 'node:24-e2e',
        imagePullPolicy: 'Never',
        args: ['-e', webScript],
        readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
        securityContext: strict,
      },
    ],
  },
};

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace },
  spec: { type: 'NodePort', selector: labels, ports: [{ port: 80, targetPort: 8080, nodePort }] },
};

function sleeper(name: string, image: string, command: readonly string[]): unknown {
  const container = { name: 'main', image, imagePullPolicy: 'Never', command, securityContext: strict };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec };
}

async function timed<T>(label: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  process.stdout.write(`measured: ${label} ${((performance.now() - started) / 1000).toFixed(2)} s\n`);
  return result;
}

async function text(url: string): Promise<string> {
  return await (await fetch(url, { signal: AbortSignal.timeout(5_000) })).text();
}

const live = findLiveCluster();
const skip = live === undefined ? 'needs a cluster of our own: node e2e/cluster/run.ts' : false;

describe('the cluster under the scenarios', { skip, timeout: 180_000 }, () => {
  before(async () => {
    process.stdout.write(`measured: cluster ready after ${(live?.readyAfterMs ?? 0) / 1000} s\n`);
    await timed('images (node, busybox, redis)', async () => {
      await loadNodeImage();
      await loadBusyboxImage();
      await loadRedisImage();
    });
    await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }]);
    await timed('first pod to Ready', async () => {
      await apply([web, service, sleeper('shell', 'busybox:e2e', ['sleep', '3600'])]);
      await waitForPod(namespace, 'web-0');
    });
    await waitForPod(namespace, 'shell');
  });

  after(async () => {
    await remove([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }], { wait: false });
  });

  it('has every node Ready', async () => {
    const nodes = await listObjects<KubeObject & { status: { conditions: { type: string; status: string }[] } }>(
      'nodes',
    );
    assert.equal(nodes.length, live?.nodes.length);
    for (const { status } of nodes) {
      assert.ok(status.conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True'));
    }
  });

  it('reaches a pod by its address, its Service, its name and a NodePort from outside the pods', async () => {
    const pod = await getObject<Pod>('pod', 'web-0', namespace);
    const found = await getObject<KubeObject & { spec: { clusterIP: string } }>('service', 'web', namespace);
    const urls = [
      `http://${pod?.status.podIP}:8080/`,
      `http://${found?.spec.clusterIP}/`,
      `http://web.${namespace}.svc.cluster.local/`,
      `http://${controlPlaneIp}:${nodePort}/`,
    ];
    for (const url of urls) {
      const answer = await waitFor(url, async () => await text(url), { timeoutMs: 10_000 });
      assert.equal(answer, 'web web-0', url);
    }
  });

  it('resolves and reaches a Service from inside a pod, by exec', async () => {
    const looked = await kubectl([
      'exec',
      '-n',
      namespace,
      'shell',
      '--',
      'nslookup',
      `web.${namespace}.svc.cluster.local`,
    ]);
    assert.match(looked, /Address: 10\.96\./);
    const got = await timed('exec with a request over a Service', async () => {
      return await kubectl(['exec', '-n', namespace, 'shell', '--', 'wget', '-qO-', 'http://web/']);
    });
    assert.equal(got, 'web web-0');
  });

  it('lets a pod reach itself over its own Service', async () => {
    const script = `fetch('http://web/').then(async (answer) => console.log(await answer.text()))`;
    const got = await kubectl(['exec', '-n', namespace, 'web-0', '--', '/usr/local/bin/node', '-e', script]);
    assert.equal(got.trim(), 'web web-0');
  });

  it('shows a pod’s log, and the pod runs as the image’s user', async () => {
    assert.match(await kubectl(['logs', '-n', namespace, 'web-0']), /listening as uid 65532/);
  });

  it('runs redis from Debian’s binary', async () => {
    await apply([sleeper('redis', 'redis:7-e2e', ['redis-server', '--save', '', '--protected-mode', 'no'])]);
    await waitForPod(namespace, 'redis');
    const pong = await kubectl(['exec', '-n', namespace, 'redis', '--', 'redis-cli', 'ping']);
    assert.equal(pong.trim(), 'PONG');
  });

  it('restarts a container whose process was killed by its pid', async () => {
    const [before] = await podPids(namespace, 'web-0');
    const restarted = async (): Promise<boolean> => {
      const pod = await getObject<Pod>('pod', 'web-0', namespace);
      const [status] = pod?.status.containerStatuses ?? [];
      return status !== undefined && status.restartCount > 0 && status.ready;
    };
    await timed('kill -9 of a pod’s process to Ready again', async () => {
      const pid = await signalPod({ namespace, pod: 'web-0' }, 'SIGKILL');
      assert.equal(pid, before?.pid);
      await waitFor('the container to be restarted', restarted, { timeoutMs: 60_000 });
    });
    const [later] = await podPids(namespace, 'web-0');
    assert.notEqual(later?.pid, before?.pid);
  });

  it(
    'serves a pod’s metric to the HPA through Prometheus and its adapter',
    { skip: missingPart('prometheus', 'prometheus-adapter') ?? false },
    async () => {
      const prometheus = await timed('prometheus', async () => await startPrometheus(prometheusConfig));
      const scraped = async (): Promise<boolean> => (await prometheus.query('smoke_connections')).length > 0;
      await waitFor('the first scrape', scraped, { timeoutMs: 30_000 });
      const adapter = await timed('adapter', async () => await startPrometheusAdapter(adapterConfig, prometheus.url));
      const path = `${adapter.path}/namespaces/${namespace}/pods/web-0/smoke_connections`;
      const metric = await timed('metric through the API server', async () => {
        return await waitFor('the metric', async () => await getRaw<{ items: { value: string }[] }>(path), {
          timeoutMs: 30_000,
          intervalMs: 300,
        });
      });
      assert.equal(metric.items[0]?.value, '42');
      await adapter.stop();
      await prometheus.stop();
    },
  );
});

const prometheusConfig = `
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: pods
    kubernetes_sd_configs: [{role: pod, kubeconfig_file: '\${KUBECONFIG}', namespaces: {names: [${namespace}]}}]
    relabel_configs:
      - {source_labels: [__meta_kubernetes_pod_label_app], regex: web, action: keep}
      - {source_labels: [__meta_kubernetes_pod_ip], regex: (.+), target_label: __address__, replacement: '$1:8080'}
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
`;

const adapterConfig = `
rules:
  - seriesQuery: 'smoke_connections{namespace!="",pod!=""}'
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
`;
