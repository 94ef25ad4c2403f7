// Facts about the children, one by one: what a pod may do and see, what selects what, what is left to others.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { STOP_GRACE_MS_MAX } from '../../workloads/router/stop-grace.ts';
import { busSettings } from '../../workloads/settings/bus.ts';
import { drainerSettings } from '../../workloads/settings/drainer.ts';
import { gatewaySettings } from '../../workloads/settings/gateway.ts';
import { registrySettings } from '../../workloads/settings/registry.ts';
import { routerSettings } from '../../workloads/settings/router.ts';
import { upstreamSettings } from '../../workloads/settings/upstream.ts';
import { parseSettings } from '../../workloads/settings/setting.ts';
import { aCluster, aPod } from '../fixtures.ts';
import type { KubeObject } from '../kube/port.ts';
import type { ServiceView } from '../kube/objects.ts';
import { ANNOTATION_CLIENT_ADDRESS, ANNOTATION_HTTP_ADDRESS } from '../types.ts';
import type { Cluster } from '../types.ts';
import { horizontalPodAutoscaler } from './autoscaling.ts';
import { drainerDeployment } from './drainer.ts';
import { disruptionBudgets } from './disruption.ts';
import { gatewayAddress, gatewayHeadlessService, gatewayService, gatewaySet } from './gateway.ts';
import { podMonitor } from './monitoring.ts';
import { networkPolicies } from './network.ts';
import { configReaderBinding, configReaderRole, serviceAccounts } from './rbac.ts';
import { registryDeployment } from './registry.ts';
import { roleAddress, roleService } from './role-deployment.ts';
import { routerDeployment } from './router.ts';
import { upstreamDeployment } from './upstream.ts';
import { storeUrl } from './store-env.ts';
import { evaluationStore } from './store.ts';

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext: unknown;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
}
interface PodSpec {
  readonly containers: readonly Container[];
  readonly volumes: readonly {
    readonly name: string;
    readonly projected?: {
      readonly sources: readonly { readonly secret: { readonly items: readonly { readonly key: string }[] } }[];
    };
  }[];
  readonly securityContext: { readonly runAsNonRoot: boolean; readonly seccompProfile: unknown };
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly serviceAccountName: string;
  readonly nodeSelector?: unknown;
}
interface Workload {
  readonly replicas: number;
  readonly updateStrategy?: unknown;
  readonly selector: { readonly matchLabels: Record<string, string> };
  readonly template: {
    readonly metadata: { readonly labels: Record<string, string>; readonly annotations?: Record<string, string> };
    readonly spec: PodSpec;
  };
}
const specOf = (object: KubeObject): Workload => object['spec'] as Workload;
const podOf = (object: KubeObject): PodSpec => specOf(object).template.spec;
const mainOf = (object: KubeObject): Container => podOf(object).containers[0]!;
const cluster = aCluster();
/** A store with all that one may be given. */
const secured = {
  addresses: ['redis:6380'],
  username: 'push',
  secretRef: { name: 'redis' },
  tls: true,
  caSecretRef: { name: 'redis-ca', key: 'root.pem' },
  clientSecretRef: { name: 'redis-client' },
  serverName: 'redis.example',
};
const REPOSITORY = join(import.meta.dirname, '..', '..');
const roles: readonly (readonly [string, (c: Cluster) => KubeObject])[] = [
  ['gateway', (c) => gatewaySet(c, 2)],
  ['registry', registryDeployment],
  ['router', routerDeployment],
  ['drainer', drainerDeployment],
  ['upstream', upstreamDeployment],
];

