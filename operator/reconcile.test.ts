import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeWorld } from './fake-world.ts';
import { aPushApp } from './fixtures.ts';
import { KINDS } from './kube/port.ts';
import type { DataView } from './kube/objects.ts';
import { APPS_KEY } from '../workloads/protocol/apps.ts';
import { parseRoutingDocument, ROUTING_KEY } from '../workloads/protocol/routing.ts';
import type { RoutingDocument } from '../workloads/protocol/routing.ts';

async function aSettledWorld(spec: Readonly<Record<string, unknown>> = {}): Promise<FakeWorld> {
  const world = new FakeWorld();
  await world.create(spec);
  await world.settle();
  return world;
}
const at = (name: string): { name: string; namespace: string } => ({ name, namespace: 'push' });

async function routingOf(world: FakeWorld): Promise<RoutingDocument> {
  const configMap: DataView | null = await world.kube.get(KINDS.configMap, at('demo-routing'));
  return parseRoutingDocument(configMap?.data?.[ROUTING_KEY] ?? '');
}

describe('reconcile: setting up', () => {
  it('makes a cluster Ready, and then writes nothing more', async () => {
    const world = await aSettledWorld();
    assert.equal(await world.condition('Ready'), 'True Serving');
    assert.equal(await world.condition('Progressing'), 'False Settled');
    assert.equal((await world.status()).readyGateways, 2);
    await world.tick();
    const before = world.kube.latestVersion();
    await world.controllers();
    for (let i = 0; i < 5; i++) assert.deepEqual(await world.reconcile(), { kind: 'settled' });
    assert.equal(world.kube.latestVersion(), before, 'a settled cluster causes no writes');
  });

  it('gives every gateway the routing document, with a weight above 0 for each', async () => {
    const world = await aSettledWorld();
    const document = await routingOf(world);
    assert.deepEqual(
      document.gateways.map((row) => [row.name, row.state, row.weight > 0]),
      [
        ['demo-gateway-0', 'active', true],
        ['demo-gateway-1', 'active', true],
      ],
    );
    assert.equal(world.gateway(0).routing?.revision, document.revision);
    assert.equal((await world.status()).routingRevision, document.revision);
  });

  it('tells the API server what /scale and HPA need: replicas and the selector as text', async () => {
    const { replicas, selector } = await (await aSettledWorld()).status();
    assert.equal(replicas, 2);
    assert.equal(selector, 'pushcluster.io/cluster=demo,app.kubernetes.io/component=gateway');
  });

  it('answers gone for a PushCluster that is not there', async () => {
    assert.deepEqual(await new FakeWorld().reconcile(), { kind: 'gone' });
  });

  it('puts apps that name the cluster into the apps document, and refuses the others by name', async () => {
    const world = await aSettledWorld();
    const place = { namespace: 'push' };
    await world.kube.create({ ...aPushApp({ allowedTopics: ['news'] }), metadata: { name: 'shop', ...place } });
    await world.kube.create({
      ...aPushApp({ apiKeys: [{ name: 'a', sha256: 'x' }] }),
      metadata: { name: 'bad', ...place },
    });
    await world.kube.create({ ...aPushApp({ clusterRef: { name: 'other' } }), metadata: { name: 'else', ...place } });
    await world.settle();
    const configMap: DataView | null = await world.kube.get(KINDS.configMap, at('demo-apps'));
    const { apps } = JSON.parse(configMap?.data?.[APPS_KEY] ?? '') as { apps: { name: string }[] };
    assert.deepEqual(
      apps.map((app) => app.name),
      ['shop'],
    );
    const bad = await world.kube.get(KINDS.pushApp, at('bad'));
    assert.match(JSON.stringify(bad?.['status']), /spec\.apiKeys\[0\]\.sha256: expected the SHA-256/);
    assert.equal(await world.condition('Degraded'), 'True AppsRefused');
    assert.ok((await world.events()).some((line) => line.startsWith('AppRefused: PushApp bad')));
  });
});

