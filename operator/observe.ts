// The only reads: everything that one reconcile looks at, fetched anew from the API server and from each gateway's admin port.
// Nothing is kept between calls, so a restarted operator sees what the last one saw. reconcile.ts calls it first.
import { parseRoutingDocument, ROUTING_KEY } from '../workloads/protocol/routing.ts';
import type { RoutingDocument } from '../workloads/protocol/routing.ts';
import type { AdminPeer, GatewayAdmin } from './gateway-admin.ts';
import { adminBearer } from './keys.ts';
import type { DataView, PodView, ServiceView } from './kube/objects.ts';
import { isKubeStatus, KINDS } from './kube/port.ts';
import type { Kind, Kube, KubeObject } from './kube/port.ts';
import { gatewayName } from './manifests/gateway.ts';
import { clusterOfApp, parseApp } from './parse-app.ts';
import type { PrometheusReader } from './prometheus.ts';
import { ANNOTATION_ADMIN_ADDRESS, childKey, childNames, LABEL_CLUSTER, LABEL_COMPONENT } from './types.ts';
import type { Answer, AppResource, Cluster, Observed, ObservedGateway } from './types.ts';

export interface ObserveDeps {
  readonly kube: Kube;
  readonly admin: GatewayAdmin;
  readonly prometheus: PrometheusReader;
  /** Whether the operator may look at nodes. */
  readonly watchNodes: boolean;
}

const LISTED: readonly Kind[] = [
  KINDS.service,
  KINDS.configMap,
  KINDS.statefulSet,
  KINDS.deployment,
  KINDS.podDisruptionBudget,
  KINDS.networkPolicy,
  KINDS.horizontalPodAutoscaler,
];

export async function observe(cluster: Cluster, deps: ObserveDeps): Promise<Observed> {
  const [listed, named, monitors, pods, cordoned, appResources, prometheus] = await Promise.all([
    Promise.all(LISTED.map((kind) => listOwn(deps.kube, cluster, kind))),
    getNamed(deps.kube, cluster),
    listOptional(() => listOwn(deps.kube, cluster, KINDS.podMonitor)),
    deps.kube.list(KINDS.pod, selectionOf(cluster)).then((list) => list.items as readonly PodView[]),
    cordonedNodes(deps),
    observeApps(deps.kube, cluster),
    observePrometheus(cluster, deps.prometheus),
  ]);
  const children = new Map<string, KubeObject>();
  for (const object of [...listed.flat(), ...named, ...(monitors ?? [])])
    if (isOwned(object, cluster)) children.set(childKey(object), object);
  const names = childNames(cluster.name);
  const keys = children.get(`Secret/${names.keys}`) ?? null;
  return {
    children,
    gatewaySet: children.get(`StatefulSet/${names.gateway}`) ?? null,
    storeSet: children.get(`StatefulSet/${names.store}`) ?? null,
    registry: children.get(`Deployment/${names.registry}`) ?? null,
    router: children.get(`Deployment/${names.router}`) ?? null,
    drainer: children.get(`Deployment/${names.drainer}`) ?? null,
    upstream: children.get(`Deployment/${names.upstream}`) ?? null,
    services: servicesOf(children),
    rolePods: pods.filter((pod) => pod.metadata.labels?.[LABEL_COMPONENT] !== 'gateway'),
    keys,
    routing: readRouting(children.get(`ConfigMap/${names.routing}`)),
    gateways: await observeGateways(cluster, deps, { pods, cordoned, bearer: bearerOf(keys) }),
    apps: appResources.flatMap((app) => (app.problems.length === 0 ? parsedApp(app.object) : [])),
    appResources,
    hasPodMonitors: monitors !== null,
    prometheus,
  };
}

function selectionOf(cluster: Cluster): { namespace: string; labels: Record<string, string> } {
  return { namespace: cluster.namespace, labels: { [LABEL_CLUSTER]: cluster.name } };
}

async function listOwn(kube: Kube, cluster: Cluster, kind: Kind): Promise<readonly KubeObject[]> {
  return (await kube.list(kind, selectionOf(cluster))).items;
}

/** Null when the server does not serve the kind or does not let us see it. */
async function listOptional(list: () => Promise<readonly KubeObject[]>): Promise<readonly KubeObject[] | null> {
  try {
    return await list();
  } catch (error) {
    if (isKubeStatus(error, 404) || isKubeStatus(error, 403)) return null;
    throw error;
  }
}

/** Kinds that the operator may read by name only: it has no need to list anybody's Secrets. */
async function getNamed(kube: Kube, cluster: Cluster): Promise<readonly KubeObject[]> {
  const names = childNames(cluster.name);
  const wanted: readonly (readonly [Kind, string])[] = [
    [KINDS.secret, names.keys],
    ...(cluster.spec.store === null ? [[KINDS.secret, names.store] as const] : []),
    [KINDS.serviceAccount, names.gateway],
    [KINDS.serviceAccount, names.registry],
    [KINDS.serviceAccount, names.router],
    [KINDS.serviceAccount, names.drainer],
    [KINDS.serviceAccount, names.upstream],
    [KINDS.role, names.config],
    [KINDS.roleBinding, names.config],
  ];
  const found = await Promise.all(wanted.map(([kind, name]) => kube.get(kind, { name, namespace: cluster.namespace })));
  return found.filter((object) => object !== null);
}

