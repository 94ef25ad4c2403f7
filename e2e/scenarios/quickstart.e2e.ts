// "I apply the quickstart and a thousand clients get their pushes." Scenario 1 of the issue, with crds/examples/quickstart.yaml as it is
// but for the names of the images.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { apply } from '../cluster/kubectl.ts';
import type { KubeObject } from '../cluster/kubectl.ts';
import { explained } from '../world/diagnosis.ts';
import { images } from '../world/images.ts';
import { measured, timed } from '../world/measured.ts';
import { prepareOperator, readManifests } from '../world/operator.ts';
import { makeApp } from '../world/push-app.ts';
import { isReadyWith, makeNamespace, removeNamespace, waitForCluster } from '../world/push-cluster.ts';
import { onStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { startTraffic } from '../world/traffic.ts';

const namespace = 'e2e-quickstart';
const CLIENTS = 1000;
const PUSHES_EACH = 10;

describe('quickstart', { timeout: 300_000 }, () => {
  let stage: Stage | undefined;
  after(async () => {
    await stage?.close();
    await removeNamespace(namespace);
  });

  it('from one kubectl apply to a thousand clients with 20 acked pushes each, none lost, none doubled', async () => {
    await prepareOperator();
    await explained(namespace, async () => {
      await makeNamespace(namespace);
      const example = readManifests('crds/examples/quickstart.yaml').map(inOurCluster);
      const manifest = example.find(({ kind }) => kind === 'PushCluster');
      assert.ok(manifest, 'the example has a PushCluster');
      const place = { namespace, name: manifest.metadata.name };
      const gateways = (manifest['spec'] as { gateway?: { replicas?: number } }).gateway?.replicas ?? 2;
      const ready = await timed('quickstart applied, to Ready', async () => {
        await apply(example);
        return await waitForCluster(place, 'Ready', isReadyWith(gateways));
      });
      // The example's app has a key that everybody knows and no signer; the business makes an app of its own.
      const app = makeApp({ namespace, cluster: place.name, name: 'shop-e2e' });
      await apply([app.manifest]);
      const staged = await onStage(place, app, ready);
      stage = staged;
      const traffic = await timed('1,000 clients registered, connected and subscribed', async () => {
        return await startTraffic(staged, { clients: CLIENTS, pushesPerSecond: 0 });
      });
      const spread = await traffic.connectionsByGateway();
      assert.equal(Object.keys(spread).length, gateways, 'every gateway was given clients');
      measured('clients at each gateway', spread);
      await timed('10 durable unicasts to each client and 10 broadcasts to all, delivered and acked', async () => {
        await traffic.publishToEach({ rate: 500, count: PUSHES_EACH * CLIENTS });
        await traffic.broadcast({ rate: 1, count: PUSHES_EACH });
        await traffic.whenPublished();
        await traffic.whenAllDelivered();
        await waitForCluster(place, 'Ready throughout', isReadyWith(gateways), 10_000);
      });
      const result = await traffic.stop('quickstart');
      assert.equal(result.delivered, CLIENTS * PUSHES_EACH * 2);
    });
  });
});

function inOurCluster(object: KubeObject): KubeObject {
  const placed = { ...object, metadata: { ...object.metadata, namespace } };
  if (object.kind !== 'PushCluster') return placed;
  const ours = { image: images.product, imagePullPolicy: images.pullPolicy, evaluationRedis: { image: images.redis } };
  return { ...placed, spec: { ...(object['spec'] as object), ...ours } };
}
