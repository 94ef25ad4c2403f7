// "Clients come, gateways are added; clients leave, gateways are drained and removed; nobody loses a message." Scenario 5 of the issue: once with
// real Prometheus, prometheus-adapter and HPA, once with the operator's own engine, on the same PushCluster.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { getObject } from '../cluster/kubectl.ts';
import type { KubeObject } from '../cluster/kubectl.ts';
import { startPrometheusAdapter } from '../cluster/prometheus-adapter.ts';
import type { RunningAdapter } from '../cluster/prometheus-adapter.ts';
import { startPrometheus } from '../cluster/prometheus.ts';
import type { RunningPrometheus } from '../cluster/prometheus.ts';
import { waitFor } from '../cluster/wait.ts';
import { adapterRules } from '../world/chart.ts';
import { explained } from '../world/diagnosis.ts';
import { startFleet } from '../world/fleet.ts';
import { measured } from '../world/measured.ts';
import { condition, isReadyWith, patchSpec, waitForCluster } from '../world/push-cluster.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { startTraffic } from '../world/traffic.ts';

const name = 'autoscaling';
const namespace = `e2e-${name}`;
/** 120 connections at half of them aimed at: 60 a gateway. Those who stay fit two gateways, with the crowd it takes four. */
const STAY = 80;
const CROWD = 140;
const autoscaling = {
  engine: 'hpa',
  minReplicas: 2,
  maxReplicas: 4,
  targetUtilization: 50,
  scaleIn: { stabilization: '5s' },
};
const spec = {
  gateway: { connectionsPerGateway: 120 },
  autoscaling,
  disruption: { reconnectsPerSecond: 40 },
  observability: { prometheusUrl: 'http://prometheus.monitoring.svc:9090' },
};

/** What a PodMonitor comes to: every pod's port `admin`, with namespace and pod as labels. Every second, for a quick test. */
const prometheusConfig = `
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: pushcluster
    kubernetes_sd_configs:
      - { role: pod, kubeconfig_file: "\${KUBECONFIG}", namespaces: { names: [${namespace}] } }
    relabel_configs:
      - { source_labels: [__meta_kubernetes_pod_container_port_name], regex: admin, action: keep }
      - { source_labels: [__meta_kubernetes_namespace], target_label: namespace }
      - { source_labels: [__meta_kubernetes_pod_name], target_label: pod }
`;

describe('scaling on connection counts', { timeout: 500_000 }, () => {
  let stage: Stage;
  let prometheus: RunningPrometheus | undefined;
  let adapter: RunningAdapter | undefined;
  before(async () => {
    prometheus = await startPrometheus(prometheusConfig);
    adapter = await startPrometheusAdapter(adapterRules(), prometheus.url);
    stage = await explained(namespace, async () => await openStage({ name, gateways: 2, spec }));
  });
  after(async () => {
    await stage?.close();
    await adapter?.stop();
    await prometheus?.stop();
  });

  it('with an HPA on /scale of the PushCluster: 2 → 4 → 2, drained, nothing lost', async () => {
    await explained(namespace, async () => {
      const hpa = await waitFor(
        'the HPA to read its metric',
        async () => {
          const found = await getObject<Hpa>('hpa', `${name}-gateway`, namespace);
          return found?.status?.conditions?.some((c) => c.type === 'ScalingActive' && c.status === 'True')
            ? found
            : undefined;
        },
        { timeoutMs: 60_000, intervalMs: 500 },
      );
      assert.deepEqual(hpa.spec.scaleTargetRef, { apiVersion: 'pushcluster.io/v1alpha1', kind: 'PushCluster', name });
      await comeAndGo(stage, 'hpa');
    });
  });

  it('with the engine of the operator: the same, and the HPA is gone', async () => {
    await explained(namespace, async () => {
      await patchSpec(stage, { autoscaling: { engine: 'builtin' } });
      const isGone = async (): Promise<boolean> => (await getObject('hpa', `${name}-gateway`, namespace)) === undefined;
      await waitFor('the HPA to be removed', isGone, { timeoutMs: 30_000, intervalMs: 300 });
      await comeAndGo(stage, 'builtin');
    });
  });
});

interface Hpa extends KubeObject {
  readonly spec: { readonly scaleTargetRef: unknown };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

async function comeAndGo(stage: Stage, engine: string): Promise<void> {
  const traffic = await startTraffic(stage, { clients: STAY, pushesPerSecond: 30, devices: `${engine}-stay` });
  let startedAt = performance.now();
  const seconds = (): number => (performance.now() - startedAt) / 1000;
  const crowd = await startFleet(stage, { clients: CROWD, devices: `${engine}-crowd` });
  await waitForCluster(stage, '4 gateways', isReadyWith(4), 120_000);
  const outS = seconds();
  const trusted = await waitForCluster(
    stage,
    'MetricsTrusted',
    (cluster) => condition(cluster, 'MetricsTrusted').status === 'True' || condition(cluster, 'MetricsTrusted').said,
    60_000,
  );
  assert.match(condition(trusted, 'MetricsTrusted').said, /SourcesAgree/);
  await crowd.stop();
  startedAt = performance.now();
  await waitForCluster(stage, '2 gateways again', isReadyWith(2), 150_000);
  measured(`autoscaling, ${engine}`, {
    'clients come, seconds to 4 ready gateways': outS,
    'clients leave, seconds to 2 gateways': seconds(),
  });
  const result = await traffic.stop(`autoscaling, ${engine}`);
  assert.equal(result.unasked, 0, 'nobody was cut off');
  assert.equal(result.registryCalls, 0, 'drained clients resumed without the registry');
}
