// A Redis of the user's own, as the docs ask for it: a password, every write on disk before its answer, its data on a volume that outlives the
// process. Scenarios apply the objects beforehand and name the store in their PushCluster.
import { getObject, isPodReady } from '../cluster/kubectl.ts';
import type { Pod } from '../cluster/kubectl.ts';
import { waitFor } from '../cluster/wait.ts';
import { images } from './images.ts';

const name = 'own-redis';
const labels = { app: name };
const PASSWORD = 'of-the-user';
const ARGS = [
  '--dir',
  '/data',
  '--appendonly',
  'yes',
  '--appendfsync',
  'always',
  '--save',
  '',
  '--requirepass',
  PASSWORD,
];

export const OWN_REDIS_POD = name;

/** Secret, Service and pod. */
export function ownRedis(namespace: string): readonly unknown[] {
  const metadata = { name, namespace };
  return [
    { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { password: PASSWORD } },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ port: 6379 }] } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, labels },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'redis',
            image: images.redis,
            imagePullPolicy: images.pullPolicy,
            args: ARGS,
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
}

/** `store` of a PushCluster's spec. */
export function ownRedisStore(namespace: string): Readonly<Record<string, unknown>> {
  return {
    redis: {
      mode: 'single',
      addresses: [`${name}.${namespace}.svc:6379`],
      secretRef: { name, key: 'password' },
    },
  };
}

/** Waits until it runs again after so many crashes; the kubelet waits 10 s before the second restart, then longer. */
export async function waitForOwnRedis(namespace: string, crashes: number): Promise<void> {
  const look = async (): Promise<true> => {
    const pod = await getObject<Pod>('pod', name, namespace);
    const restarts = pod?.status.containerStatuses?.[0]?.restartCount ?? 0;
    if (pod !== undefined && restarts >= crashes && isPodReady(pod)) return true;
    throw new Error(`${restarts} restarts so far`);
  };
  await waitFor('Redis to run again', look, { timeoutMs: 60_000, intervalMs: 150 });
}
