// All children that a cluster shall have, in the order in which they are made: what a pod mounts is there before the pod. plan.ts
// compares them with what is there. Pure; the builders are in manifests/.
import type { Assessment } from './assess.ts';
import { sealed } from './drift.ts';
import type { KubeObject } from './kube/port.ts';
import { drainerDeployment } from './manifests/drainer.ts';
import { horizontalPodAutoscaler } from './manifests/autoscaling.ts';
import { disruptionBudgets } from './manifests/disruption.ts';
import { gatewayHeadlessService, gatewayName, gatewayService, gatewaySet } from './manifests/gateway.ts';
import { keysSecret } from './manifests/keys.ts';
import { podMonitor } from './manifests/monitoring.ts';
import { networkPolicies } from './manifests/network.ts';
import { configReaderBinding, configReaderRole, serviceAccounts } from './manifests/rbac.ts';
import { registryDeployment } from './manifests/registry.ts';
import { roleService } from './manifests/role-deployment.ts';
import { routerDeployment, routerService } from './manifests/router.ts';
import { appsConfigMap, routingConfigMap } from './manifests/routing.ts';
import { upstreamDeployment } from './manifests/upstream.ts';
import { evaluationStore } from './manifests/store.ts';
import type { Cluster, Observed } from './types.ts';

export interface Secrets {
  /** File name → base64. */
  readonly keys: Readonly<Record<string, string>>;
  /** Base64; of the evaluation Redis. */
  readonly storePassword: string;
}

export function desiredChildren(
  cluster: Cluster,
  observed: Observed,
  inputs: { readonly assessment: Assessment; readonly secrets: Secrets },
): readonly KubeObject[] {
  const { assessment, secrets } = inputs;
  const monitor = observed.hasPodMonitors ? podMonitor(cluster) : null;
  const autoscaler = horizontalPodAutoscaler(cluster);
  return [
    ...serviceAccounts(cluster),
    configReaderRole(cluster),
    configReaderBinding(cluster),
    keysSecret(cluster, secrets.keys),
    ...networkPolicies(cluster),
    ...(cluster.spec.store === null ? evaluationStore(cluster, secrets.storePassword) : []),
    appsConfigMap(cluster, observed.apps),
    routingConfigMap(cluster, assessment.document),
    gatewayHeadlessService(cluster),
    ...gatewayOrdinals(cluster, observed, assessment).map((ordinal) => gatewayService(cluster, ordinal)),
    roleService(cluster, 'registry'),
    routerService(cluster),
    gatewaySet(cluster, assessment.drains.replicas),
    registryDeployment(cluster),
    routerDeployment(cluster),
    drainerDeployment(cluster),
    ...(cluster.spec.bus === null ? [] : [upstreamDeployment(cluster)]),
    ...disruptionBudgets(cluster),
    ...(autoscaler === null ? [] : [autoscaler]),
    ...(monitor === null ? [] : [monitor]),
  ].map((manifest) => sealed(manifest));
}

/** Each gateway that shall be there or still is has its Service; so an address outlives the removal of its pod by a moment. */
function gatewayOrdinals(cluster: Cluster, observed: Observed, assessment: Assessment): readonly number[] {
  const ordinals = new Set(observed.gateways.map((g) => g.ordinal));
  for (let i = 0; i < assessment.drains.replicas; i++) ordinals.add(i);
  return [...ordinals].filter((i) => gatewayName(cluster, i).length <= 63).sort((a, b) => a - b);
}
