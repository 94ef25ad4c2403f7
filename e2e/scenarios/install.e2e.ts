// "I install it with helm, upgrade it, take it away, put it back under another name, or apply the plain manifests." Scenario 6 of the issue.
// Begins on a cluster without operator and CRDs, and leaves the plainly installed operator for the scenarios that come after.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { repositoryFolder } from '../cluster/app-image.ts';
import { getObject, kubectl, listObjects, tryKubectl } from '../cluster/kubectl.ts';
import type { Pod } from '../cluster/kubectl.ts';
import { waitFor } from '../cluster/wait.ts';
import { chartFolder, helm, imageValues, tryHelm } from '../world/chart.ts';
import { explained } from '../world/diagnosis.ts';
import { loadImages, loadNextImage } from '../world/images.ts';
import { measured, timed } from '../world/measured.ts';
import { prepareOperator, readManifests, removeOperator, waitForOperator } from '../world/operator.ts';
import { makeApp } from '../world/push-app.ts';
import {
  aPushCluster,
  applyAndWait,
  makeNamespace,
  podsOf,
  removeNamespace,
  removePushCluster,
} from '../world/push-cluster.ts';

const home = 'e2e-helm';
const namespace = 'e2e-install';
const place = { namespace, name: 'installed' };
const operatorOf = (release: string): string => `${release}-pushcluster-operator`;

describe('installing PushCluster', { timeout: 400_000 }, () => {
  before(async () => {
    await timed('an installed operator removed, if there was one', async () => await removeOperator());
    await loadImages();
  });

  it('passes helm lint --strict, and its schema refuses values that do not exist', async () => {
    await helm(['lint', '--strict', chartFolder]);
    const answer = await tryHelm(['template', 'x', chartFolder, '--set', 'operator.replicsa=3']);
    assert.notEqual(answer.code, 0);
    assert.match(answer.stderr, /replicsa/);
    const wrong = await tryHelm(['template', 'x', chartFolder, '--set', 'operator.replicas=many']);
    assert.match(wrong.stderr, /replicas/);
  });

  it('helm install brings CRDs and operator, and a PushCluster becomes Ready', async () => {
    await explained(namespace, async () => {
      const notes = await timed('helm install --wait', async () => {
        const words = ['install', 'first', chartFolder, '-n', home, '--create-namespace', '--wait', '--timeout', '90s'];
        return await helm([...words, ...imageValues(), '--set', 'operator.replicas=1']);
      });
      assert.match(notes, /kubectl/, 'the notes tell what to type next');
      await waitForOperator(home, operatorOf('first'));
      await makeNamespace(namespace);
      const app = makeApp({ namespace, cluster: place.name });
      await timed('PushCluster Ready under the operator of the chart', async () => {
        await applyAndWait(place, [aPushCluster(place, { gateway: { replicas: 1 } }), app.manifest], 1);
      });
    });
  });

  it('helm upgrade replaces the operator and leaves the gateways alone', async () => {
    await explained(namespace, async () => {
      const before = await podsOf(place, 'gateway');
      const image = await loadNextImage();
      await timed('helm upgrade --wait', async () => {
        const words = ['upgrade', 'first', chartFolder, '-n', home, '--wait', '--timeout', '90s'];
        await helm([...words, ...imageValues(image), '--set', 'operator.replicas=2']);
      });
      await waitForOperator(home, operatorOf('first'));
      const running = await listObjects<Pod & { spec: { containers: { image: string }[] } }>('pods', {
        namespace: home,
      });
      const living = running.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      assert.deepEqual(
        living.map(({ spec }) => spec.containers[0]?.image),
        [image, image],
      );
      const after = await podsOf(place, 'gateway');
      assert.deepEqual(
        after.map(({ metadata }) => metadata.uid),
        before.map(({ metadata }) => metadata.uid),
      );
      await kubectl(['annotate', 'service', 'installed-router', '-n', namespace, 'touched=yes']);
      await kubectl(['delete', 'service', 'installed-router', '-n', namespace]);
      const isBack = async (): Promise<boolean> =>
        (await getObject('service', 'installed-router', namespace)) !== undefined;
      await waitFor('the new operator to put right a deleted Service', isBack, { timeoutMs: 60_000, intervalMs: 200 });
    });
  });

  it('helm uninstall keeps CRDs and PushClusters; a reinstall under another name takes them over', async () => {
    await explained(namespace, async () => {
      await timed('helm uninstall --wait', async () => {
        await helm(['uninstall', 'first', '-n', home, '--wait', '--timeout', '90s']);
      });
      const left = await listObjects('deployments,serviceaccounts,services,configmaps', {
        namespace: home,
      });
      const ours = left.filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/instance'] === 'first');
      assert.deepEqual(
        ours.map(({ kind, metadata }) => `${kind}/${metadata.name}`),
        [],
      );
      for (const kind of ['clusterrole', 'clusterrolebinding'])
        assert.equal(await getObject(kind, operatorOf('first')), undefined, kind);
      assert.notEqual(await getObject('crd', 'pushclusters.pushcluster.io'), undefined, 'the CRDs are kept');
      assert.equal((await podsOf(place, 'gateway')).length, 1, 'the gateways go on');

      const words = ['install', 'second', chartFolder, '-n', home, '--wait', '--timeout', '90s', ...imageValues()];
      const refused = await tryHelm([...words, '--set', 'operator.replicas=1']);
      assert.notEqual(refused.code, 0, 'helm says that the CRDs belong to another release');
      await tryHelm(['uninstall', 'second', '-n', home, '--wait']);
      await timed('helm install --take-ownership', async () => {
        await helm([...words, '--set', 'operator.replicas=1', '--take-ownership']);
      });
      await waitForOperator(home, operatorOf('second'));
      const took = await removePushCluster(place);
      measured('PushCluster removed by the operator of the second release', { seconds: took.children });
      await helm(['uninstall', 'second', '-n', home, '--wait', '--timeout', '90s']);
      await removeNamespace(namespace);
      await tryKubectl(['delete', 'namespace', home, '--wait=false']);
    });
  });

  it('kubectl apply of the plain manifests does the same', async () => {
    await timed('plain manifests applied, operator leads', async () => await prepareOperator());
  });

  for (const path of globSync('crds/examples/*.yaml', { cwd: repositoryFolder }).toSorted())
    it(`${path} passes the API server as strictly as it can look`, async () => {
      const objects = readManifests(path);
      const namespaces = [...new Set(objects.flatMap(({ metadata }) => metadata.namespace ?? []))];
      for (const name of namespaces) await makeNamespace(name);
      const stdin = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
      const said = await kubectl(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], { stdin });
      assert.match(said, /pushcluster\S* created \(server dry run\)/);
      for (const name of namespaces.filter((candidate) => candidate !== 'default')) await removeNamespace(name);
      measured(path, { 'objects accepted': objects.length });
    });
});
