// Reconciles of a cluster in untidy hands: drift, refusals, deletion, and the builtin autoscaler, over the in-memory API server.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeWorld } from './fake-world.ts';
import { KINDS } from './kube/port.ts';
import { reconcile } from './reconcile.ts';
import type { Kind, KubeObject } from './kube/port.ts';

async function aSettledWorld(spec: Readonly<Record<string, unknown>> = {}): Promise<FakeWorld> {
  const world = new FakeWorld();
  await world.create(spec);
  await world.settle();
  return world;
}
const at = (name: string): { name: string; namespace: string } => ({ name, namespace: 'push' });

describe('reconcile: drift', () => {
  const children: readonly (readonly [Kind, string])[] = [
    [KINDS.service, 'demo-gateway'],
    [KINDS.service, 'demo-gateway-1'],
    [KINDS.service, 'demo-registry'],
    [KINDS.configMap, 'demo-apps'],
    [KINDS.configMap, 'demo-routing'],
    [KINDS.secret, 'demo-keys'],
    [KINDS.serviceAccount, 'demo-router'],
    [KINDS.role, 'demo-config-reader'],
    [KINDS.roleBinding, 'demo-config-reader'],
    [KINDS.deployment, 'demo-registry'],
    [KINDS.deployment, 'demo-router'],
    [KINDS.podDisruptionBudget, 'demo-gateway'],
    [KINDS.networkPolicy, 'demo-gateway'],
    [KINDS.statefulSet, 'demo-redis'],
  ];
  for (const [kind, name] of children) {
    it(`makes ${kind.kind} ${name} again when somebody deletes it`, async () => {
      const world = await aSettledWorld();
      await world.kube.delete(kind, at(name));
      await world.settle();
      assert.notEqual(await world.kube.get(kind, at(name)), null);
    });
  }

  it('puts an edited field right and says so, and leaves what others added', async () => {
    const world = await aSettledWorld();
    await world.kube.merge(KINDS.deployment, at('demo-router'), {
      metadata: { annotations: { 'team.example.com/note': 'ours' } },
      spec: { replicas: 9 },
    });
    await world.settle();
    const router = await world.kube.get(KINDS.deployment, at('demo-router'));
    assert.equal((router?.['spec'] as { replicas: number } | undefined)?.replicas, 2);
    assert.equal(router?.metadata.annotations?.['team.example.com/note'], 'ours');
    assert.ok((await world.events()).includes('PutRight: Deployment demo-router was changed: spec.replicas'));
  });

  it('drops what the manifest gave up', async () => {
    const world = await aSettledWorld({ gateway: { podTemplate: { spec: { hostNetwork: true } } } });
    assert.match(JSON.stringify(await world.gatewaySet()), /hostNetwork/);
    await world.kube.merge(KINDS.pushCluster, at('demo'), { spec: { gateway: { podTemplate: null } } });
    await world.settle();
    assert.doesNotMatch(JSON.stringify(await world.gatewaySet()), /hostNetwork/);
  });

  it('removes what is no longer wanted: the evaluation Redis once a store is named, the HPA with autoscaling', async () => {
    const world = await aSettledWorld({ autoscaling: { engine: 'hpa' } });
    assert.notEqual(await world.kube.get(KINDS.horizontalPodAutoscaler, at('demo-gateway')), null);
    await world.kube.merge(KINDS.pushCluster, at('demo'), {
      spec: { autoscaling: null, store: { redis: { addresses: ['redis.data:6379'] } } },
    });
    await world.settle();
    assert.equal(await world.kube.get(KINDS.horizontalPodAutoscaler, at('demo-gateway')), null);
    assert.equal(await world.kube.get(KINDS.statefulSet, at('demo-redis')), null);
    assert.equal(await world.condition('StoreEvaluation'), 'False StoreGiven');
  });

  it('leaves alone what belongs to somebody else, and says what to do', async () => {
    const world = new FakeWorld();
    const owner = { apiVersion: 'v1', kind: 'Namespace', name: 'theirs', uid: '', controller: true };
    const theirs = await world.kube.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'theirs' } });
    const ownerReferences = [{ ...owner, uid: theirs.metadata.uid ?? '' }];
    const foreign: KubeObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { ...at('demo-apps'), ownerReferences },
      data: { mine: 'yes' },
    };
    await world.kube.create(foreign);
    await world.create();
    await assert.rejects(world.reconcile(), { code: 'owned-by-other' });
    assert.deepEqual((await world.kube.get(KINDS.configMap, at('demo-apps')))?.['data'], { mine: 'yes' });
    assert.equal(await world.condition('Degraded'), 'True WriteFailed');
  });
});

