// One look at one PushCluster: read, parse, observe, assess, plan, apply, status. It only sets the order, never waits for anything
// that takes its time, and says when to look again. queue.ts calls it; whatever it throws is retried with backoff.
import type { Clock } from '../workloads/runtime/clock.ts';
import { applyActions, applyClusterStatus } from './apply.ts';
import type { ApplyDeps } from './apply.ts';
import { assess } from './assess.ts';
import type { Secrets } from './children.ts';
import { isSameJson } from './kube/fields.ts';
import { KINDS, isKubeStatus } from './kube/port.ts';
import type { Address, KubeObject } from './kube/port.ts';
import { nextKeyFiles } from './keys.ts';
import type { KeyMaker } from './keys.ts';
import { STORE_PASSWORD_KEY } from './manifests/store.ts';
import { bearerOf, decodeData, observe } from './observe.ts';
import type { ObserveDeps } from './observe.ts';
import { parseCluster } from './parse.ts';
import { plan } from './plan.ts';
import { describeRefusal, describeStatus } from './status.ts';
import { describeTransitions } from './transitions.ts';
import { childNames } from './types.ts';
import type { Action, Cluster, ClusterStatus, Observed } from './types.ts';

export interface ReconcileDeps extends ObserveDeps, ApplyDeps {
  readonly clock: Clock;
  readonly keyMaker: KeyMaker & { password(): string };
  /** How soon to look again while something is under way. */
  readonly activeMs: number;
}

/** settled: as it shall be · again: something is under way · refused: the manifest is wrong · gone: there is none. */
export type Outcome =
  | { readonly kind: 'settled' }
  | { readonly kind: 'again'; readonly afterMs: number }
  | { readonly kind: 'refused' }
  | { readonly kind: 'gone' };

export async function reconcile(at: Address, deps: ReconcileDeps): Promise<Outcome> {
  const resource = await deps.kube.get(KINDS.pushCluster, at);
  if (resource === null) return { kind: 'gone' };
  const parsed = parseCluster(resource);
  if (parsed.kind === 'refused') return refuse(resource, parsed.problems, deps);
  const cluster = parsed.value;
  const observed = await observe(cluster, deps);
  const assessment = assess(cluster, observed, deps.clock.nowMs());
  const { secrets, keyChanges } = nextSecrets(cluster, observed, deps);
  const actions = plan(cluster, observed, { assessment, secrets, keyChanges });
  const subject = { cluster, observed, assessment };
  try {
    await applyActions(actions, { resource, bearer: bearerOf(observed.keys) }, deps);
  } catch (error) {
    // Somebody wrote at the same time: nothing is wrong, the next look decides on what is there then.
    if (isKubeStatus(error, 409)) return { kind: 'again', afterMs: deps.activeMs };
    const failure = error instanceof Error ? error.message : String(error);
    await writeStatus({ resource, cluster }, describeStatus(subject, failure), deps);
    throw error;
  }
  if (actions.some((action) => action.kind === 'remove-finalizer')) return { kind: 'gone' };
  const status = describeStatus(subject, null);
  await writeStatus({ resource, cluster }, status, deps);
  return isUnderWay(actions, status) ? { kind: 'again', afterMs: deps.activeMs } : { kind: 'settled' };
}

function isUnderWay(actions: readonly Action[], status: ClusterStatus): boolean {
  if (actions.length > 0 || status.drain !== null) return true;
  return status.conditions.some((c) => c.type === 'Progressing' && c.status === 'True');
}

async function refuse(resource: KubeObject, problems: readonly string[], deps: ReconcileDeps): Promise<Outcome> {
  const before = (resource['status'] as ClusterStatus | undefined) ?? null;
  const { name, generation = 1 } = resource.metadata;
  const status = describeRefusal({ name, generation, status: before }, problems, deps.clock.nowMs());
  if (!isSameJson(before, status)) await applyClusterStatus(deps.kube, resource, status);
  await deps.events.record(resource, { type: 'Warning', reason: 'Refused', message: problems.join('; ') });
  return { kind: 'refused' };
}

async function writeStatus(
  target: { readonly resource: KubeObject; readonly cluster: Cluster },
  status: ClusterStatus,
  deps: ReconcileDeps,
): Promise<void> {
  if (isSameJson(target.cluster.status, status)) return;
  try {
    await applyClusterStatus(deps.kube, target.resource, status);
  } catch (error) {
    if (!isKubeStatus(error, 404)) throw error;
    return; // it went away meanwhile
  }
  for (const note of describeTransitions(target.cluster.status, status))
    await deps.events.record(target.resource, note);
}

/** Keys and password as the Secrets have them, and new ones where they are missing or due. */
function nextSecrets(
  cluster: Cluster,
  observed: Observed,
  deps: ReconcileDeps,
): { readonly secrets: Secrets; readonly keyChanges: readonly string[] } {
  const { keyRotationMs, tokenTtlMs, ticketTtlMs } = cluster.spec.auth;
  const times = { nowMs: deps.clock.nowMs(), rotationMs: keyRotationMs, tokenTtlMs, ticketTtlMs };
  const next = nextKeyFiles(decodeData(observed.keys), times, deps.keyMaker);
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  const store = observed.children.get(`Secret/${childNames(cluster.name).store}`);
  const held = (store?.['data'] as Readonly<Record<string, string>> | undefined)?.[STORE_PASSWORD_KEY];
  return {
    secrets: {
      keys: Object.fromEntries(Object.entries(next.files).map(([name, text]) => [name, encode(text)])),
      storePassword: held ?? encode(deps.keyMaker.password()),
    },
    keyChanges: next.changes,
  };
}