/** Ours, and not left over from a cluster of the same name before. */
function isOwned(object: KubeObject, cluster: Cluster): boolean {
  return object.metadata.ownerReferences?.some((owner) => owner.uid === cluster.uid) ?? false;
}

async function cordonedNodes(deps: ObserveDeps): Promise<ReadonlySet<string>> {
  if (!deps.watchNodes) return new Set();
  const list = (): Promise<readonly KubeObject[]> =>
    deps.kube.list(KINDS.node, { fields: { 'spec.unschedulable': 'true' } }).then((nodes) => nodes.items);
  return new Set(((await listOptional(list)) ?? []).map((node) => node.metadata.name));
}

async function observeApps(kube: Kube, cluster: Cluster): Promise<readonly AppResource[]> {
  const { items } = await kube.list(KINDS.pushApp, { namespace: cluster.namespace });
  return items
    .filter((object) => clusterOfApp(object) === cluster.name && object.metadata.deletionTimestamp === undefined)
    .map((object) => {
      const parsed = parseApp(object);
      return { object, problems: parsed.kind === 'refused' ? parsed.problems : [] };
    });
}

function parsedApp(object: KubeObject): Observed['apps'] {
  const parsed = parseApp(object);
  return parsed.kind === 'valid' ? [parsed.value] : [];
}

async function observePrometheus(cluster: Cluster, read: PrometheusReader): Promise<Observed['prometheus']> {
  const url = cluster.spec.observability.prometheusUrl;
  return url === null ? null : await read(url, cluster);
}

function servicesOf(children: ReadonlyMap<string, KubeObject>): ReadonlyMap<string, ServiceView> {
  const services = [...children.values()].filter((object) => object.kind === 'Service');
  return new Map(services.map((service) => [service.metadata.name, service as ServiceView]));
}

function readRouting(configMap: DataView | undefined): RoutingDocument | null {
  const text = configMap?.data?.[ROUTING_KEY];
  if (text === undefined) return null;
  try {
    return parseRoutingDocument(text);
  } catch {
    return null; // spoilt by hand: it is written anew, and drains are read from the gateways
  }
}

/** Files of a Secret, decoded. */
export function decodeData(secret: DataView | null): Readonly<Record<string, string>> {
  const decode = (text: string): string => Buffer.from(text, 'base64').toString('utf8');
  return Object.fromEntries(Object.entries(secret?.data ?? {}).map(([name, text]) => [name, decode(text)]));
}

/** The admin key as gateways know it; null while there is none. */
export function bearerOf(keys: DataView | null): string | null {
  return adminBearer(decodeData(keys));
}

async function observeGateways(
  cluster: Cluster,
  deps: ObserveDeps,
  seen: { readonly pods: readonly PodView[]; readonly cordoned: ReadonlySet<string>; readonly bearer: string | null },
): Promise<readonly ObservedGateway[]> {
  const own = seen.pods.flatMap((pod) => {
    const ordinal = ordinalOf(cluster, pod);
    return ordinal === null ? [] : [{ pod, ordinal }];
  });
  own.sort((a, b) => a.ordinal - b.ordinal);
  return Promise.all(
    own.map(async ({ pod, ordinal }) => {
      const adminAddress = adminAddressOf(pod);
      return {
        name: pod.metadata.name,
        ordinal,
        pod,
        adminAddress,
        answer: await ask(deps.admin, adminAddress, seen.bearer),
        isCordoned: seen.cordoned.has(pod.spec?.nodeName ?? ''),
      };
    }),
  );
}

function ordinalOf(cluster: Cluster, pod: PodView): number | null {
  if (pod.metadata.labels?.[LABEL_COMPONENT] !== 'gateway') return null;
  const ordinal = Number(/-([0-9]+)$/.exec(pod.metadata.name)?.[1] ?? Number.NaN);
  return gatewayName(cluster, ordinal) === pod.metadata.name ? ordinal : null;
}

/** The annotation wins over pod IP and the port named `admin`. */
function adminAddressOf(pod: PodView): string | null {
  const annotated = pod.metadata.annotations?.[ANNOTATION_ADMIN_ADDRESS];
  if (annotated !== undefined) return annotated;
  const host = pod.status?.podIP;
  const ports = pod.spec?.containers?.flatMap((container) => container.ports ?? []) ?? [];
  const port = ports.find((p) => p.name === 'admin')?.containerPort;
  if (host === undefined || host === '' || port === undefined) return null;
  return host.includes(':') ? `http://[${host}]:${port}` : `http://${host}:${port}`;
}

async function ask(admin: GatewayAdmin, address: string | null, bearer: string | null): Promise<Answer> {
  if (address === null) return { kind: 'unknown', why: 'it has no address' };
  if (bearer === null) return { kind: 'unknown', why: 'there is no admin key' };
  const peer: AdminPeer = { address, bearer };
  try {
    return { kind: 'state', state: await admin.state(peer) };
  } catch (error) {
    return { kind: 'unknown', why: error instanceof Error ? error.message : String(error) };
  }
}
