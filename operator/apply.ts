// The only writes: actions of the plan, in order, and the status. A write that the API server refuses ends the run, and the next
// reconcile starts from what is then observed; a gateway that does not take a call is passed over, since all others still need
// theirs. Each decision leaves an event once its write is done.
import type { Log } from '../workloads/runtime/log.ts';
import type { Events } from './events.ts';
import { GatewayAdminError } from './gateway-admin.ts';
import type { AdminPeer, GatewayAdmin } from './gateway-admin.ts';
import { addressOf, isKubeStatus, KINDS, kindOf } from './kube/port.ts';
import type { Kube, KubeObject } from './kube/port.ts';
import { FINALIZER } from './types.ts';
import type { Action, GatewayTarget } from './types.ts';

export interface ApplyDeps {
  readonly kube: Kube;
  readonly admin: GatewayAdmin;
  readonly events: Events;
  readonly log: Log;
}

/** Something of that name belongs to somebody else; it is left alone. */
export class OwnedByOtherError extends Error {
  readonly code = 'owned-by-other';
  constructor(object: KubeObject, owner: string) {
    super(
      `${object.kind} ${object.metadata.name}: expected none, or one of ours; got one of ${owner}. Remove or rename it`,
    );
  }
}

/**
 * Does the actions in order. Rejects with the first error of the API server.
 * @param resource the PushCluster as it was observed
 * @param bearer admin key of its gateways; null: gateways cannot be told anything yet
 */
export async function applyActions(
  actions: readonly Action[],
  target: { readonly resource: KubeObject; readonly bearer: string | null },
  deps: ApplyDeps,
): Promise<void> {
  for (const action of actions) {
    const isDone = await applyAction(action, target, deps);
    if (!isDone || !('note' in action) || action.note === null) continue;
    deps.log.info({ cluster: target.resource.metadata.name, reason: action.note.reason }, action.note.message);
    await deps.events.record(action.kind === 'app-status' ? action.app : target.resource, action.note);
  }
}

async function applyAction(
  action: Action,
  target: { readonly resource: KubeObject; readonly bearer: string | null },
  deps: ApplyDeps,
): Promise<boolean> {
  const { kube, admin } = deps;
  const { resource, bearer } = target;
  switch (action.kind) {
    case 'drain':
      return tell(deps, { gateway: action.gateway, bearer }, (peer) => admin.drain(peer, action.request));
    case 'undrain':
      return tell(deps, { gateway: action.gateway, bearer }, (peer) => admin.undrain(peer));
    case 'put-routing':
      return tell(deps, { gateway: action.gateway, bearer }, (peer) => admin.putRouting(peer, action.document));
    case 'delete':
      return isSameStill(() => kube.delete(action.of, action.at, deleteOptions(action)));
    case 'apply':
      if (action.isNew) await assertUnowned(kube, action.object);
      await kube.apply(action.object);
      break;
    case 'scale':
      await kube.scale(KINDS.pushCluster, addressOf(resource), action.replicas);
      break;
    case 'app-status':
      await kube.applyStatus(statusObject(action.app, action.status));
      break;
    case 'add-finalizer':
      await setFinalizers(kube, resource, [...finalizersOf(resource), FINALIZER]);
      break;
    case 'remove-finalizer':
      await setFinalizers(
        kube,
        resource,
        finalizersOf(resource).filter((name) => name !== FINALIZER),
      );
      break;
  }
  return true;
}

function finalizersOf(resource: KubeObject): readonly string[] {
  return resource.metadata.finalizers ?? [];
}

/** Writes the status of a PushCluster. */
export async function applyClusterStatus(kube: Kube, resource: KubeObject, status: unknown): Promise<void> {
  await kube.applyStatus(statusObject(resource, status));
}

function statusObject(object: KubeObject, status: unknown): KubeObject {
  const { name, namespace = 'default' } = object.metadata;
  return { apiVersion: object.apiVersion, kind: object.kind, metadata: { name, namespace }, status };
}

function deleteOptions(action: Extract<Action, { kind: 'delete' }>): { uid: string; graceSeconds?: number } {
  const { uid, graceSeconds } = action;
  return graceSeconds === undefined ? { uid } : { uid, graceSeconds };
}

/** False when the object is gone or another one by now: then there is nothing of ours to delete. */
async function isSameStill(remove: () => Promise<'deleted' | 'gone'>): Promise<boolean> {
  try {
    return (await remove()) === 'deleted';
  } catch (error) {
    if (isKubeStatus(error, 409)) return false;
    throw error;
  }
}

async function assertUnowned(kube: Kube, object: KubeObject): Promise<void> {
  const live = await kube.get(kindOf(object), addressOf(object));
  const owner = live?.metadata.ownerReferences?.find((reference) => reference.controller === true);
  const ours = object.metadata.ownerReferences?.[0]?.uid;
  if (owner !== undefined && owner.uid !== ours) throw new OwnedByOtherError(object, `${owner.kind} ${owner.name}`);
}

async function tell(
  deps: ApplyDeps,
  whom: { readonly gateway: GatewayTarget; readonly bearer: string | null },
  call: (peer: AdminPeer) => Promise<void>,
): Promise<boolean> {
  if (whom.bearer === null) return false;
  try {
    await call({ address: whom.gateway.adminAddress, bearer: whom.bearer });
    return true;
  } catch (error) {
    if (!(error instanceof GatewayAdminError)) throw error;
    deps.log.warn({ gateway: whom.gateway.name, problem: error.message }, 'gateway did not take a call');
    return false;
  }
}

/** With the version that was observed: another one's finalizers are never undone. */
async function setFinalizers(kube: Kube, resource: KubeObject, finalizers: readonly string[]): Promise<void> {
  const { resourceVersion } = resource.metadata;
  await kube.merge(KINDS.pushCluster, addressOf(resource), { metadata: { resourceVersion, finalizers } });
}