describe('pods of every role', () => {
  for (const [role, build] of roles) {
    it(`${role}: meets the restricted Pod Security Standard`, () => {
      const { securityContext } = podOf(build(cluster));
      assert.equal(securityContext.runAsNonRoot, true);
      assert.deepEqual(securityContext.seccompProfile, { type: 'RuntimeDefault' });
      assert.deepEqual(mainOf(build(cluster)).securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    });
    it(`${role}: runs its compiled main, with its own name`, () => {
      assert.deepEqual(mainOf(build(cluster)).command, ['node', `dist/workloads/${role}/main.js`]);
    });
    it(`${role}: is selected by labels that its template carries, whatever the overlay says`, () => {
      const overlay = {
        metadata: { labels: { 'pushcluster.io/cluster': 'other', team: 'push' }, annotations: { a: 'b' } },
      };
      const { selector, template } = specOf(build(aCluster({ [role]: { podTemplate: overlay } })));
      for (const [name, value] of Object.entries(selector.matchLabels))
        assert.equal(template.metadata.labels[name], value);
      assert.equal(template.metadata.labels['team'], 'push');
      assert.deepEqual(template.metadata.annotations, { a: 'b' });
    });
    it(`${role}: takes resources, scheduling and an overlay by name`, () => {
      const shape = {
        resources: { limits: { memory: '1Gi' } },
        scheduling: { nodeSelector: { disk: 'ssd' } },
        podTemplate: {
          spec: {
            containers: [
              { name: role, env: [{ name: 'NODE_OPTIONS', value: '--x' }] },
              { name: 'sidecar', image: 's' },
            ],
          },
        },
      };
      const pod = podOf(build(aCluster({ [role]: shape })));
      assert.deepEqual(pod.nodeSelector, { disk: 'ssd' });
      assert.deepEqual(
        pod.containers.map((c) => c.name),
        [role, 'sidecar'],
      );
      assert.ok(pod.containers[0]!.env.some((row) => row.name === 'NODE_OPTIONS'));
      assert.ok(
        pod.containers[0]!.env.some((row) => row.name === 'PUSHCLUSTER_STORE'),
        'what was there stays',
      );
    });
  }

  it('hold only the keys they need', () => {
    const files = Object.fromEntries(
      roles.map(([role, build]) => [
        role,
        podOf(build(cluster)).volumes[0]!.projected!.sources[0]!.secret.items.map((i) => i.key),
      ]),
    );
    assert.deepEqual(files, {
      gateway: ['token-public.json', 'ticket.json', 'link.json', 'admin.json'],
      registry: ['token-private.json', 'token-public.json'],
      router: ['link.json', 'webhook.json'],
      drainer: ['link.json'],
      upstream: ['link.json', 'admin.json', 'webhook.json'],
    });
  });

  it('only registry and router have a token of the API server', () => {
    assert.deepEqual(
      roles.map(([, build]) => podOf(build(cluster)).automountServiceAccountToken),
      [false, true, true, false, false],
    );
  });

  it('are given settings that the roles take', () => {
    const tables = {
      gateway: gatewaySettings,
      registry: registrySettings,
      router: routerSettings,
      drainer: drainerSettings,
      upstream: upstreamSettings,
    };
    const limited = { resources: { limits: { memory: '1Mi' } } };
    const store = { redis: secured };
    const small = aCluster({ store, gateway: limited, router: limited, upstream: limited });
    for (const [role, build] of roles) {
      const env: Record<string, string> = {};
      for (const row of mainOf(build(small)).env) env[row.name] = row.value ?? 'from-elsewhere';
      const table = tables[role as keyof typeof tables];
      const known = new Set<string>(Object.values(table).map((setting) => setting.env));
      for (const name of Object.keys(env)) assert.ok(known.has(name), `${role} knows ${name}`);
      parseSettings(table, env, () => '');
    }
  });

  it('routers have time to answer what waits for the bus, and to close what they opened', () => {
    const { terminationGracePeriodSeconds, containers } = podOf(routerDeployment(cluster));
    const env = Object.fromEntries(containers[0]!.env.map(({ name, value }) => [name, value ?? 'from-elsewhere']));
    const { stopDelayMs } = parseSettings(routerSettings, env, () => '');
    const closeMs = 15_000;
    assert.ok(terminationGracePeriodSeconds * 1000 >= stopDelayMs + STOP_GRACE_MS_MAX + closeMs);
  });

  it('a change of replicas, routing or disruption leaves the gateway template as it is', () => {
    const template = (c: Cluster): string => JSON.stringify(specOf(gatewaySet(c, 2)).template);
    const other = aCluster({
      gateway: { replicas: 9 },
      routing: { strategy: 'hash-mod' },
      disruption: { reconnectsPerSecond: 7, drainDeadline: '1m' },
    });
    assert.equal(template(other), template(cluster));
  });
});

describe('gateways', () => {
  it('are a StatefulSet whose pods only the operator removes', () => {
    assert.deepEqual(specOf(gatewaySet(cluster, 3)).updateStrategy, { type: 'OnDelete' });
    assert.equal(specOf(gatewaySet(cluster, 3)).replicas, 3);
  });
  it('have a headless Service and one of their own each', () => {
    assert.equal((gatewayHeadlessService(cluster) as ServiceView).spec?.clusterIP, 'None');
    const own = gatewayService(aCluster({ gateway: { exposure: { type: 'NodePort' } } }), 1);
    assert.equal(own.metadata.name, 'demo-gateway-1');
    assert.match(
      JSON.stringify(own['spec']),
      /"type":"NodePort".*"statefulset.kubernetes.io\/pod-name":"demo-gateway-1"/,
    );
  });

  const service = {
    spec: { clusterIP: '10.96.0.7', ports: [{ name: 'client', port: 8080, nodePort: 31_000 }] },
  } as unknown as ServiceView;
  const pod = aPod(1);
  const annotated = {
    ...pod,
    metadata: { ...pod.metadata, annotations: { [ANNOTATION_CLIENT_ADDRESS]: 'ws://127.0.0.1:5/' } },
  };
  const exposed = (exposure: object): Cluster => aCluster({ gateway: { exposure } });
  const cases: readonly (readonly [string, Cluster, Parameters<typeof gatewayAddress>[2], string | null])[] = [
    ['ClusterIP', exposed({}), { pod, service }, 'ws://demo-gateway-1.push.svc:8080/'],
    ['NodePort', exposed({ type: 'NodePort' }), { pod, service }, 'ws://10.1.0.1:31000/'],
    ['NodePort without a Service yet', exposed({ type: 'NodePort' }), { pod, service: undefined }, null],
    [
      'a template',
      exposed({ addressTemplate: 'wss://{name}.x/{ordinal}/{clusterIP}/' }),
      { pod, service },
      'wss://demo-gateway-1.x/1/10.96.0.7/',
    ],
    ['the annotation wins', exposed({ type: 'NodePort' }), { pod: annotated, service }, 'ws://127.0.0.1:5/'],
  ];
  for (const [what, given, seen, address] of cases)
    it(`address: ${what}`, () => assert.equal(gatewayAddress(given, 1, seen), address));
});

describe('registry and router', () => {
  const service = {
    spec: { ports: [{ name: 'http', port: 8082, nodePort: 32_000 }] },
    metadata: { name: 's' },
  } as unknown as ServiceView;
  const nothing = { deployment: null, anyPod: undefined };
  it('have a Service of the type wanted, and an address', () => {
    const byNode = aCluster({ registry: { exposure: { type: 'NodePort' } } });
    assert.equal((roleService(byNode, 'registry') as ServiceView).spec?.type, 'NodePort');
    assert.equal(roleAddress(cluster, 'router', { ...nothing, service }), 'http://demo-router.push.svc:8081');
    assert.equal(roleAddress(byNode, 'registry', { ...nothing, service, anyPod: aPod(0) }), 'http://10.1.0.1:32000');
    assert.equal(roleAddress(byNode, 'registry', { ...nothing, service }), null);
  });
  it('are found by an annotation first, on the Service or the Deployment', () => {
    const annotations = { [ANNOTATION_HTTP_ADDRESS]: 'http://127.0.0.1:7' };
    const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd', annotations } };
    assert.equal(roleAddress(cluster, 'router', { ...nothing, service, deployment }), 'http://127.0.0.1:7');
  });
});

describe('the rest', () => {
  it('registry and router may read the two ConfigMaps of their cluster, gateways nothing', () => {
    assert.deepEqual(configReaderRole(cluster)['rules'], [
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['demo-routing', 'demo-apps'],
        verbs: ['get', 'list', 'watch'],
      },
    ]);
    const subjects = configReaderBinding(cluster)['subjects'] as { name: string }[];
    assert.deepEqual(
      subjects.map((s) => s.name),
      ['demo-registry', 'demo-router'],
    );
    assert.ok(serviceAccounts(cluster).every((account) => account['automountServiceAccountToken'] === false));
  });

  it('evictions are bounded by maxUnavailable for gateways, by 1 for the other roles', () => {
    const most = disruptionBudgets(aCluster({ disruption: { maxUnavailable: 3 } })).map(
      (b) => (b['spec'] as { maxUnavailable: number }).maxUnavailable,
    );
    assert.deepEqual(most, [3, 1, 1, 1]);
  });

  it('the HPA aims at the PushCluster, on connections, with target, bounds and stabilisation', () => {
    const autoscaling = {
      engine: 'hpa',
      minReplicas: 2,
      maxReplicas: 9,
      targetUtilization: 50,
      scaleIn: { stabilization: '20s' },
    };
    const hpa = horizontalPodAutoscaler(aCluster({ gateway: { connectionsPerGateway: 1001 }, autoscaling }));
    assert.deepEqual(hpa?.['spec'], {
      scaleTargetRef: { apiVersion: 'pushcluster.io/v1alpha1', kind: 'PushCluster', name: 'demo' },
      minReplicas: 2,
      maxReplicas: 9,
      metrics: [
        {
          type: 'Pods',
          pods: {
            metric: { name: 'pushcluster_gateway_connections' },
            target: { type: 'AverageValue', averageValue: '500' },
          },
        },
      ],
      behavior: { scaleUp: { stabilizationWindowSeconds: 0 }, scaleDown: { stabilizationWindowSeconds: 20 } },
    });
    assert.equal(horizontalPodAutoscaler(aCluster({ autoscaling: { engine: 'builtin' } })), null);
    assert.equal(horizontalPodAutoscaler(cluster), null);
  });

  it('a PodMonitor carries the labels that select it, and is left out where it is not wanted', () => {
    const labelled = podMonitor(aCluster({ observability: { podMonitor: { labels: { release: 'prom' } } } }));
    assert.equal(labelled?.metadata.labels?.['release'], 'prom');
    assert.equal(podMonitor(aCluster({ observability: { podMonitor: { enabled: false } } })), null);
  });

  it('links come from roles of this cluster only', () => {
    const [gateway, router] = networkPolicies(cluster);
    const peers = (policy: KubeObject | undefined): readonly string[] =>
      [
        ...JSON.stringify(policy?.['spec'])
          .split('"port":"link"')[1]!
          .matchAll(/component":"([a-z]+)"/g),
      ].map((match) => match[1]!);
    assert.deepEqual(peers(gateway), ['router', 'drainer', 'gateway']);
    assert.deepEqual(peers(router), ['router', 'upstream']);
    assert.equal(networkPolicies(aCluster({ store: { redis: { addresses: ['a:1'] } } })).length, 2);
  });

  it('links may come from every role that opens links in its code, and from no other', () => {
    const openers = globSync('workloads/*/**/*.ts', { cwd: REPOSITORY })
      .filter((path) => /^workloads\/(gateway|registry|router|drainer|upstream)\//.test(path))
      .filter((path) => !/(test|fixtures|walk)/.test(path))
      .filter((path) => readFileSync(join(REPOSITORY, path), 'utf8').includes("link/client.ts'"))
      .map((path) => path.split('/')[1]!);
    const letIn = networkPolicies(cluster).flatMap((policy) =>
      [...JSON.stringify(policy['spec']).matchAll(/"podSelector":\{"matchLabels":\{[^}]*component":"([a-z]+)"/g)]
        .slice(1)
        .map((match) => match[1]!),
    );
    assert.deepEqual([...new Set(letIn)].sort(), [...new Set(openers)].sort());
  });

  it('the evaluation Redis has every write on disk before its answer and evicts nothing', () => {
    const redis = evaluationStore(cluster, 'cGFzcw==').find((o) => o.kind === 'StatefulSet')!;
    const args = mainOf(redis).args?.join(' ') ?? '';
    assert.match(args, /--appendonly yes --appendfsync always/);
    assert.match(args, /--maxmemory-policy noeviction/);
    assert.match(args, /--requirepass \$\(REDIS_PASSWORD\)/);
    assert.equal(podOf(redis).automountServiceAccountToken, false);
  });

  const stores: readonly (readonly [object, string])[] = [
    [{ addresses: ['r:6379'] }, 'redis://r:6379'],
    [{ mode: 'cluster', addresses: ['a:1', 'b:2'] }, 'redis+cluster://a:1,b:2'],
    [{ mode: 'sentinel', addresses: ['a:1', 'b:2'], masterName: 'm' }, 'redis+sentinel://a:1,b:2/m'],
    [{ addresses: ['r:6379'], tls: true }, 'rediss://r:6379'],
    [{ mode: 'cluster', addresses: ['a:1', 'b:2'], tls: true }, 'rediss+cluster://a:1,b:2'],
    [{ mode: 'sentinel', addresses: ['a:1'], masterName: 'm', tls: true }, 'rediss+sentinel://a:1/m'],
  ];
  for (const [redis, url] of stores)
    it(`the store is named ${url}`, () => assert.equal(storeUrl(aCluster({ store: { redis } })), url));
  it('or is the evaluation Redis', () => assert.equal(storeUrl(cluster), 'redis://demo-redis.push.svc:6379'));

  it('the password comes from the Secret that the manifest names, or there is none', () => {
    const passwordOf = (store: object): unknown =>
      mainOf(routerDeployment(aCluster({ store: { redis: { addresses: ['a:1'], ...store } } }))).env.find(
        (row) => row.name === 'PUSHCLUSTER_STORE_PASSWORD',
      )?.valueFrom;
    assert.deepEqual(passwordOf({ secretRef: { name: 's', key: 'k' } }), { secretKeyRef: { name: 's', key: 'k' } });
    assert.equal(passwordOf({}), undefined);
  });

  for (const [role, build] of roles)
    it(`${role}: has the user, and the certificates of the store as files that only it may read`, () => {
      const set = build(aCluster({ store: { redis: secured } }));
      const env = Object.fromEntries(mainOf(set).env.map((row) => [row.name, row.value]));
      assert.equal(env['PUSHCLUSTER_STORE_USERNAME'], 'push');
      assert.equal(env['PUSHCLUSTER_STORE_SERVER_NAME'], 'redis.example');
      assert.deepEqual(
        podOf(set).volumes.find(({ name }) => name === 'store-tls'),
        {
          name: 'store-tls',
          projected: {
            defaultMode: 0o440,
            sources: [
              { secret: { name: 'redis-ca', items: [{ key: 'root.pem', path: 'ca.crt' }] } },
              {
                secret: {
                  name: 'redis-client',
                  items: [
                    { key: 'tls.crt', path: 'tls.crt' },
                    { key: 'tls.key', path: 'tls.key' },
                  ],
                },
              },
            ],
          },
        },
      );
      const mount = mainOf(set).volumeMounts.find(({ name }) => name === 'store-tls')!;
      assert.equal(mount.readOnly, true);
      assert.deepEqual(
        ['CA', 'CERTIFICATE', 'KEY'].map((what) => env[`PUSHCLUSTER_STORE_${what}_FILE`]),
        ['ca.crt', 'tls.crt', 'tls.key'].map((file) => `${mount.mountPath}/${file}`),
      );
    });

  it('has no volume for a store without Secrets of its own, and none of the evaluation Redis', () => {
    const publicly = aCluster({ store: { redis: { addresses: ['redis:6380'], tls: true } } });
    for (const given of [publicly, cluster]) {
      const set = routerDeployment(given);
      assert.deepEqual(
        podOf(set).volumes.map(({ name }) => name),
        ['keys'],
      );
      assert.deepEqual(
        mainOf(set).env.filter(({ name }) => /^PUSHCLUSTER_STORE_(USERNAME|CA|CERT|KEY|SERVER)/.test(name)),
        [],
      );
    }
  });
});

describe('back-pressure', () => {
  const envOf = (object: KubeObject): Readonly<Record<string, unknown>> =>
    Object.fromEntries(mainOf(object).env.map((row) => [row.name, row.value ?? row]));
  const settings = [
    ['gateway', 'PUSHCLUSTER_MEMORY_BYTES_MAX'],
    ['router', 'PUSHCLUSTER_INTAKE_MEMORY_BYTES_MAX'],
    ['upstream', 'PUSHCLUSTER_UPSTREAM_MEMORY_BYTES_MAX'],
  ] as const;
  for (const [role, setting] of settings)
    it(`${role}: begins below the memory limit of the container, and is the role's own without one`, () => {
      const build = roles.find(([name]) => name === role)![1];
      const limited = build(aCluster({ [role]: { resources: { limits: { memory: '500M' } } } }));
      assert.equal(envOf(limited)[setting], '400000000');
      assert.equal(setting in envOf(build(cluster)), false);
      const chosen = { spec: { containers: [{ name: role, env: [{ name: setting, value: '300000000' }] }] } };
      const overlaid = { resources: { limits: { memory: '500M' } }, podTemplate: chosen };
      assert.equal(envOf(build(aCluster({ [role]: overlaid })))[setting], '300000000', 'the overlay has the last word');
    });

  it('bandwidth is bound where the manifest says so', () => {
    const bound = aCluster({
      gateway: { bandwidthBytesPerSecond: 5_000_000 },
      router: { bandwidthBytesPerSecond: 9_000_000 },
      drainer: { bytesPerSecond: 70_000 },
    });
    assert.equal(envOf(gatewaySet(bound, 1))['PUSHCLUSTER_BANDWIDTH_BYTES_PER_SECOND'], '5000000');
    assert.equal(envOf(routerDeployment(bound))['PUSHCLUSTER_INTAKE_BYTES_PER_SECOND'], '9000000');
    assert.equal(envOf(drainerDeployment(bound))['PUSHCLUSTER_DRAINER_BYTES_PER_SECOND'], '70000');
    assert.equal(envOf(gatewaySet(cluster, 1))['PUSHCLUSTER_BANDWIDTH_BYTES_PER_SECOND'], '0');
  });

  it('clients are let in by their signature while the store is away, unless the manifest forbids it', () => {
    assert.equal(envOf(gatewaySet(cluster, 1))['PUSHCLUSTER_FAIL_OPEN'], 'yes');
    assert.equal(envOf(gatewaySet(aCluster({ auth: { failOpen: false } }), 1))['PUSHCLUSTER_FAIL_OPEN'], 'no');
  });
});

describe('the bus', () => {
  const bus = { kafka: { brokers: ['k-0:9092', 'k-1:9092'], username: 'push', secretRef: { name: 'kafka' } } };
  const envOf = (object: KubeObject): Readonly<Record<string, unknown>> =>
    Object.fromEntries(mainOf(object).env.map((row) => [row.name, row.value ?? row]));

  it('is none where the manifest names none, and then no upstream role runs', () => {
    assert.equal(envOf(gatewaySet(cluster, 1))['PUSHCLUSTER_BUS'], 'none');
    assert.equal(disruptionBudgets(cluster).length, 4);
  });

  it('reaches every role by its brokers, its own prefix, and a password that stays in its Secret', () => {
    for (const [role, build] of roles) {
      const env = envOf(build(aCluster({ bus })));
      assert.equal(env['PUSHCLUSTER_BUS'], 'kafka://k-0:9092,k-1:9092', role);
      assert.equal(env['PUSHCLUSTER_BUS_PREFIX'], 'push.demo.');
      assert.deepEqual((env['PUSHCLUSTER_BUS_PASSWORD'] as { valueFrom: unknown }).valueFrom, {
        secretKeyRef: { name: 'kafka', key: 'password' },
      });
    }
  });

  it('makes topics with three replicas, in a manifest that says nothing as in a role that is told nothing', () => {
    const replicasOf = (kafka: object): unknown =>
      envOf(gatewaySet(aCluster({ bus: { kafka: { ...bus.kafka, ...kafka } } }), 1))['PUSHCLUSTER_BUS_REPLICATION'];
    assert.equal(replicasOf({}), '3');
    assert.equal(busSettings.busReplication.fallback, '3');
    assert.equal(replicasOf({ replicationFactor: 1 }), '1');
    assert.equal(replicasOf({ replicationFactor: 0 }), '0', 'as the brokers are set');
  });

  it('gives the upstream role its handlers, how often and how long they are tried, and a database of its own where none is named', () => {
    const handlers = [{ kinds: ['order.*'], type: 'webhook', url: 'https://shop.example.com/orders' }];
    const own = envOf(
      upstreamDeployment(aCluster({ bus, upstream: { handlers, attempts: 3, timeout: '2s', hold: '1h' } })),
    );
    assert.deepEqual(JSON.parse(String(own['PUSHCLUSTER_UPSTREAM_HANDLERS'])), handlers);
    assert.deepEqual(
      ['ATTEMPTS_MAX', 'TIMEOUT_MS', 'HOLD_MS'].map((name) => own[`PUSHCLUSTER_UPSTREAM_${name}`]),
      ['3', '2000', '3600000'],
    );
    assert.match(String(own['PUSHCLUSTER_UPSTREAM_DATABASE']), /^sqlite:/);
    const named = envOf(upstreamDeployment(aCluster({ bus, upstream: { database: { secretRef: { name: 'pg' } } } })));
    assert.deepEqual((named['PUSHCLUSTER_UPSTREAM_DATABASE'] as { valueFrom: unknown }).valueFrom, {
      secretKeyRef: { name: 'pg', key: 'url' },
    });
  });
});
