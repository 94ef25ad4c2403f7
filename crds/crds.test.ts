// The CRDs against what the operator takes: every default and bound of the schema is parse.ts's, every field has a description, the
// examples pass, and the operator holds what it grants.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { parseApp } from '../operator/parse-app.ts';
import { parseCluster } from '../operator/parse.ts';
import { parseDurationMs } from '../operator/field-reader.ts';
import { describeStatus } from '../operator/status.ts';
import { assess } from '../operator/assess.ts';
import { desiredChildren } from '../operator/children.ts';
import { aCluster, aGateway, aGatewaySet, anObserved, NOW_MS } from '../operator/fixtures.ts';
import { configReaderRole } from '../operator/manifests/rbac.ts';
import { kindOf } from '../operator/kube/port.ts';
import type { KubeObject } from '../operator/kube/port.ts';

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly enum?: readonly unknown[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[];
  readonly additionalProperties?: Schema;
}
interface Version {
  readonly schema: { readonly openAPIV3Schema: Schema };
  readonly subresources: Readonly<Record<string, unknown>>;
  readonly additionalPrinterColumns: readonly {
    readonly name: string;
    readonly jsonPath: string;
    readonly priority?: number;
  }[];
}

function documents(path: string): readonly KubeObject[] {
  return parseAllDocuments(readFileSync(join(import.meta.dirname, path), 'utf8')).map((d) => d.toJS() as KubeObject);
}
function versionOf(path: string): Version {
  return (documents(path)[0]!['spec'] as { versions: Version[] }).versions[0]!;
}
const clusterVersion = versionOf('pushclusters.yaml');
const appVersion = versionOf('pushapps.yaml');

/** What the API server fills in. */
function withDefaults(value: unknown, schema: Schema): unknown {
  const given = value === undefined ? schema.default : value;
  if (schema.properties === undefined || typeof given !== 'object' || given === null) return given;
  const out: Record<string, unknown> = { ...given };
  for (const [name, inner] of Object.entries(schema.properties)) {
    const filled = withDefaults(out[name], inner);
    if (filled !== undefined) out[name] = filled;
  }
  return out;
}
function walk(schema: Schema, path: string, visit: (schema: Schema, path: string) => void): void {
  visit(schema, path);
  for (const [name, inner] of Object.entries(schema.properties ?? {})) walk(inner, `${path}.${name}`, visit);
  if (schema.items !== undefined) walk(schema.items, `${path}[]`, visit);
}

