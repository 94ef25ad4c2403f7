import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { missingPart, requirePart } from '../../e2e/setup/parts.ts';
import { openOperatorMetrics } from '../../operator/metrics.ts';
import { openMetrics as openDrainerMetrics } from '../../workloads/drainer/metrics.ts';
import type { MetricsSources as DrainerSources } from '../../workloads/drainer/metrics.ts';
import type { Gateway } from '../../workloads/gateway/gateway.ts';
import { openMetrics as openGatewayMetrics } from '../../workloads/gateway/metrics.ts';
import { openMetrics as openRegistryMetrics } from '../../workloads/registry/metrics.ts';
import { openMetrics as openRouterMetrics } from '../../workloads/router/metrics.ts';
import type { MetricsSources as RouterSources } from '../../workloads/router/metrics.ts';
import { openMetrics as openUpstreamMetrics } from '../../workloads/upstream/metrics.ts';
import type { MetricsSources as UpstreamSources } from '../../workloads/upstream/metrics.ts';
import { operatorSettings } from '../../workloads/settings/operator.ts';
import { renderChartFiles } from './render-files.ts';

const CHART = import.meta.dirname;
const read = (path: string): string => readFileSync(join(CHART, path), 'utf8');
const templates = globSync('templates/*', { cwd: CHART }).map(read).join('\n');

describe('the chart’s files', () => {
  test('are those of crds/: run `node charts/pushcluster/render-files.ts` after changing them', () => {
    const wanted = renderChartFiles();
    for (const [path, text] of wanted) assert.equal(read(path), text, path);
    const copies = readdirSync(join(CHART, 'files/crds')).map((name) => `files/crds/${name}`);
    assert.deepEqual(
      copies.filter((path) => !wanted.has(path)),
      [],
      'copies of CRDs that are no more',
    );
  });

  test('name only metrics that a role or the operator exports', async () => {
    const known = await exportedMetrics();
    for (const path of ['files/alerts.yaml', 'files/dashboard.json', 'files/prometheus-adapter.yaml']) {
      const named = [...read(path).matchAll(/\bpushcluster_[a-z_]+/g)].map(([name]) => name);
      const unknown = named.filter((name) => !known.has(name) && !known.has(name.replace(/_bucket$/, '')));
      assert.deepEqual(unknown, [], path);
    }
  });

  test('set only environment variables that the operator reads', () => {
    const known = new Set(Object.values(operatorSettings).map((setting) => setting.env));
    const named = [...read('templates/operator.yaml').matchAll(/\bPUSHCLUSTER_[A-Z_]+/g)].map(([name]) => name);
    assert.deepEqual(
      named.filter((name) => !known.has(name)),
      [],
    );
  });

  test('have rules that promtool accepts', { skip: missingPart('promtool') ?? false }, () => {
    const checked = spawnSync(requirePart('promtool'), ['check', 'rules', join(CHART, 'files/alerts.yaml')], {
      encoding: 'utf8',
    });
    assert.equal(checked.status, 0, `${checked.stdout}${checked.stderr}`);
  });

  test('have rules that fire when they shall', { skip: missingPart('promtool') ?? false }, () => {
    const args = ['test', 'rules', join(CHART, 'alerts.test.yaml')];
    const checked = spawnSync(requirePart('promtool'), args, { encoding: 'utf8' });
    assert.equal(checked.status, 0, `${checked.stdout}${checked.stderr}`);
  });

  test('have a dashboard whose panels lie beside each other, each with an id of its own', () => {
    const { panels } = JSON.parse(read('files/dashboard.json')) as {
      panels: { id: number; title: string; gridPos: { x: number; y: number; w: number; h: number } }[];
    };
    assert.equal(new Set(panels.map((panel) => panel.id)).size, panels.length);
    assert.equal(new Set(panels.map((panel) => panel.title)).size, panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w } }) => Array.from({ length: w }, (_, i) => `${x + i},${y}`));
    assert.equal(new Set(cells).size, cells.length, 'no two share a place');
    assert.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24));
  });
});

/** Names of every metric that registry, gateway, router, drainer, upstream and operator have; nothing is read from them. */
async function exportedMetrics(): Promise<ReadonlySet<string>> {
  const gateway = openGatewayMetrics({} as Gateway);
  gateway.stop();
  const drainer = openDrainerMetrics();
  drainer.show({} as DrainerSources);
  const operator = openOperatorMetrics();
  operator.observeDepth(() => 0);
  const state = () => ({ revision: null, eligible: 0, leasesKnown: false });
  const directory = { assign: () => [], state, polled: Promise.resolve(), stop: () => {} };
  const registers = [
    gateway.registry,
    drainer.registry,
    openRegistryMetrics(directory).register,
    openRouterMetrics({ hints: {} } as RouterSources).register,
    openUpstreamMetrics({} as UpstreamSources),
  ];
  const ofOperator = [...(await operator.render()).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!);
  return new Set([...ofOperator, ...registers.flatMap((r) => r.getMetricsAsArray().map((metric) => metric.name))]);
}

describe('values', () => {
  /** Paths of a schema, down to where it lets anything in. */
  function schemaPaths(schema: { properties?: Record<string, object> }, at = ''): string[] {
    return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
      const below = schemaPaths(inner, `${at}${name}.`);
      return below.length > 0 ? below : [`${at}${name}`];
    });
  }
  const has = (path: string): boolean => {
    let value: unknown = parse(read('values.yaml'));
    for (const name of path.split('.')) {
      if (typeof value !== 'object' || value === null || !(name in value)) return false;
      value = (value as Record<string, unknown>)[name];
    }
    return true;
  };
  const paths = schemaPaths(JSON.parse(read('values.schema.json')) as object).filter((path) => path !== 'global');

  test('each value of the schema has its default', () => {
    assert.deepEqual(
      paths.filter((path) => !has(path)),
      [],
    );
  });

  test('each value is used by a template', () => {
    assert.deepEqual(
      paths.filter((path) => !templates.includes(`.Values.${path}`)),
      [],
    );
  });

  test('each value that a template uses is in the schema', () => {
    const used = [...templates.matchAll(/\.Values\.([A-Za-z.]+)/g)].map(([, path]) => path!);
    assert.deepEqual(
      used.filter((path) => !paths.includes(path)),
      [],
    );
  });
});

