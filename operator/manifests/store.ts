// The evaluation Redis of a PushCluster that names no store: one pod, every write on disk before it is answered, and the disk is
// the pod's own (an emptyDir): it outlives the process, not the pod. status.ts says so in the condition StoreEvaluation.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames } from '../types.ts';
import type { Cluster } from '../types.ts';
import { child, labelsOf, selectorLabels } from './metadata.ts';
import { CONTAINER_SECURITY, POD_SECURITY } from './pod-template.ts';

const PORT = 6379;
export const STORE_PASSWORD_KEY = 'password';

/** Secret, Service and StatefulSet. @param password base64, as a Secret holds it */
export function evaluationStore(cluster: Cluster, password: string): readonly KubeObject[] {
  const name = childNames(cluster.name).store;
  const selector = selectorLabels(cluster, 'store');
  return [
    child(
      cluster,
      { kind: KINDS.secret, name, component: 'store' },
      { type: 'Opaque', data: { [STORE_PASSWORD_KEY]: password } },
    ),
    child(
      cluster,
      { kind: KINDS.service, name, component: 'store' },
      { spec: { selector, ports: [{ name: 'redis', port: PORT, targetPort: 'redis', protocol: 'TCP' }] } },
    ),
    child(
      cluster,
      { kind: KINDS.statefulSet, name, component: 'store' },
      {
        spec: {
          replicas: 1,
          serviceName: name,
          selector: { matchLabels: selector },
          template: { metadata: { labels: labelsOf(cluster, 'store') }, spec: podSpec(cluster) },
        },
      },
    ),
  ];
}

function podSpec(cluster: Cluster): Readonly<Record<string, unknown>> {
  const { evaluationRedis, imagePullPolicy, imagePullSecrets } = cluster.spec;
  const password = { secretKeyRef: { name: childNames(cluster.name).store, key: STORE_PASSWORD_KEY } };
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: POD_SECURITY,
    ...(imagePullSecrets.length > 0 ? { imagePullSecrets: imagePullSecrets.map((secret) => ({ name: secret })) } : {}),
    containers: [
      {
        name: 'redis',
        image: evaluationRedis.image,
        imagePullPolicy,
        command: ['redis-server'],
        args: redisArguments(),
        env: [{ name: 'REDIS_PASSWORD', valueFrom: password }],
        ports: [{ name: 'redis', containerPort: PORT, protocol: 'TCP' }],
        resources: evaluationRedis.resources,
        securityContext: CONTAINER_SECURITY,
        readinessProbe: { tcpSocket: { port: 'redis' }, periodSeconds: 1, failureThreshold: 3 },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
    ],
    volumes: [{ name: 'data', emptyDir: {} }],
  };
}

/** What the store port asks of a Redis (R2, R6): nothing evicted, every write on disk before its answer. */
function redisArguments(): readonly string[] {
  const options: Readonly<Record<string, string>> = {
    port: String(PORT),
    dir: '/data',
    appendonly: 'yes',
    appendfsync: 'always',
    save: '',
    'maxmemory-policy': 'noeviction',
    requirepass: '$(REDIS_PASSWORD)',
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}
