import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assess } from './assess.ts';
import {
  aCluster,
  aDrainingGateway,
  aGateway,
  aGatewaySet,
  aKeyMaker,
  anObserved,
  answering,
  aRouting,
  aRow,
  isoAt,
  NOW_MS,
  SILENT,
} from './fixtures.ts';
import { nextKeyFiles } from './keys.ts';
import { plan } from './plan.ts';
import type { Action, Cluster, Observed } from './types.ts';
import { FINALIZER } from './types.ts';
import { desiredChildren } from './children.ts';
import type { KubeObject } from './kube/port.ts';
import { childKey } from './types.ts';

const times = { nowMs: NOW_MS, rotationMs: 1e12, tokenTtlMs: 1000, ticketTtlMs: 1000 };
const keys = nextKeyFiles({}, times, aKeyMaker()).files;
const secrets = { keys, storePassword: 'cGFzcw==' };

function planned(cluster: Cluster, observed: Observed): readonly Action[] {
  return plan(cluster, observed, { assessment: assess(cluster, observed, NOW_MS), secrets, keyChanges: [] });
}
/** The cluster with every child as it shall be, so that a plan shows only what the test is about. */
function withChildren(cluster: Cluster, observed: Observed): Observed {
  const assessment = assess(cluster, observed, NOW_MS);
  const children = new Map<string, KubeObject>();
  for (const child of desiredChildren(cluster, observed, { assessment, secrets })) {
    const resourceVersion = '7';
    children.set(childKey(child), {
      ...child,
      metadata: { ...child.metadata, resourceVersion, uid: `uid-${childKey(child)}` },
    });
  }
  return { ...observed, children };
}
function aSettled(over: Partial<Observed> = {}, cluster = settledCluster()): Observed {
  const gateways = over.gateways ?? [aGateway(0), aGateway(1)];
  return withChildren(
    cluster,
    anObserved({ gatewaySet: aGatewaySet(2), routing: aRouting([aRow(0), aRow(1)]), gateways, ...over }),
  );
}
function settledCluster(spec: Record<string, unknown> = {}, over: Partial<Cluster> = {}): Cluster {
  return aCluster({ routing: { strategy: 'weighted' }, ...spec }, { finalizers: [FINALIZER], ...over });
}
const kinds = (actions: readonly Action[]): readonly string[] =>
  actions.map((a) =>
    a.kind === 'apply' ? `apply ${childKey(a.object)}` : 'gateway' in a ? `${a.kind} ${a.gateway.name}` : a.kind,
  );