describe('reconcile: scaling', () => {
  it('scales 2 → 3 → 2: the third is drained before it is removed, and no session is lost', async () => {
    const world = await aSettledWorld();
    world.gateway(0).sessions = 4000;
    await world.patch({ gateway: { replicas: 3 } });
    await world.settle();
    assert.equal(await world.replicas(), 3);
    world.gateway(2).sessions = 2000;
    await world.patch({ gateway: { replicas: 2 } });
    const rounds = await world.settle();
    assert.equal(await world.replicas(), 2);
    assert.deepEqual(world.removals, [{ name: 'demo-gateway-2', sessions: 0, isOverdue: false }]);
    assert.equal(world.sessions, 6000);
    assert.equal(world.sessionsLost, 0);
    assert.ok(world.ratePeak <= 500, `rate ${world.ratePeak} within the budget`);
    assert.ok(rounds >= 4, 'it took the 4 s that 2000 sessions take at 500/s');
  });

  it('shows the drain while it goes on: whose, what is left, rate, ETA', async () => {
    const world = await aSettledWorld({ gateway: { replicas: 3 } });
    world.gateway(2).sessions = 2000;
    await world.patch({ gateway: { replicas: 2 } });
    for (let i = 0; i < 3; i++) {
      await world.reconcile();
      await world.tick();
    }
    await world.reconcile();
    const { drain } = await world.status();
    assert.equal(drain?.gateway, 'demo-gateway-2');
    assert.equal(drain.ratePerSecond, 500);
    assert.ok(drain.left !== null && drain.left > 0 && drain.left < 2000);
    assert.equal(drain.etaSeconds, Math.ceil(drain.left / 500));
    assert.equal(await world.condition('Draining'), 'True Draining');
    assert.equal(await world.condition('Progressing'), 'True ScalingIn');
  });

  it('calls a drain off when demand comes back, and gives the weight back', async () => {
    const world = await aSettledWorld({ gateway: { replicas: 3 } });
    world.gateway(2).sessions = 100_000;
    await world.patch({ gateway: { replicas: 2 } });
    for (let i = 0; i < 3; i++) {
      await world.reconcile();
      await world.tick();
    }
    assert.notEqual(world.gateway(2).drain, null);
    assert.equal((await routingOf(world)).gateways[2]?.weight, 0);
    await world.patch({ gateway: { replicas: 3 } });
    await world.settle();
    assert.equal(world.gateway(2).drain, null);
    assert.deepEqual(world.removals, []);
    const row = (await routingOf(world)).gateways[2];
    assert.equal(row?.state, 'active');
    assert.ok((row?.weight ?? 0) > 0);
    assert.ok((await world.events()).some((line) => line.startsWith('DrainCancelled')));
  });

  it('holds scale-in up while the gateway does not answer, and says so: unknown is not zero', async () => {
    const world = await aSettledWorld({ gateway: { replicas: 3 }, disruption: { drainDeadline: '60s' } });
    world.gateway(2).isReachable = false;
    await world.patch({ gateway: { replicas: 2 } });
    for (let i = 0; i < 120; i++) {
      await world.reconcile();
      await world.tick();
    }
    assert.equal(await world.replicas(), 3, 'also long past the deadline, while its pod is Ready');
    const status = await world.status();
    assert.equal(status.connectionsUnknown, 1);
    assert.equal(status.gateways[2]?.connections, null);
    assert.equal(status.gateways[2]?.state, 'unknown');
    assert.equal(await world.condition('Degraded'), 'True GatewayUnknown');
    world.gateway(2).isReachable = true;
    await world.settle();
    assert.equal(await world.replicas(), 2);
  });

  it('ends a drain at its deadline when clients do not go', async () => {
    const world = await aSettledWorld({
      gateway: { replicas: 3 },
      disruption: { drainDeadline: '20s', reconnectsPerSecond: 1 },
    });
    world.drainDeadlineMs = 20_000;
    world.gateway(2).sessions = 5000;
    await world.patch({ gateway: { replicas: 2 } });
    const rounds = await world.settle();
    assert.ok(rounds >= 20 && rounds < 40, `${rounds} s`);
    assert.equal(await world.replicas(), 2);
  });

  it('goes from 5 to 2 one by one, highest first, and never sends clients to one that leaves next', async () => {
    const world = await aSettledWorld({ gateway: { replicas: 5 } });
    for (let i = 0; i < 5; i++) world.gateway(i).sessions = 600;
    await world.patch({ gateway: { replicas: 2 } });
    await world.reconcile();
    assert.deepEqual(
      (await routingOf(world)).gateways.map((row) => row.weight > 0),
      [true, true, false, false, false],
    );
    await world.settle();
    assert.deepEqual(world.decisions, [4, 3, 2]);
    assert.deepEqual(
      world.removals.map((r) => r.name),
      ['demo-gateway-4', 'demo-gateway-3', 'demo-gateway-2'],
    );
  });

  it('drains what somebody added by scaling the StatefulSet by hand', async () => {
    const world = await aSettledWorld();
    await world.kube.scale(KINDS.statefulSet, at('demo-gateway'), 3);
    await world.controllers();
    await world.controllers();
    world.gateway(2).sessions = 100;
    await world.settle();
    assert.equal(await world.replicas(), 2);
    assert.deepEqual(world.removals, [{ name: 'demo-gateway-2', sessions: 0, isOverdue: false }]);
  });
});

