// Scenarios 1–3 of e2e/ with small numbers, in one process over the real wire: delivered whole, moved before removed, back after a
// crash. Lost and doubled are counted record by record at the clients' applications.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KINDS } from '../../operator/kube/port.ts';
import { ANNOTATION_ADMIN_ADDRESS } from '../../operator/types.ts';
import { METRIC } from '../protocol/metrics-names.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { MANIFEST, assertExact, closeCrowd, openCrowd, publish, until } from './crowd.ts';
import type { Accepted, Member } from './crowd.ts';
import { isReady, openEmbedded } from './embedded.ts';
import type { Embedded } from './embedded.ts';
import { readManifest } from './manifest.ts';

async function openReady(dataDir: string | null = null, manifest = MANIFEST): Promise<Embedded> {
  const embedded = await openEmbedded({
    manifest: readManifest(manifest),
    dataDir,
    portBase: 0,
    clock: systemClock,
    log: silentLog,
    activeMs: 50,
    env: { PUSHCLUSTER_LEASE_MS: '900', PUSHCLUSTER_LEASE_POLL_MS: '50', PUSHCLUSTER_STOP_GRACE_MS: '500' },
  });
  await until('the cluster is Ready', async () => isReady(await embedded.status()));
  return embedded;
}

/** Publishes to every device in turn and to the topic until stopped; the answer holds what was accepted. */
function keepPublishing(embedded: Embedded, crowd: readonly Member[]): { stop(): Promise<readonly Accepted[]> } {
  let isStopped = false;
  const everyone = crowd.map(({ device }) => device);
  const run = async (): Promise<readonly Accepted[]> => {
    const accepted: Accepted[] = [];
    for (let i = 0; !isStopped; i++) {
      const device = everyone[i % everyone.length] ?? '';
      if (i % 5 === 0) accepted.push(await publish(embedded, { topic: 'news' }, everyone));
      else accepted.push(await publish(embedded, { device }, [device]));
    }
    return accepted;
  };
  const running = run();
  return {
    stop: async () => {
      isStopped = true;
      return await running;
    },
  };
}

const registryCalls = (crowd: readonly Member[]): number =>
  crowd.reduce((sum, { client }) => sum + Object.values(client.counters().registryCalls).reduce((a, b) => a + b), 0);

test('every client gets every durable push once and in order, to its device and by topic', async () => {
  const embedded = await openReady();
  const crowd = await openCrowd(embedded, 20, 'news');
  const everyone = crowd.map(({ device }) => device);
  const unicasts = crowd.flatMap(({ device }) =>
    Array.from({ length: 10 }, () => publish(embedded, { device }, [device])),
  );
  const broadcasts = Array.from({ length: 10 }, () => publish(embedded, { topic: 'news' }, everyone));
  const toAll = publish(embedded, { everyone: true }, everyone);
  await assertExact(crowd, await Promise.all([...unicasts, ...broadcasts, toAll]));
  await until('gateways have every ack', async () => (await unackedOf(embedded)) === 0);
  await closeCrowd(crowd);
  await embedded.stop();
});

/** Deliveries that the gateways wrote and that are not acked, from their metrics. */
async function unackedOf(embedded: Embedded): Promise<number> {
  const { items } = await embedded.kube.list(KINDS.pod, {});
  let unacked = 0;
  for (const pod of items.filter(({ metadata }) => metadata.name.includes('-gateway-'))) {
    const page = await (await fetch(`${pod.metadata.annotations?.[ANNOTATION_ADMIN_ADDRESS]}/metrics`)).text();
    unacked += Number(new RegExp(`^${METRIC.unacked} (\\d+)`, 'm').exec(page)?.[1] ?? Number.NaN);
  }
  return unacked;
}

