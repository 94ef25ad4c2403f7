// The gateways: a StatefulSet whose pods only the operator removes (OnDelete), its headless Service, and one Service for each
// gateway, which gives it an address of its own that a client can use. drain.ts decides how many replicas there are.
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import type { PodView, ServiceView } from '../kube/objects.ts';
import { ANNOTATION_CLIENT_ADDRESS, childNames } from '../types.ts';
import type { Cluster } from '../types.ts';
import { child, selectorLabels } from './metadata.ts';
import { memoryEnv } from './memory-env.ts';
import { roleTemplate } from './pod-template.ts';

export const GATEWAY_PORTS = { client: 8080, link: 7070, admin: 9090 } as const;
/** Cluster-autoscaler honours 600 s of grace; a gateway that is asked to stop without a drain paces its clients out within it. */
const TERMINATION_GRACE_SECONDS = 600;
const STOP_GRACE_MS = 540_000;
/**
 * A gateway that is told to stop without a drain (an eviction, kubectl delete) asks this many of its clients a second to move, or
 * as many as fit its grace: 18,000 in 180 s. Fixed, so that a change of the reconnect budget rolls nothing out.
 */
const STOP_RATE_PER_SECOND = 100;

/** Keeps messages of clients while the bus is away; survives the container, not the pod. */
const SCRATCH_DIR = '/var/lib/pushcluster';

/** Name of the gateway with an ordinal: its pod's, and its Service's. */
export function gatewayName(cluster: Cluster, ordinal: number): string {
  return `${childNames(cluster.name).gateway}-${ordinal}`;
}

/** Pod template of the gateways. Nothing in it depends on replicas, routing or disruption: changing those rolls nothing out. */
export function gatewayTemplate(cluster: Cluster): Readonly<Record<string, unknown>> {
  const { gateway, delivery, auth } = cluster.spec;
  return roleTemplate(cluster, {
    component: 'gateway',
    serviceAccount: childNames(cluster.name).gateway,
    hasApiAccess: false,
    shape: gateway,
    ports: GATEWAY_PORTS,
    env: {
      PUSHCLUSTER_GATEWAY_NAME: { fieldPath: 'metadata.name' },
      PUSHCLUSTER_LINK_HOST: { fieldPath: 'status.podIP' },
      PUSHCLUSTER_CLIENT_PORT: String(GATEWAY_PORTS.client),
      PUSHCLUSTER_LINK_PORT: String(GATEWAY_PORTS.link),
      PUSHCLUSTER_ADMIN_PORT: String(GATEWAY_PORTS.admin),
      PUSHCLUSTER_CONNECTIONS_MAX: String(gateway.connectionsPerGateway),
      PUSHCLUSTER_HEARTBEAT_INTERVAL_MS: String(gateway.heartbeatIntervalMs),
      PUSHCLUSTER_ACK_TIMEOUT_MS: String(delivery.ackTimeoutMs),
      PUSHCLUSTER_WINDOW_MESSAGES_MAX: String(delivery.windowMessages),
      PUSHCLUSTER_BACKLOG_THRESHOLD: String(delivery.backlogThreshold),
      PUSHCLUSTER_BANDWIDTH_BYTES_PER_SECOND: String(gateway.bandwidthBytesPerSecond),
      ...memoryEnv('PUSHCLUSTER_MEMORY_BYTES_MAX', gateway, 'gateway'),
      PUSHCLUSTER_FAIL_OPEN: auth.failOpen ? 'yes' : 'no',
      PUSHCLUSTER_UPSTREAM_BUFFER_DIR: SCRATCH_DIR,
      PUSHCLUSTER_TICKET_TTL_MS: String(auth.ticketTtlMs),
      PUSHCLUSTER_STOP_GRACE_MS: String(STOP_GRACE_MS),
      PUSHCLUSTER_STOP_RATE_PER_SECOND: String(STOP_RATE_PER_SECOND),
    },
    keyFiles: ['tokenPublic', 'ticket', 'link', 'admin'],
    terminationGraceSeconds: TERMINATION_GRACE_SECONDS,
    scratch: SCRATCH_DIR,
  });
}

export function gatewaySet(cluster: Cluster, replicas: number): KubeObject {
  const name = childNames(cluster.name).gateway;
  return child(
    cluster,
    { kind: KINDS.statefulSet, name, component: 'gateway' },
    {
      spec: {
        replicas,
        serviceName: name,
        podManagementPolicy: 'Parallel',
        updateStrategy: { type: 'OnDelete' },
        revisionHistoryLimit: 5,
        selector: { matchLabels: selectorLabels(cluster, 'gateway') },
        template: gatewayTemplate(cluster),
      },
    },
  );
}

export function gatewayHeadlessService(cluster: Cluster): KubeObject {
  return child(
    cluster,
    { kind: KINDS.service, name: childNames(cluster.name).gateway, component: 'gateway' },
    {
      spec: {
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector: selectorLabels(cluster, 'gateway'),
        ports: Object.entries(GATEWAY_PORTS).map(([port, number]) => ({
          name: port,
          port: number,
          targetPort: port,
          protocol: 'TCP',
        })),
      },
    },
  );
}

/** The Service of one gateway. Clients that hold its address keep reaching it while it is not Ready, as when it drains. */
export function gatewayService(cluster: Cluster, ordinal: number): KubeObject {
  const name = gatewayName(cluster, ordinal);
  const { type } = cluster.spec.gateway.exposure;
  return child(
    cluster,
    { kind: KINDS.service, name, component: 'gateway' },
    {
      spec: {
        type,
        publishNotReadyAddresses: true,
        selector: { ...selectorLabels(cluster, 'gateway'), 'statefulset.kubernetes.io/pod-name': name },
        ports: [{ name: 'client', port: GATEWAY_PORTS.client, targetPort: 'client', protocol: 'TCP' }],
      },
    },
  );
}

/** Where clients reach a gateway; null while it is not known (no Service, no node yet). */
export function gatewayAddress(
  cluster: Cluster,
  ordinal: number,
  seen: { readonly pod: PodView; readonly service: ServiceView | undefined },
): string | null {
  const annotated = seen.pod.metadata.annotations?.[ANNOTATION_CLIENT_ADDRESS];
  if (annotated !== undefined) return annotated;
  const { exposure } = cluster.spec.gateway;
  const port = seen.service?.spec?.ports?.find((p) => p.name === 'client');
  const parts: Readonly<Record<string, string | undefined>> = {
    name: gatewayName(cluster, ordinal),
    namespace: cluster.namespace,
    ordinal: String(ordinal),
    hostIP: seen.pod.status?.hostIP,
    nodePort: port?.nodePort?.toString(),
    clusterIP: seen.service?.spec?.clusterIP,
  };
  const byType =
    exposure.type === 'NodePort' ? 'ws://{hostIP}:{nodePort}/' : `ws://{name}.{namespace}.svc:${GATEWAY_PORTS.client}/`;
  return fillTemplate(exposure.addressTemplate ?? byType, parts);
}

/** Text with each {part} filled in; null when one of them is not known. */
export function fillTemplate(template: string, parts: Readonly<Record<string, string | undefined>>): string | null {
  let isKnown = true;
  const text = template.replaceAll(/\{([a-zA-Z]+)\}/g, (_whole, part: string) => {
    const value = parts[part];
    if (value === undefined || value === '') isKnown = false;
    return value ?? '';
  });
  return isKnown ? text : null;
}
