// "My Redis is killed and restarted under load." Scenario 7 of the issue: a Redis of the user's own, every write on disk before its answer
// (appendfsync always). Connections stay, durable pushes wait and go on, none that was accepted is lost.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { getObject, isPodReady } from '../cluster/kubectl.ts';
import type { Pod } from '../cluster/kubectl.ts';
import { signalPod } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait.ts';
import { explained } from '../world/diagnosis.ts';
import { images } from '../world/images.ts';
import { measured } from '../world/measured.ts';
import { isReadyWith, waitForCluster } from '../world/push-cluster.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { startTraffic } from '../world/traffic.ts';

const name = 'redis-crash';
const namespace = `e2e-${name}`;
const CLIENTS = 300;
const KILLS = 2;
const labels = { app: 'own-redis' };

/** A plain Redis with a password, its data on a volume that outlives the process. */
const redis = [
  {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'own-redis', namespace },
    stringData: { password: 'of-the-user' },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'own-redis', namespace },
    spec: { selector: labels, ports: [{ port: 6379 }] },
  },
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'own-redis', namespace, labels },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'redis',
          image: images.redis,
          imagePullPolicy: images.pullPolicy,
          args: [
            '--dir',
            '/data',
            '--appendonly',
            'yes',
            '--appendfsync',
            'always',
            '--save',
            '',
            '--requirepass',
            'of-the-user',
          ],
          ports: [{ containerPort: 6379 }],
          readinessProbe: { tcpSocket: { port: 6379 }, periodSeconds: 1 },
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
      ],
      securityContext: { fsGroup: 65532 },
      volumes: [{ name: 'data', emptyDir: {} }],
    },
  },
];
const store = {
  redis: {
    mode: 'single',
    addresses: [`own-redis.${namespace}.svc:6379`],
    secretRef: { name: 'own-redis', key: 'password' },
  },
};

describe('a Redis that crashes', { timeout: 300_000 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await explained(
      namespace,
      async () => await openStage({ name, gateways: 2, spec: { store }, beforehand: redis }),
    );
  });
  after(async () => await stage?.close());

  it('killed and restarted under load: clients stay, pushes go on, no durable message is lost', async () => {
    await explained(namespace, async () => {
      const traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: 60 });
      for (let kill = 1; kill <= KILLS; kill++) {
        await traffic.whenAccepted(300);
        const killedAtMs = Date.now();
        await signalPod({ namespace, pod: 'own-redis' }, 'SIGKILL');
        await waitForRestart(kill);
        const readyAtMs = Date.now();
        await traffic.whenAccepted(100);
        measured(`kill -9 of Redis, number ${kill}`, {
          'seconds until its pod is Ready again': (readyAtMs - killedAtMs) / 1000,
          'longest time without an accepted push, seconds': traffic.longestSilenceMs(killedAtMs) / 1000,
        });
      }
      await traffic.whenAccepted(300);
      await waitForCluster(stage, 'Ready throughout', isReadyWith(2), 60_000);
      const result = await traffic.stop('Redis killed under load');
      assert.equal(result.unasked, 0, 'connections stayed while Redis was away');
    });
  });
});

/** Waits until Redis runs again after so many crashes; the kubelet waits 10 s before the second restart, then longer. */
async function waitForRestart(crashes: number): Promise<void> {
  const look = async (): Promise<true> => {
    const pod = await getObject<Pod>('pod', 'own-redis', namespace);
    const restarts = pod?.status.containerStatuses?.[0]?.restartCount ?? 0;
    if (pod !== undefined && restarts >= crashes && isPodReady(pod)) return true;
    throw new Error(`${restarts} restarts so far`);
  };
  await waitFor('Redis to run again', look, { timeoutMs: 60_000, intervalMs: 150 });
}
