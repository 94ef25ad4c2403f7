// Messages of clients all the way, in one process over the real wire: SDK → gateway → bus → upstream → database, back to the device, and to a
// group; then with upstream killed and started again by the kubelet meanwhile.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { KINDS } from '../../operator/kube/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { closeCrowd, openCrowd, until } from './crowd.ts';
import type { Member } from './crowd.ts';
import { isReady, openEmbedded } from './embedded.ts';
import type { Embedded } from './embedded.ts';
import { readManifest } from './manifest.ts';

const MANIFEST = `
apiVersion: pushcluster.io/v1alpha1
kind: PushCluster
metadata: {name: demo}
spec:
  image: unused
  gateway: {replicas: 1}
  registry: {replicas: 1}
  router: {replicas: 1}
  bus: {kafka: {brokers: ["kafka:9092"]}}
  upstream:
    handlers:
      - {kinds: [echo], type: echo}
      - {kinds: [chat], type: group-chat}
      - {kinds: ["order*"], type: database}
---
apiVersion: pushcluster.io/v1alpha1
kind: PushApp
metadata: {name: shop}
spec:
  clusterRef: {name: demo}
  allowedTopics: ["news"]
  clientMessaging: {pointToPoint: true, groups: true, messagesPerSecond: 100}
`;

describe('messages of clients to the business', () => {
  let dir: string;
  let embedded: Embedded;
  let crowd: readonly Member[];
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'pushcluster-upstream-'));
    const shared = { dataDir: dir, portBase: 0, clock: systemClock, log: silentLog, activeMs: 50 };
    const env = { PUSHCLUSTER_LEASE_MS: '900', PUSHCLUSTER_LEASE_POLL_MS: '50', PUSHCLUSTER_STOP_GRACE_MS: '500' };
    embedded = await openEmbedded({ manifest: readManifest(MANIFEST), ...shared, env });
    await until('the cluster is Ready', async () => isReady(await embedded.status()));
    crowd = await openCrowd(embedded, 2, 'news');
  });
  after(async () => {
    await closeCrowd(crowd);
    await embedded.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const stored = (): readonly unknown[] => {
    const db = new DatabaseSync(join(dir, 'upstream.sqlite'), { readOnly: true });
    const bodies = db.prepare('SELECT body FROM pushcluster_upstream ORDER BY seq').all();
    db.close();
    return bodies.map(({ body }) => JSON.parse(String(body)) as unknown);
  };

  test('an echo comes back to the device that sent it', async () => {
    const { client, got } = crowd[0]!;
    await client.send('echo', { hello: 'world' });
    await until('the echo', () => got.length === 1);
    assert.deepEqual(got[0]!.body, { hello: 'world' });
    assert.equal(crowd[1]!.got.length, 0);
  });

  test('a chat message goes to the members of the group, and only from one of them', async () => {
    const [first, second] = crowd;
    await first!.client.groups.create('friends', ['account-1']);
    await first!.client.send('chat', { group: 'friends', body: 'hi all' });
    await until('the chat message', () => second!.got.length === 1);
    assert.equal(second!.got[0]!.body, 'hi all');
  });

  test('orders are stored once and in order, though upstream is killed meanwhile', async () => {
    const { client } = crowd[0]!;
    const pods = await embedded.kube.list(KINDS.pod, {});
    const upstream = pods.items.find(({ metadata }) => metadata.name.includes('-upstream'));
    assert.ok(upstream !== undefined);
    const sends: Promise<unknown>[] = [];
    for (let n = 0; n < 200; n++) {
      sends.push(client.send('order.new', { n }));
      if (n === 100) {
        await until('some are stored', () => stored().length > 0);
        embedded.kill(upstream.metadata.name);
      }
    }
    await Promise.all(sends);
    await until('all are stored', () => stored().length === 200);
    assert.deepEqual(
      stored(),
      Array.from({ length: 200 }, (_, n) => ({ n })),
    );
  });
});
