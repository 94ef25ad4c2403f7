// The contract suite of the kube port. memory.test.ts runs it against kube/memory.ts, client.e2e.ts against a real API server. Objects
// are made in a namespace of the caller's, with the caller's prefix, and removed.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { isKubeStatus, KINDS } from './port.ts';
import type { Kind, Kube, KubeObject, WatchEvent } from './port.ts';

export interface ContractSubject {
  readonly kube: Kube;
  /** One that exists. */
  readonly namespace: string;
  /** Resolves when `is` answers true; rejects after a while. */
  readonly eventually: (is: () => Promise<boolean> | boolean) => Promise<void>;
  /** Whether PushCluster's CRD is installed. */
  readonly hasPushClusters: boolean;
}

export function testKube(name: string, open: () => Promise<ContractSubject>): void {
  describe(`kube port: ${name}`, () => {
    let subject: ContractSubject | null = null;
    const ready = async (): Promise<ContractSubject> => (subject ??= await open());
    const made: [Kind, string][] = [];

    const configMap = (suffix: string, over: object = {}): KubeObject => {
      const at = `contract-${suffix}`;
      made.push([KINDS.configMap, at]);
      return {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: at, namespace: subject?.namespace ?? '', labels: { suite: 'contract', one: suffix } },
        data: { a: '1' },
        ...over,
      };
    };

    after(async () => {
      if (subject === null) return;
      const { kube, namespace } = subject;
      for (const [kind, at] of made) {
        const live = await kube.get(kind, { name: at, namespace });
        if (live?.metadata.finalizers !== undefined)
          await kube.merge(kind, { name: at, namespace }, { metadata: { finalizers: null } });
        await kube.delete(kind, { name: at, namespace });
      }
    });

    it('gets null for what is not there, and deleting it answers gone', async () => {
      const { kube, namespace } = await ready();
      const at = { name: 'contract-nothing', namespace };
      assert.equal(await kube.get(KINDS.configMap, at), null);
      assert.equal(await kube.delete(KINDS.configMap, at), 'gone');
    });

    it('creates once; the second time is 409 AlreadyExists', async () => {
      const { kube } = await ready();
      const object = configMap('create');
      const created = await kube.create(object);
      assert.match(created.metadata.uid ?? '', /./);
      assert.match(created.metadata.resourceVersion ?? '', /./);
      await assert.rejects(kube.create(object), { code: 'kube', status: 409, reason: 'AlreadyExists' });
    });

    it('lists by label with kind and apiVersion on every object', async () => {
      const { kube, namespace } = await ready();
      await kube.create(configMap('list-a'));
      await kube.create(configMap('list-b'));
      const { items } = await kube.list(KINDS.configMap, { namespace, labels: { suite: 'contract', one: 'list-a' } });
      assert.deepEqual(
        items.map((item) => [item.apiVersion, item.kind, item.metadata.name]),
        [['v1', 'ConfigMap', 'contract-list-a']],
      );
    });

    it('lists by field', async () => {
      const { kube, namespace } = await ready();
      await kube.create(configMap('field'));
      const { items } = await kube.list(KINDS.configMap, { namespace, fields: { 'metadata.name': 'contract-field' } });
      assert.equal(items.length, 1);
    });

    it('answers 404 for a kind that is not served', async () => {
      const { kube, namespace } = await ready();
      await assert.rejects(kube.list(KINDS.podMonitor, { namespace }), { code: 'kube', status: 404 });
    });

    it('replaces only the version that was read', async () => {
      const { kube } = await ready();
      const first = await kube.create(configMap('replace'));
      const second = await kube.replace({ ...first, data: { a: '2' } });
      assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
      await assert.rejects(kube.replace({ ...first, data: { a: '3' } }), { status: 409, reason: 'Conflict' });
    });

    it('apply creates, then changes nothing when nothing differs, then takes away what is no longer given', async () => {
      const { kube } = await ready();
      const object = configMap('apply', { data: { a: '1', b: '2' } });
      const first = await kube.apply(object);
      const again = await kube.apply(object);
      assert.equal(again.metadata.resourceVersion, first.metadata.resourceVersion);
      const third = await kube.apply({ ...object, data: { a: '1' } });
      assert.deepEqual(third['data'], { a: '1' });
    });

    it('apply leaves what others set, and takes back what they changed', async () => {
      const { kube, namespace } = await ready();
      const object = configMap('shared');
      await kube.apply(object);
      await kube.merge(
        KINDS.configMap,
        { name: 'contract-shared', namespace },
        { data: { a: 'theirs', more: 'kept' } },
      );
      const applied = await kube.apply(object);
      assert.deepEqual(applied['data'], { a: '1', more: 'kept' });
    });

    it('apply with a version is 409 unless it is the current one', async () => {
      const { kube } = await ready();
      const object = configMap('guard');
      const first = await kube.apply(object);
      const { resourceVersion = '' } = first.metadata;
      const second = await kube.apply({
        ...object,
        metadata: { ...object.metadata, resourceVersion },
        data: { a: '2' },
      });
      assert.notEqual(second.metadata.resourceVersion, resourceVersion);
      const stale = { ...object, metadata: { ...object.metadata, resourceVersion }, data: { a: '3' } };
      await assert.rejects(kube.apply(stale), { status: 409, reason: 'Conflict' });
    });

    it('apply merges containers, env and ports by their keys', async () => {
      const { kube, namespace } = await ready();
      const name = 'contract-pods';
      made.push([KINDS.deployment, name]);
      const deployment = (env: readonly object[], ports: readonly object[]): KubeObject => ({
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name, namespace },
        spec: {
          replicas: 0,
          selector: { matchLabels: { app: name } },
          template: {
            metadata: { labels: { app: name } },
            spec: { containers: [{ name: 'main', image: 'none', env, ports }] },
          },
        },
      });
      type Shape = { template: { spec: { containers: { env?: { name: string }[]; ports?: object[] }[] } } };
      const port = { name: 'http', containerPort: 80, protocol: 'TCP' };
      const first = await kube.apply(
        deployment(
          [
            { name: 'A', value: '1' },
            { name: 'B', value: '2' },
          ],
          [port],
        ),
      );
      assert.equal(first.metadata.generation, 1);
      const second = await kube.apply(deployment([{ name: 'B', value: '2' }], [port]));
      assert.equal(second.metadata.generation, 2);
      const [container] = (second['spec'] as Shape).template.spec.containers;
      assert.deepEqual(
        container?.env?.map((row) => row.name),
        ['B'],
      );
      await kube.scale(KINDS.deployment, { name, namespace }, 0);
    });

    it('gives a Service its address, and keeps it when it is applied again', async () => {
      const { kube, namespace } = await ready();
      const name = 'contract-service';
      made.push([KINDS.service, name]);
      const service: KubeObject = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace },
        spec: {
          type: 'NodePort',
          selector: { app: name },
          ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }],
        },
      };
      type Shape = { clusterIP: string; ports: { nodePort: number }[] };
      const first = (await kube.apply(service))['spec'] as Shape;
      assert.match(first.clusterIP, /^[0-9.]+$/);
      assert.ok((first.ports[0]?.nodePort ?? 0) >= 30_000);
      const second = (await kube.apply(service))['spec'] as Shape;
      assert.equal(second.clusterIP, first.clusterIP);
      assert.equal(second.ports[0]?.nodePort, first.ports[0]?.nodePort);
    });

    it('merges: null takes a field away, and a wrong version is 409', async () => {
      const { kube, namespace } = await ready();
      await kube.create(configMap('merge', { data: { a: '1', b: '2' } }));
      const at = { name: 'contract-merge', namespace };
      const merged = await kube.merge(KINDS.configMap, at, { data: { b: null } });
      assert.deepEqual(merged['data'], { a: '1' });
      const patch = { metadata: { resourceVersion: '1' }, data: { a: 'x' } };
      await assert.rejects(kube.merge(KINDS.configMap, at, patch), { status: 409 });
    });

    it('deletes only the object with the uid', async () => {
      const { kube, namespace } = await ready();
      const { metadata } = await kube.create(configMap('uid'));
      const at = { name: 'contract-uid', namespace };
      const other = { uid: '00000000-0000-4000-8000-00000000dead' };
      await assert.rejects(kube.delete(KINDS.configMap, at, other), { status: 409 });
      assert.equal(await kube.delete(KINDS.configMap, at, { uid: metadata.uid ?? '' }), 'deleted');
      assert.equal(await kube.get(KINDS.configMap, at), null);
    });

    it('keeps an object with a finalizer until that is gone', async () => {
      const { kube, namespace } = await ready();
      const at = { name: 'contract-final', namespace };
      const object = configMap('final');
      await kube.create({ ...object, metadata: { ...object.metadata, finalizers: ['example.com/wait'] } });
      await kube.delete(KINDS.configMap, at);
      const held = await kube.get(KINDS.configMap, at);
      assert.match(held?.metadata.deletionTimestamp ?? '', /T/);
      await kube.merge(KINDS.configMap, at, { metadata: { finalizers: [] } });
      assert.equal(await kube.get(KINDS.configMap, at), null);
    });

    it('collects what an owner owned', async () => {
      const { kube, namespace, eventually } = await ready();
      const owner = await kube.create(configMap('owner'));
      const reference = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        name: owner.metadata.name,
        uid: owner.metadata.uid ?? '',
      };
      const object = configMap('owned');
      await kube.create({ ...object, metadata: { ...object.metadata, ownerReferences: [reference] } });
      await kube.delete(KINDS.configMap, { name: 'contract-owner', namespace });
      await eventually(async () => (await kube.get(KINDS.configMap, { name: 'contract-owned', namespace })) === null);
    });

    it('watches what is added, modified and deleted after a version, in order, by label', async () => {
      const { kube, namespace, eventually } = await ready();
      const selection = { namespace, labels: { one: 'watched' } };
      const { resourceVersion } = await kube.list(KINDS.configMap, selection);
      const seen: string[] = [];
      const watch = kube.watch(KINDS.configMap, { ...selection, resourceVersion }, (event: WatchEvent) => {
        if (event.type !== 'bookmark') seen.push(`${event.type} ${event.object.kind} ${event.object.metadata.name}`);
      });
      await kube.create(configMap('unwatched'));
      await kube.create(configMap('watched'));
      await kube.merge(KINDS.configMap, { name: 'contract-watched', namespace }, { data: { a: '9' } });
      await kube.delete(KINDS.configMap, { name: 'contract-watched', namespace });
      await eventually(() => seen.length >= 3);
      const name = 'ConfigMap contract-watched';
      assert.deepEqual(seen, [`added ${name}`, `modified ${name}`, `deleted ${name}`]);
      watch.stop();
      assert.equal((await watch.ended).why, 'closed');
    });

    it('ends a watch as failed when its handler throws', async () => {
      const { kube, namespace } = await ready();
      const selection = { namespace, labels: { one: 'thrown' } };
      const { resourceVersion } = await kube.list(KINDS.configMap, selection);
      const watch = kube.watch(KINDS.configMap, { ...selection, resourceVersion }, () => {
        throw new Error('handler broke');
      });
      await kube.create(configMap('thrown'));
      const end = await watch.ended;
      assert.deepEqual(end, { why: 'failed', detail: 'handler broke' });
    });

    it('keeps status apart from the rest, and scales a PushCluster', async (context) => {
      const { kube, namespace, hasPushClusters } = await ready();
      if (!hasPushClusters) return context.skip('PushCluster is not installed: kubectl apply --server-side -f crds/');
      const name = 'contract-cluster';
      made.push([KINDS.pushCluster, name]);
      const base = { apiVersion: 'pushcluster.io/v1alpha1', kind: 'PushCluster', metadata: { name, namespace } };
      await kube.create({ ...base, spec: { image: 'none', gateway: { replicas: 2 } }, status: { replicas: 7 } });
      assert.equal((await kube.get(KINDS.pushCluster, base.metadata))?.['status'], undefined);
      const status = { replicas: 2, selector: 'a=b', drain: null };
      await kube.applyStatus({ ...base, status });
      const withStatus = await kube.applyStatus({ ...base, status });
      assert.equal((withStatus['status'] as { replicas: number }).replicas, 2);
      assert.equal(withStatus.metadata.generation, 1, 'a status is no new generation');
      await kube.scale(KINDS.pushCluster, base.metadata, 3);
      const scaled = await kube.get(KINDS.pushCluster, base.metadata);
      assert.equal((scaled?.['spec'] as { gateway: { replicas: number } } | undefined)?.gateway.replicas, 3);
      assert.equal(scaled?.metadata.generation, 2);
      assert.equal((scaled?.['status'] as { selector: string } | undefined)?.selector, 'a=b');
    });

    it('applies no status to what is not there', async () => {
      const { kube, namespace } = await ready();
      const object = { ...configMap('no'), kind: 'Deployment', apiVersion: 'apps/v1' };
      const status = { ...object, metadata: { name: 'contract-absent', namespace }, status: {} };
      await assert.rejects(kube.applyStatus(status), (error) => isKubeStatus(error, 404));
    });
  });
}
