import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aManualClock } from '../../workloads/runtime/clock.ts';
import { testKube } from './contract.ts';
import { openMemoryKube } from './memory.ts';
import { KINDS } from './port.ts';
import type { KubeObject } from './port.ts';

testKube('in memory', () =>
  Promise.resolve({
    kube: openMemoryKube({ clock: aManualClock() }),
    namespace: 'contract',
    hasPushClusters: true,
    eventually: async (is) => {
      for (let i = 0; i < 100 && !(await is()); i++) await Promise.resolve();
      assert.ok(await is());
    },
  }),
);

const pod: KubeObject = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'n' }, spec: {} };
const at = { name: 'p', namespace: 'n' };

describe('the API server in memory', () => {
  it('keeps a pod that is deleted with grace until the kubelet deletes it without', async () => {
    const kube = openMemoryKube({ clock: aManualClock() });
    await kube.create(pod);
    await kube.delete(KINDS.pod, at);
    assert.notEqual((await kube.get(KINDS.pod, at))?.metadata.deletionTimestamp, undefined);
    await kube.delete(KINDS.pod, at, { graceSeconds: 0 });
    assert.equal(await kube.get(KINDS.pod, at), null);
  });

  it('lets a kubelet release a pod by merging its finalizers away', async () => {
    const kube = openMemoryKube({ clock: aManualClock() });
    await kube.create(pod);
    await kube.merge(KINDS.pod, at, { metadata: { finalizers: null } });
    assert.notEqual(await kube.get(KINDS.pod, at), null, 'one that is not being deleted stays');
    await kube.delete(KINDS.pod, at);
    await kube.merge(KINDS.pod, at, { metadata: { finalizers: null } });
    assert.equal(await kube.get(KINDS.pod, at), null);
  });

  it('collects at once what is made for an owner that is gone', async () => {
    const kube = openMemoryKube({ clock: aManualClock() });
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'x', uid: 'gone' };
    await kube.create({ apiVersion: 'v1', kind: 'Secret', metadata: { ...at, ownerReferences: [owner] } });
    assert.equal(await kube.get(KINDS.secret, at), null);
  });

  it('tells a watch of a version that it no longer remembers that it expired', async () => {
    const kube = openMemoryKube({ clock: aManualClock() });
    await kube.create(pod);
    for (let i = 0; i < 2050; i++) await kube.merge(KINDS.pod, at, { spec: { i } });
    const watch = kube.watch(KINDS.pod, { resourceVersion: '1' }, () => {});
    assert.equal((await watch.ended).why, 'expired');
  });

  it('selects nodes by the flag that cordons them, absent being false', async () => {
    const kube = openMemoryKube({ clock: aManualClock() });
    await kube.create({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'a' }, spec: { unschedulable: true } });
    await kube.create({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'b' }, spec: {} });
    const cordoned = await kube.list(KINDS.node, { fields: { 'spec.unschedulable': 'true' } });
    assert.deepEqual(
      cordoned.items.map((node) => node.metadata.name),
      ['a'],
    );
  });
});