describe('plan', () => {
  it('is empty where nothing differs and every gateway has the document', () => {
    const cluster = settledCluster();
    const { revision } = assess(cluster, aSettled(), NOW_MS).document;
    const gateways = [0, 1].map((i) => aGateway(i, { answer: answering({ routingRevision: revision }) }));
    assert.deepEqual(planned(cluster, aSettled({ gateways })), []);
  });

  it('sets up in an order in which what a pod mounts is there before the pod, finalizer first', () => {
    const actions = kinds(planned(aCluster(), anObserved()));
    assert.equal(actions[0], 'add-finalizer');
    const place = (what: string): number => actions.indexOf(`apply ${what}`);
    for (const mounted of [
      'Secret/demo-keys',
      'Secret/demo-redis',
      'ServiceAccount/demo-gateway',
      'ConfigMap/demo-routing',
    ])
      for (const runs of ['StatefulSet/demo-gateway', 'Deployment/demo-registry', 'Deployment/demo-router'])
        assert.ok(place(mounted) >= 0 && place(mounted) < place(runs), `${mounted} before ${runs}`);
    assert.ok(place('Role/demo-config-reader') < place('RoleBinding/demo-config-reader'));
  });

  it('makes a PodMonitor only where its CRD is served', () => {
    const made = (hasPodMonitors: boolean): boolean =>
      kinds(planned(aCluster(), anObserved({ hasPodMonitors }))).includes('apply PodMonitor/demo');
    assert.equal(made(true), true);
    assert.equal(made(false), false);
  });

  it('says one thing when a cluster is set up, not one for each child', () => {
    const notes = planned(aCluster(), anObserved()).flatMap((a) =>
      'note' in a && a.note !== null ? [a.note.reason] : [],
    );
    assert.deepEqual(notes, ['Created']);
  });

  it('changes replicas only of the StatefulSet that was observed', () => {
    const cluster = settledCluster({ gateway: { replicas: 3 } });
    const action = planned(cluster, aSettled()).find((a) => a.kind === 'apply' && a.object.kind === 'StatefulSet');
    assert.equal(action?.kind === 'apply' && action.object.metadata.resourceVersion, '7');
    assert.equal(action?.kind === 'apply' && action.note?.reason, 'ScaledOut');
  });

  it('writes the record of a drain before it tells the gateway', () => {
    const cluster = settledCluster({ gateway: { replicas: 1 } });
    const gateways = [aGateway(0), aGateway(1, { answer: answering({ sessions: 10, connections: 10 }) })];
    const settled = aSettled({ gateways });
    const actions = kinds(planned(cluster, settled));
    assert.ok(actions.indexOf('apply ConfigMap/demo-routing') < actions.indexOf('drain demo-gateway-1'));
  });

  it('tells a draining gateway rate, deadline, and where its clients go', () => {
    const cluster = settledCluster({ gateway: { replicas: 1 } });
    const gateways = [aGateway(0), aGateway(1, { answer: answering({ sessions: 1000, connections: 1000 }) })];
    const drain = planned(cluster, aSettled({ gateways })).find((a) => a.kind === 'drain');
    assert.equal(drain?.kind, 'drain');
    assert.equal(drain.request.rate, 500);
    assert.equal(drain.request.reason, 'drain');
    assert.equal(drain.request.deadlineMs, NOW_MS + 600_000);
    assert.deepEqual(drain.request.targets, ['ws://demo-gateway-0.push.svc:8080/']);
    assert.equal(drain.note?.reason, 'DrainStarted');
  });

  it('tells an empty gateway too, so that it takes nobody', () => {
    const drain = planned(settledCluster({ gateway: { replicas: 1 } }), aSettled()).find((a) => a.kind === 'drain');
    assert.equal(drain?.kind === 'drain' && drain.gateway.name, 'demo-gateway-1');
  });

  it('sends clients to gateways of the new revision first, then to the emptiest', () => {
    const cluster = settledCluster({ gateway: { replicas: 4 } });
    const at = (i: number, connections: number, revision: string): ReturnType<typeof aGateway> =>
      aGateway(i, { shape: { revision }, answer: answering({ connections, sessions: connections }) });
    const gateways = [at(0, 10, 'r1'), at(1, 500, 'r2'), at(2, 5, 'r1'), at(3, 100, 'r1')];
    const rows = [0, 1, 2, 3].map((i) => aRow(i));
    const observed = aSettled(
      { gateways, gatewaySet: aGatewaySet(4, { revision: 'r2' }), routing: aRouting(rows) },
      cluster,
    );
    const drain = planned(cluster, observed).find((a) => a.kind === 'drain');
    const names = drain?.kind === 'drain' ? drain.request.targets.map((t) => t.slice(5, 19)) : [];
    assert.deepEqual(names, ['demo-gateway-1', 'demo-gateway-2', 'demo-gateway-0']);
  });

  it('deletes a pod with its uid, so that its successor is never taken for it', () => {
    const since = isoAt(-5000);
    const gateways = [aGateway(0, { shape: { revision: 'r2' } }), aDrainingGateway(1, since)];
    const routing = aRouting([aRow(0), aRow(1, { state: 'draining', since, weight: 0 })]);
    const actions = planned(
      settledCluster(),
      aSettled({ gateways, routing, gatewaySet: aGatewaySet(2, { revision: 'r2' }) }),
    );
    const remove = actions.find((a) => a.kind === 'delete');
    assert.equal(remove?.kind === 'delete' && remove.uid, 'uid-pod-1');
    assert.equal(remove?.kind === 'delete' && remove.at.name, 'demo-gateway-1');
  });

  it('asks nothing of gateways that do not answer', () => {
    const gateways = [aGateway(0), aGateway(1, { answer: SILENT })];
    const calls = planned(settledCluster({ gateway: { replicas: 1 } }), aSettled({ gateways })).filter(
      (a) => 'gateway' in a,
    );
    assert.ok(calls.every((a) => 'gateway' in a && a.gateway.name === 'demo-gateway-0'));
  });

  it('keeps the weight given by hand, also past what auto would say', () => {
    const cluster = settledCluster({ routing: { strategy: 'least-loaded', weights: { 'demo-gateway-0': 700 } } });
    const { document } = assess(cluster, aSettled(), NOW_MS);
    assert.equal(document.gateways[0]?.weight, 700);
    assert.notEqual(document.gateways[1]?.weight, 700);
  });
});
