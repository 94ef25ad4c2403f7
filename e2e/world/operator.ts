// The operator as plain manifests install it: CRDs and crds/install/operator.yaml with this run's image. Scenarios share one; each asks for
// it and finds it there or puts it there. Also who leads, and killing it.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { repositoryFolder } from '../cluster/app-image.ts';
import { apply, getObject, kubectl, listObjects } from '../cluster/kubectl.ts';
import type { KubeObject, Pod } from '../cluster/kubectl.ts';
import { signalPod } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait.ts';
import { images, loadImages } from './images.ts';

/** As crds/install/operator.yaml has it. */
export const operatorNamespace = 'pushcluster-system';
export const operatorName = 'pushcluster-operator';

interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas?: number;
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly image: string; readonly imagePullPolicy?: string }[] };
    };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly availableReplicas?: number;
    readonly updatedReplicas?: number;
    readonly replicas?: number;
  };
}

/** The documents of a file of manifests. @param path relative to the repository */
export function readManifests(path: string): readonly KubeObject[] {
  const text = readFileSync(join(repositoryFolder, path), 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as KubeObject);
}

export function readCrds(): readonly KubeObject[] {
  return globSync('crds/*.yaml', { cwd: repositoryFolder }).toSorted().flatMap(readManifests);
}

/** The operator's manifests with the image of this run in place of the release's. */
export function readOperator(): readonly KubeObject[] {
  return readManifests('crds/install/operator.yaml').map((object) =>
    object.kind === 'Deployment' ? withImage(object as Deployment) : object,
  );
}

function withImage(deployment: Deployment): KubeObject {
  const { template } = deployment.spec;
  const containers = template.spec.containers.map((container) => ({
    ...container,
    image: images.product,
    imagePullPolicy: images.pullPolicy,
  }));
  return {
    ...deployment,
    spec: { ...deployment.spec, template: { ...template, spec: { ...template.spec, containers } } },
  };
}

/** Images, CRDs and operator, as far as they are not there; returns when the operator is up and leads. */
export async function prepareOperator(): Promise<void> {
  const isNewCode = await loadImages();
  const isThere = (await findOperator()) !== undefined;
  if (isThere && !isNewCode) return;
  await applyCrds();
  await apply(readOperator());
  if (isThere) await kubectl(['rollout', 'restart', 'deployment', operatorName, '-n', operatorNamespace]);
  await waitForOperator(operatorNamespace, operatorName);
}

/** Server-side, since the schema of a CRD is too large for the annotation of a plain apply. */
export async function applyCrds(): Promise<void> {
  const crds = readCrds();
  const stdin = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: crds });
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { stdin });
  const names = crds.map((crd) => `crd/${crd.metadata.name}`);
  await kubectl(['wait', '--for=condition=Established', '--timeout=30s', ...names]);
}

async function findOperator(): Promise<Deployment | undefined> {
  return await getObject<Deployment>('deployment', operatorName, operatorNamespace);
}

/** Waits until every replica of the Deployment runs its newest template and one of them holds the Lease. */
export async function waitForOperator(namespace: string, name: string): Promise<void> {
  const isUp = async (): Promise<true> => {
    const found = await getObject<Deployment>('deployment', name, namespace);
    const { observedGeneration, availableReplicas = 0, updatedReplicas = 0, replicas = 0 } = found?.status ?? {};
    const wanted = found?.spec.replicas ?? 1;
    const isCurrent = observedGeneration === found?.metadata.generation;
    if (isCurrent && availableReplicas === wanted && updatedReplicas === wanted && replicas === wanted) return true;
    throw new Error(`${availableReplicas} of ${wanted} replicas are available, ${updatedReplicas} up to date`);
  };
  await waitFor(`the operator ${namespace}/${name} to be available`, isUp, { timeoutMs: 60_000, intervalMs: 200 });
  await waitFor('a leader of the operator', async () => await findLeader(namespace, name), {
    timeoutMs: 60_000,
    intervalMs: 200,
  });
}

interface Lease extends KubeObject {
  readonly spec: { readonly holderIdentity?: string };
}

/** The pod that leads; undefined while none of the living does. */
export async function findLeader(
  namespace: string = operatorNamespace,
  leaseName: string = operatorName,
): Promise<Pod | undefined> {
  const lease = await getObject<Lease>('lease', leaseName, namespace);
  const holder = lease?.spec.holderIdentity ?? '';
  if (holder === '') return undefined;
  const pods = await listObjects<Pod>('pods', { namespace });
  return pods.find(({ metadata, status }) => holder.startsWith(metadata.name) && status.phase === 'Running');
}

/** kill -9 of the operator that leads; returns its pod's name. */
export async function killLeader(): Promise<string> {
  const leader = await waitFor('a leader of the operator', async () => await findLeader(), { timeoutMs: 30_000 });
  await signalPod({ namespace: operatorNamespace, pod: leader.metadata.name }, 'SIGKILL');
  return leader.metadata.name;
}

/** Removes operator and CRDs, and with the CRDs every PushCluster; waits until they are gone. */
export async function removeOperator(): Promise<void> {
  if ((await getObject('crd', 'pushclusters.pushcluster.io')) !== undefined)
    await kubectl(['delete', 'pushclusters', '--all', '-A', '--timeout=100s'], { timeoutMs: 110_000 });
  for (const manifests of [readOperator(), readCrds()]) {
    const stdin = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests });
    await kubectl(['delete', '--ignore-not-found', '--timeout=60s', '-f', '-'], { stdin, timeoutMs: 120_000 });
  }
}