test('scaling 2 → 3 → 2 moves sessions before the gateway goes: nothing lost, no call to the registry', async () => {
  const embedded = await openReady();
  const crowd = await openCrowd(embedded, 20, 'news');
  const calls = registryCalls(crowd);
  const publishing = keepPublishing(embedded, crowd);
  await embedded.scale(3);
  await until('three gateways are ready', async () => (await embedded.status())?.readyGateways === 3);
  await embedded.scale(2);
  await until('two gateways are left', async () => (await embedded.status())?.replicas === 2);
  await embedded.scale(1);
  await until('one gateway is left', async () => (await embedded.status())?.replicas === 1, 30_000);
  await assertExact(crowd, await publishing.stop());
  assert.equal(registryCalls(crowd), calls, 'resumers need no registry');
  await closeCrowd(crowd);
  await embedded.stop();
});

test('after a crash of a gateway under load everyone is back and nothing is lost', async () => {
  const embedded = await openReady();
  const crowd = await openCrowd(embedded, 20, 'news');
  const publishing = keepPublishing(embedded, crowd);
  const victim = (await embedded.status())?.gateways[0]?.name ?? '';
  const moved = crowd.filter(({ client }) => client.state().gateway === victim);
  assert.ok(moved.length > 0, 'somebody is on the gateway that crashes');
  embedded.kill(victim);
  await until('the crash is seen', () => moved.every(({ client }) => client.counters().welcomes > 1));
  await until('everyone is live', () => crowd.every(({ client }) => client.state().kind === 'live'));
  await assertExact(crowd, await publishing.stop());
  await closeCrowd(crowd);
  await embedded.stop();
});

test('an operator that is replaced in the middle of a drain goes on with it', async () => {
  const embedded = await openReady();
  const crowd = await openCrowd(embedded, 20, 'news');
  await embedded.scale(1);
  await until('a drain is under way', async () => (await embedded.status())?.drain !== null);
  await embedded.restartOperator();
  await until('one gateway is left', async () => (await embedded.status())?.replicas === 1, 30_000);
  assert.ok(crowd.every(({ client }) => client.state().kind !== 'closed'));
  await closeCrowd(crowd);
  await embedded.stop();
});

test('with several PushApps the first one can be pushed to at once', async () => {
  const other = MANIFEST.slice(MANIFEST.indexOf('---')).replace('shop', 'other');
  const embedded = await openReady(null, `${MANIFEST}${other}`);
  const crowd = await openCrowd(embedded, 1, 'news');
  await assertExact(crowd, [await publish(embedded, { everyone: true }, ['device-0'])]);
  await closeCrowd(crowd);
  await embedded.stop();
});

test('a memory limit of one pod does not hold back the process that has them all', async () => {
  const limit = 'resources: {limits: {memory: 1Mi}}';
  const limited = MANIFEST.replace('{replicas: 2}', `{replicas: 2, ${limit}}`).replace(
    'router: {replicas: 1}',
    `router: {replicas: 1, ${limit}}`,
  );
  const embedded = await openReady(null, limited);
  const crowd = await openCrowd(embedded, 1, 'news');
  await assertExact(crowd, [await publish(embedded, { device: 'device-0' }, ['device-0'])]);
  const degraded = (await embedded.status())?.conditions.find((condition) => condition.type === 'Degraded');
  assert.equal(degraded?.reason, 'Healthy');
  await closeCrowd(crowd);
  await embedded.stop();
});

test('with a data folder messages and keys survive a restart', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-test-'));
  const first = await openReady(dir);
  const [member] = await openCrowd(first, 1, 'news');
  assert.ok(member !== undefined);
  await member.client.close();
  const waiting = await publish(first, { device: member.device }, [member.device]);
  const key = first.access.apiKey;
  await first.stop();
  const second = await openReady(dir);
  assert.equal(second.access.apiKey, key);
  const crowd = await openCrowd(second, 1, 'news');
  await assertExact(crowd, [waiting]);
  await closeCrowd(crowd);
  await second.stop();
  rmSync(dir, { recursive: true });
});