describe('crds', () => {
  for (const [name, version] of [
    ['PushCluster', clusterVersion],
    ['PushApp', appVersion],
  ] as const) {
    it(`${name}: describes every field, and bounds every list and text of the spec`, () => {
      walk(version.schema.openAPIV3Schema, '', (schema, path) => {
        if (path !== '' && path !== '.metadata' && !path.endsWith('[]'))
          assert.ok(schema.description, `${path} has a description`);
        if (!path.startsWith('.spec')) return;
        if (schema.type === 'array') assert.ok(schema.maxItems, `${path} has maxItems`);
        if (schema.type === 'string') assert.ok(schema.maxLength ?? schema.enum, `${path} has maxLength`);
        if (schema.type === 'integer')
          assert.ok(schema.maximum !== undefined && schema.minimum !== undefined, `${path} has bounds`);
      });
    });
  }

  it('fills in the defaults that parse.ts fills in', () => {
    const base = {
      apiVersion: 'pushcluster.io/v1alpha1',
      kind: 'PushCluster',
      metadata: { name: 'demo', namespace: 'push' },
    };
    const schema = clusterVersion.schema.openAPIV3Schema.properties!['spec']!;
    for (const spec of [
      { image: 'x' },
      {
        image: 'x',
        autoscaling: { scaleIn: {}, scaleOut: {} },
        store: { redis: { addresses: ['a:1'], secretRef: { name: 's' }, tls: true, caSecretRef: { name: 'c' } } },
      },
    ])
      assert.deepEqual(parseCluster({ ...base, spec: withDefaults(spec, schema) }), parseCluster({ ...base, spec }));
  });

  it('has the bounds that parse.ts has: at and past each', () => {
    const refuses = (path: readonly string[], value: unknown): boolean => {
      const spec: Record<string, unknown> = { image: 'x' };
      let at = spec;
      for (const name of path.slice(0, -1)) {
        const inner: Record<string, unknown> = {};
        at[name] = inner;
        at = inner;
      }
      at[path.at(-1)!] = value;
      const parsed = parseCluster({ apiVersion: '', kind: '', metadata: { name: 'demo' }, spec });
      return (
        parsed.kind === 'refused' &&
        parsed.problems.some(
          (p) =>
            p.startsWith(`spec.${path.join('.')}: expected a whole`) ||
            p.startsWith(`spec.${path.join('.')}: expected a duration`),
        )
      );
    };
    let bounds = 0;
    walk(clusterVersion.schema.openAPIV3Schema.properties!['spec']!, '', (schema, dotted) => {
      const path = dotted.split('.').slice(1);
      const rule = schema['x-kubernetes-validations']?.[0]?.rule ?? '';
      const [, low = '', high = ''] = /duration\('(\w+)'\) && .*duration\('(\w+)'\)/.exec(rule) ?? [];
      if (schema.type === 'integer') {
        for (const value of [schema.minimum!, schema.maximum!])
          assert.equal(refuses(path, value), false, `${dotted} ${value}`);
        for (const value of [schema.minimum! - 1, schema.maximum! + 1])
          assert.equal(refuses(path, value), true, `${dotted} ${value}`);
        bounds += 1;
      } else if (low !== '') {
        assert.equal(refuses(path, high), false, `${dotted} ${high}`);
        assert.equal(refuses(path, `${parseDurationMs(high)! + 1}ms`), true, `${dotted} past ${high}`);
        assert.equal(refuses(path, low), false, `${dotted} ${low}`);
        if (parseDurationMs(low)! > 0)
          assert.equal(refuses(path, `${parseDurationMs(low)! - 1}ms`), true, `${dotted} below ${low}`);
        bounds += 1;
      }
    });
    assert.ok(bounds >= 18, `${bounds} bounds compared`);
  });

  it('has a place for everything that the operator writes into the status', () => {
    const cluster = aCluster({ autoscaling: {} });
    const observed = anObserved({ gatewaySet: aGatewaySet(1), gateways: [aGateway(0), aGateway(1)] });
    const status = describeStatus({ cluster, observed, assessment: assess(cluster, observed, NOW_MS) }, null);
    const check = (value: unknown, schema: Schema, path: string): void => {
      if (value === null) assert.equal(schema.nullable, true, `${path} is nullable`);
      else if (Array.isArray(value)) for (const item of value) check(item, schema.items!, `${path}[]`);
      else if (typeof value === 'object')
        for (const [name, inner] of Object.entries(value)) {
          const known = schema.properties?.[name];
          assert.ok(known, `${path}.${name} is in the schema`);
          check(inner, known, `${path}.${name}`);
        }
    };
    check(status, clusterVersion.schema.openAPIV3Schema.properties!['status']!, 'status');
  });

  it('has /status and /scale, and the columns that the README shows', () => {
    assert.deepEqual(clusterVersion.subresources, {
      status: {},
      scale: {
        specReplicasPath: '.spec.gateway.replicas',
        statusReplicasPath: '.status.replicas',
        labelSelectorPath: '.status.selector',
      },
    });
    const columns = (isWide: boolean): readonly string[] =>
      clusterVersion.additionalPrinterColumns
        .filter(({ priority = 0 }) => priority > 0 === isWide)
        .map((column) => column.name);
    assert.deepEqual(columns(false), ['Gateways', 'Ready', 'Connections', 'Draining', 'Health', 'Age']);
    assert.deepEqual(columns(true), ['Status', 'Store', 'Bus'], 'with -o wide');
  });

  it('has no column of a condition that the operator does not write', () => {
    const cluster = aCluster();
    const observed = anObserved({ gatewaySet: aGatewaySet(1), gateways: [aGateway(0)] });
    const { conditions } = describeStatus({ cluster, observed, assessment: assess(cluster, observed, NOW_MS) }, null);
    const named = clusterVersion.additionalPrinterColumns.flatMap(
      ({ jsonPath }) => /type=="(\w+)"/.exec(jsonPath)?.[1] ?? [],
    );
    assert.deepEqual(
      named.filter((type) => !conditions.some((condition) => condition.type === type)),
      [],
    );
    assert.equal(named.length, 4);
  });

  for (const path of ['examples/quickstart.yaml', 'examples/messaging.yaml', 'examples/production.yaml']) {
    it(`${path} is taken by the operator`, () => {
      for (const object of documents(path)) {
        const parsed = object.kind === 'PushApp' ? parseApp(object) : parseCluster(object);
        assert.equal(parsed.kind, 'valid', JSON.stringify(parsed));
      }
    });
  }

  it('the production example leaves replicas to its autoscaler', () => {
    const [cluster] = documents('examples/production.yaml');
    const { gateway, autoscaling } = cluster!['spec'] as { gateway: object; autoscaling: object };
    assert.equal('replicas' in gateway, false);
    assert.notEqual(autoscaling, undefined);
  });

  type Rule = { apiGroups: string[]; resources: string[]; verbs: string[] };
  const held = documents('install/operator.yaml').find((o) => o.kind === 'ClusterRole')?.['rules'] as Rule[];

  it('the operator may write every kind of child that a cluster has, and remove those that come and go', () => {
    const cluster = aCluster({ bus: { kafka: { brokers: ['k:9092'] } }, autoscaling: { engine: 'hpa' } });
    const observed = anObserved({ gatewaySet: aGatewaySet(1), gateways: [aGateway(0)], hasPodMonitors: true });
    const secrets = { keys: {}, storePassword: '' };
    const children = desiredChildren(cluster, observed, { assessment: assess(cluster, observed, NOW_MS), secrets });
    const may = (child: KubeObject, verb: string): boolean => {
      const { apiVersion, plural } = kindOf(child);
      const group = apiVersion.includes('/') ? apiVersion.split('/')[0]! : '';
      return held.some((h) => h.apiGroups.includes(group) && h.resources.includes(plural) && h.verbs.includes(verb));
    };
    const missing = children.flatMap((child) => {
      // A Role and its binding are always wanted; they go with the PushCluster.
      const isFixed = ['Role', 'RoleBinding'].includes(child.kind);
      const verbs = isFixed ? ['get', 'create', 'patch'] : ['get', 'create', 'patch', 'delete'];
      return verbs.filter((verb) => !may(child, verb)).map((verb) => `${verb} ${child.kind}`);
    });
    assert.deepEqual(missing, []);
    assert.equal(new Set(children.map((child) => child.kind)).size, 12);
  });

  it('the operator holds what it grants', () => {
    for (const rule of configReaderRole(aCluster())['rules'] as Rule[])
      for (const resource of rule.resources)
        for (const verb of rule.verbs)
          assert.ok(
            held.some((h) => h.apiGroups.includes('') && h.resources.includes(resource) && h.verbs.includes(verb)),
            `${verb} ${resource}`,
          );
  });
});