describe('reconcile: refusal', () => {
  it('refuses a manifest that got past the schema, with a condition and an event, and touches nothing', async () => {
    const world = await aSettledWorld();
    const before = (await world.gatewaySet())?.metadata.resourceVersion;
    await world.patch({ gateway: { replicas: 1 }, autoscaling: { minReplicas: 9, maxReplicas: 3 } });
    assert.deepEqual(await world.reconcile(), { kind: 'refused' });
    assert.equal((await world.gatewaySet())?.metadata.resourceVersion, before);
    assert.equal(await world.condition('Refused'), 'True InvalidSpec');
    assert.equal(await world.condition('Ready'), 'False Refused');
    const status = await world.status();
    assert.equal(status.observedGeneration, 2);
    assert.equal(status.readyGateways, 2, 'what it said of the gateways stays');
    assert.ok((await world.events()).some((line) => line.startsWith('Refused: spec.autoscaling.minReplicas')));
    const sameOperator = world.operator();
    await reconcile(at('demo'), sameOperator);
    const settled = world.kube.latestVersion();
    await reconcile(at('demo'), sameOperator);
    assert.equal(world.kube.latestVersion(), settled);
    await world.kube.merge(KINDS.pushCluster, at('demo'), { spec: { autoscaling: null } });
    await world.settle();
    assert.equal(await world.condition('Refused'), 'False Accepted');
  });

  it('makes nothing for one that was wrong from the start', async () => {
    const world = new FakeWorld();
    await world.create({ gateway: { replicas: -1 } });
    assert.deepEqual(await world.reconcile(), { kind: 'refused' });
    assert.equal(await world.gatewaySet(), null);
    assert.deepEqual((await world.resource())?.metadata.finalizers ?? [], []);
  });
});

describe('reconcile: deletion', () => {
  it('drains every gateway within the budget, then lets the cluster and its children go', async () => {
    const world = await aSettledWorld();
    world.gateway(0).sessions = 1000;
    world.gateway(1).sessions = 1000;
    await world.kube.delete(KINDS.pushCluster, at('demo'));
    assert.notEqual(await world.resource(), null, 'the finalizer holds it');
    const rounds = await world.settle();
    assert.ok(rounds >= 4, `2000 sessions at 500/s take 4 s, not ${rounds}`);
    assert.ok(world.ratePeak <= 500);
    assert.equal(await world.resource(), null);
    for (const kind of [KINDS.statefulSet, KINDS.configMap, KINDS.secret, KINDS.service, KINDS.roleBinding])
      assert.deepEqual((await world.kube.list(kind, { namespace: 'push' })).items, [], kind.kind);
  });

  it('goes at the deadline when a gateway does not answer, and says on which', async () => {
    const world = await aSettledWorld({ disruption: { drainDeadline: '20s' } });
    world.gateway(1).isReachable = false;
    await world.kube.delete(KINDS.pushCluster, at('demo'));
    const rounds = await world.settle();
    assert.ok(rounds >= 24 && rounds < 32, `${rounds} s: the deadline and a moment`);
    assert.ok((await world.events()).some((line) => /unknown on demo-gateway-1/.test(line)));
  });

  it('puts nothing right any more while it goes', async () => {
    const world = await aSettledWorld();
    world.gateway(0).sessions = 5000;
    await world.kube.delete(KINDS.pushCluster, at('demo'));
    await world.kube.delete(KINDS.deployment, at('demo-router'));
    await world.reconcile();
    assert.equal(await world.kube.get(KINDS.deployment, at('demo-router')), null);
  });

  it('keeps the finalizer when the drain fails', async () => {
    const world = await aSettledWorld();
    world.gateway(0).sessions = 50;
    await world.kube.delete(KINDS.pushCluster, at('demo'));
    const deps = world.operator();
    const broken = { ...deps, kube: { ...deps.kube, apply: () => Promise.reject(new Error('no')) } };
    await assert.rejects(reconcile(at('demo'), broken));
    assert.notEqual(await world.resource(), null);
  });

  it('drains one that is refused as well, with defaults in place of what is wrong', async () => {
    const world = await aSettledWorld();
    await world.patch({ disruption: { reconnectsPerSecond: -5 } });
    assert.deepEqual(await world.reconcile(), { kind: 'refused' });
    await world.kube.delete(KINDS.pushCluster, at('demo'));
    await world.settle();
    assert.equal(await world.resource(), null);
  });
});

describe('reconcile: builtin autoscaling', () => {
  const spec = {
    gateway: { connectionsPerGateway: 1000 },
    autoscaling: { minReplicas: 2, maxReplicas: 4, targetUtilization: 50, scaleIn: { stabilization: '30s' } },
  };

  it('goes 2 → 4 as clients come, and 4 → 2 drained when they have gone for the whole stabilisation', async () => {
    const world = await aSettledWorld(spec);
    world.gateway(0).sessions = 900;
    world.gateway(1).sessions = 900;
    await world.settle();
    assert.equal(await world.replicas(), 4);
    for (const gateway of world.gateways.values()) gateway.sessions = 100;
    let rounds = 0;
    while ((await world.replicas()) > 2 && rounds < 200) {
      await world.reconcile();
      await world.tick();
      rounds += 1;
    }
    assert.ok(rounds >= 30, `${rounds} s`);
    await world.settle();
    assert.equal(await world.replicas(), 2);
    assert.equal(world.sessions, 400);
    assert.ok(world.removals.every((r) => r.sessions === 0));
  });

  it('freezes scale-in while a gateway does not answer, and scales out all the same', async () => {
    const world = await aSettledWorld({ ...spec, gateway: { ...spec.gateway, replicas: 3 } });
    world.gateway(1).isReachable = false;
    for (let i = 0; i < 60; i++) {
      await world.reconcile();
      await world.tick();
    }
    assert.equal(await world.replicas(), 3);
    assert.equal(await world.condition('MetricsTrusted'), 'False GatewayUnknown');
    world.gateway(0).sessions = 1900;
    await world.reconcile();
    await world.reconcile();
    assert.equal(await world.replicas(), 4);
  });
});