describe('reconcile: rollout', () => {
  it('answers a changed image by draining and replacing one gateway after the other', async () => {
    const world = await aSettledWorld({ gateway: { replicas: 3 } });
    for (let i = 0; i < 3; i++) world.gateway(i).sessions = 1000;
    await world.patch({ image: 'pushcluster:next' });
    await world.settle();
    assert.deepEqual(
      world.removals.map((r) => [r.name, r.sessions]),
      [
        ['demo-gateway-2', 0],
        ['demo-gateway-1', 0],
        ['demo-gateway-0', 0],
      ],
    );
    assert.equal(world.sessions, 3000);
    assert.equal(world.sessionsLost, 0);
    assert.ok(world.ratePeak <= 500);
    assert.ok((await world.status()).gateways.every((g) => !g.outdated));
  });

  it('drains two at a time with maxUnavailable 2, within the same budget', async () => {
    const world = await aSettledWorld({ gateway: { replicas: 4 }, disruption: { maxUnavailable: 2 } });
    for (let i = 0; i < 4; i++) world.gateway(i).sessions = 3000;
    await world.patch({ image: 'pushcluster:next' });
    await world.reconcile();
    await world.tick();
    await world.reconcile();
    await world.tick();
    await world.reconcile();
    assert.equal([...world.gateways.values()].filter((g) => g.drain !== null).length, 2);
    await world.settle();
    assert.equal(world.removals.length, 4);
    assert.ok(world.ratePeak <= 500, `rate ${world.ratePeak}`);
  });

  it('does the same for `kubectl rollout restart`, and leaves its annotation', async () => {
    const world = await aSettledWorld();
    world.gateway(1).sessions = 300;
    const restartedAt = { 'kubectl.kubernetes.io/restartedAt': 'now' };
    await world.kube.merge(KINDS.statefulSet, at('demo-gateway'), {
      spec: { template: { metadata: { annotations: restartedAt } } },
    });
    await world.controllers();
    await world.settle();
    assert.equal(world.removals.length, 2);
    assert.ok(world.removals.every((r) => r.sessions === 0));
    assert.match(JSON.stringify(await world.gatewaySet()), /restartedAt/);
  });

  it('stops where the new revision does not come up, and goes on when it is put right', async () => {
    const world = await aSettledWorld({ gateway: { replicas: 3 } });
    await world.patch({ image: 'pushcluster:broken' });
    for (let i = 0; i < 30; i++) {
      await world.reconcile();
      await world.tick();
      const replaced = world.gateways.get('demo-gateway-2');
      if (world.removals.length > 0 && replaced !== undefined) {
        replaced.isReachable = false;
        await world.setReady('demo-gateway-2', false);
      }
    }
    assert.deepEqual(
      world.removals.map((r) => r.name),
      ['demo-gateway-2'],
    );
    world.gateway(2).isReachable = true;
    await world.setReady('demo-gateway-2', true);
    await world.settle();
    assert.equal(world.removals.length, 3);
  });

  it('drains a gateway whose node was cordoned, then has it placed elsewhere', async () => {
    const world = await aSettledWorld();
    world.gateway(0).sessions = 500;
    await world.kube.create({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node-1' },
      spec: { unschedulable: true },
    });
    for (let i = 0; i < 20 && world.removals.length < 2; i++) {
      await world.reconcile();
      await world.tick();
    }
    assert.ok(world.removals.length >= 2);
    assert.ok(world.removals.every((r) => r.sessions === 0));
    await world.kube.delete(KINDS.node, { name: 'node-1' });
    await world.settle();
    assert.equal(world.sessions, 500);
  });

  it('replaces a gateway that has been away for the whole deadline, and erases its pod when its node is dead', async () => {
    const world = await aSettledWorld({ disruption: { drainDeadline: '30s' } });
    world.gateway(1).isReachable = false;
    await world.setReady('demo-gateway-1', false);
    for (let i = 0; i < 25; i++) {
      await world.reconcile();
      await world.tick();
    }
    assert.equal(
      (await world.pods()).every((pod) => pod.metadata.deletionTimestamp === undefined),
      true,
    );
    const uid = (await world.pods())[1]?.metadata.uid;
    for (let i = 0; i < 100; i++) {
      await world.reconcile();
      await world.tick();
    }
    const replaced = (await world.pods())[1];
    assert.notEqual(replaced?.metadata.uid, uid);
    assert.ok((await world.events()).some((line) => /GatewayReplaced: demo-gateway-1 \(watchdog\)/.test(line)));
    assert.ok((await world.events()).some((line) => /is erased/.test(line)));
  });
});

describe('reconcile: the store goes away', () => {
  it('tells it once in an event, and once that it is back', async () => {
    const world = await aSettledWorld();
    const told = async (): Promise<readonly string[]> =>
      (await world.events())
        .map((line) => line.split(':')[0]!)
        .filter((reason) => reason.startsWith('Store'))
        .sort();
    assert.deepEqual(await told(), []);
    world.gateway(1).store = 'away';
    await world.reconcile();
    assert.equal(await world.condition('StoreReachable'), 'False StoreAway');
    assert.equal(await world.condition('Degraded'), 'True StoreAway');
    await world.reconcile();
    assert.deepEqual(await told(), ['StoreAway']);
    world.gateway(1).store = 'reachable';
    await world.reconcile();
    assert.equal(await world.condition('Degraded'), 'False Healthy');
    assert.deepEqual(await told(), ['StoreAway', 'StoreBack']);
  });
});