interface Rendered {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Record<string, string>;
  };
  readonly [field: string]: unknown;
}

describe('helm', { skip: missingPart('helm') ?? false }, () => {
  /** `helm template` as for a cluster of the version that e2e runs. */
  function template(...set: readonly string[]): {
    status: number | null;
    stderr: string;
    objects: readonly Rendered[];
  } {
    const flags = set.flatMap((value) => ['--set', value]);
    const args = ['template', 'demo', CHART, '--namespace', 'system', '--kube-version', '1.36.0', ...flags];
    const done = spawnSync(requirePart('helm'), args, { encoding: 'utf8' });
    const objects = parseAllDocuments(done.stdout).map((document) => document.toJS() as Rendered | null);
    return { ...done, objects: objects.filter((object) => object !== null) };
  }
  const all = [
    'metrics.serviceMonitor.enabled=true',
    'metrics.prometheusRule.enabled=true',
    'dashboard.enabled=true',
    'operator.podLabels.a=b',
    'operator.podAnnotations.a=b',
    'operator.priorityClassName=high',
    'operator.nodeSelector.a=b',
    'imagePullSecrets[0].name=pull',
  ];
  const kinds = (objects: readonly Rendered[]): string[] => objects.map((object) => object.kind).sort();

  test('lint --strict has nothing to say', () => {
    const done = spawnSync(requirePart('helm'), ['lint', '--strict', CHART], { encoding: 'utf8' });
    assert.equal(done.status, 0, `${done.stdout}${done.stderr}`);
  });

  test('keeps every CRD on uninstall and leaves it otherwise as it is in crds/', () => {
    const { objects } = template();
    const rendered = objects.filter((object) => object.kind === 'CustomResourceDefinition');
    assert.equal(rendered.length, 2);
    for (const crd of rendered) {
      assert.equal(crd.metadata.annotations?.['helm.sh/resource-policy'], 'keep');
      const sources = [...renderChartFiles()].filter(([path]) => path.startsWith('files/crds/'));
      const source = sources
        .map(([, text]) => parse(text) as Rendered)
        .find((s) => s.metadata.name === crd.metadata.name);
      assert.deepEqual(crd['spec'], source?.['spec']);
    }
    assert.equal(
      template('crds.enabled=false').objects.some((o) => o.kind === 'CustomResourceDefinition'),
      false,
    );
  });

  test('renders the operator by default, restricted as Pod Security asks, two of it', () => {
    const operator = template().objects.find((object) => object.kind === 'Deployment') as unknown as {
      spec: {
        replicas: number;
        template: { spec: { securityContext: object; containers: { securityContext: object }[] } };
      };
    };
    const pod = operator.spec.template.spec;
    assert.equal(operator.spec.replicas, 2);
    assert.deepEqual(pod.securityContext, {
      runAsNonRoot: true,
      runAsUser: 65_532,
      runAsGroup: 65_532,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    assert.deepEqual(pod.containers[0]!.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  test('renders monitoring objects only when asked, since their CRDs may not be there', () => {
    const monitoring = ['ServiceMonitor', 'PrometheusRule'];
    assert.deepEqual(
      kinds(template().objects).filter((kind) => monitoring.includes(kind)),
      [],
    );
    const { objects, stderr } = template(...all);
    assert.deepEqual(
      monitoring.filter((kind) => !kinds(objects).includes(kind)),
      [],
      stderr,
    );
  });

  test('grants what crds/install/operator.yaml grants, no more and no less', () => {
    const granted = (kind: string) =>
      template()
        .objects.filter((o) => o.kind === kind)
        .map((o) => o['rules']);
    assert.deepEqual(granted('ClusterRole'), [parse(read('files/rules.yaml'))]);
    assert.deepEqual(granted('Role'), [parse(read('files/own-rules.yaml'))]);
  });

  test('with a namespace to watch, what the operator may do is bound to it', () => {
    const { objects } = template('operator.watchNamespace=team', 'operator.watchNodes=false');
    assert.deepEqual(
      kinds(objects).filter((kind) => kind.startsWith('Cluster')),
      [],
    );
    const roles = objects.filter((object) => object.kind === 'Role').map((object) => String(object.metadata.namespace));
    assert.deepEqual(new Set(roles), new Set(['system', 'team']));
  });

  const wrong: readonly [value: string, said: string][] = [
    ['operator.replicas=-1', 'replicas'],
    ['operator.replicas=10', 'replicas'],
    ['operator.logLevel=loud', 'logLevel'],
    ['operator.watchNamespace=Team', 'watchNamespace'],
    ['operator.replica=2', 'replica'],
    ['image.tag=a b', 'tag'],
    ['gateway.replicas=2', 'gateway'],
    ['metrics.serviceMonitor.interval=often', 'interval'],
    ['serviceAccount.create=false', 'serviceAccount.name'],
  ];
  for (const [value, said] of wrong)
    test(`refuses --set ${value} and names it`, () => {
      const { status, stderr } = template(value);
      assert.notEqual(status, 0);
      assert.match(stderr, new RegExp(said.replace('.', String.raw`\.`)));
    });
});
