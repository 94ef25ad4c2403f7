// The two documents that roles watch, as ConfigMaps: routing (who takes clients, with what weight) and apps (the tenants).
import { APPS_KEY } from '../../workloads/protocol/apps.ts';
import type { AppDefinition, AppsDocument } from '../../workloads/protocol/apps.ts';
import { ROUTING_KEY } from '../../workloads/protocol/routing.ts';
import type { RoutingDocument } from '../../workloads/protocol/routing.ts';
import { contentHash } from '../hash.ts';
import { KINDS } from '../kube/port.ts';
import type { KubeObject } from '../kube/port.ts';
import { childNames } from '../types.ts';
import type { Cluster } from '../types.ts';
import { child } from './metadata.ts';

/** The document with its revision: a hash of all the rest. */
export function routingDocument(content: Omit<RoutingDocument, 'version' | 'revision'>): RoutingDocument {
  return { version: 1, revision: contentHash(content), ...content };
}

export function routingConfigMap(cluster: Cluster, document: RoutingDocument): KubeObject {
  return child(
    cluster,
    { kind: KINDS.configMap, name: childNames(cluster.name).routing, component: null },
    { data: { [ROUTING_KEY]: JSON.stringify(document, null, 1) } },
  );
}

export function appsConfigMap(cluster: Cluster, apps: readonly AppDefinition[]): KubeObject {
  const sorted = apps.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const document: AppsDocument = { version: 1, revision: contentHash(sorted), apps: sorted };
  return child(
    cluster,
    { kind: KINDS.configMap, name: childNames(cluster.name).apps, component: null },
    { data: { [APPS_KEY]: JSON.stringify(document, null, 1) } },
  );
}
