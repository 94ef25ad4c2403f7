// Which gateways leave, why, how far each is, and whether it may be removed now. A state machine without memory: where a drain
// stands is read from the routing document (state and since), the gateway's answer and its pod, so any operator goes on where the
// last one was. assess.ts calls planDrains; plan.ts turns the steps into actions. Pure.
import {
  holdingOf,
  isOutdated,
  isPodReady,
  isServing,
  isSetCurrent,
  isWithoutProcess,
  unreadySinceMs,
} from './gateway-state.ts';
import type { Cluster, Observed, ObservedGateway } from './types.ts';

export type LeaveReason = 'delete' | 'terminating' | 'scale-in' | 'rollout' | 'node';
/** starting: no clients yet · active · waiting: will leave, takes nobody new · draining: its clients are asked to move. */
export type Phase = 'starting' | 'active' | 'waiting' | 'draining';
/** What is to be done to it now. shrink: replicas − 1 · replace: delete its pod · force: delete it without its kubelet. */
export type Step = 'none' | 'cancel' | 'shrink' | 'replace' | 'force';

export interface GatewayPlan {
  readonly gateway: ObservedGateway;
  readonly reason: LeaveReason | null;
  readonly phase: Phase;
  /** When the phase began, as the routing document has it. */
  readonly since: string;
  /** Names its drain; '' when it has none. */
  readonly generation: string;
  readonly deadlineMs: number;
  /** Nothing left on it, and it was told to take nobody. */
  readonly isDrained: boolean;
  readonly step: Step;
  /** Why its removal has to wait, for people; null: it does not. */
  readonly hold: string | null;
  readonly isOutdated: boolean;
}

export interface DrainPlan {
  readonly gateways: readonly GatewayPlan[];
  /** What the StatefulSet shall have. */
  readonly replicas: number;
  /** Whether scale-in waits because the counts are not trusted. */
  readonly isFrozen: boolean;
}

/**
 * At its deadline a gateway closes who is left, and is then seen empty. Removed at that very moment it would be told to stop with
 * them on it, and begin its long grace: so the operator looks at a deadline this much later.
 */
export const DEADLINE_GRACE_MS = 5000;
/** A pod on a dead node is erased this long after it should have been gone. */
const FORCE_AFTER_MS = 60_000;

interface Scene {
  readonly cluster: Cluster;
  readonly observed: Observed;
  readonly nowMs: number;
  readonly isFrozen: boolean;
  /** Replicas that the StatefulSet has, and those wanted. */
  readonly live: number;
  readonly wanted: number;
}

/** @param isFrozen scale-in may neither begin nor remove */
export function planDrains(
  cluster: Cluster,
  observed: Observed,
  options: { nowMs: number; isFrozen: boolean },
): DrainPlan {
  const wanted = cluster.spec.gateway.replicas;
  const live = observed.gatewaySet?.spec?.replicas ?? wanted;
  const scene: Scene = { cluster, observed, live, wanted, ...options };
  const leaving = new Map(observed.gateways.map((g) => [g.name, reasonOf(scene, g)]));
  const draining = chooseDrains(scene, leaving);
  const gateways = observed.gateways.map((gateway) =>
    planGateway(scene, gateway, { reason: leaving.get(gateway.name) ?? null, isChosen: draining.has(gateway.name) }),
  );
  return { gateways, replicas: replicasOf(scene, gateways), isFrozen: options.isFrozen };
}

function replicasOf(scene: Scene, gateways: readonly GatewayPlan[]): number {
  const { live, wanted, cluster, isFrozen } = scene;
  if (cluster.deletedAtMs !== null) return live;
  if (wanted >= live) return wanted;
  if (gateways.some((g) => g.step === 'shrink')) return live - 1;
  // The one to remove has no pod at all: there is nothing to drain.
  const isMissing = !gateways.some((g) => g.gateway.ordinal >= live - 1);
  return isMissing && isSettled(scene) && !isFrozen ? live - 1 : live;
}

/** The last removal is over: the controller has seen it and its pod is gone. Until then there is no next one. */
function isSettled({ observed, live }: Scene): boolean {
  const set = observed.gatewaySet;
  return set !== null && isSetCurrent(set) && !observed.gateways.some((g) => g.ordinal >= live);
}

function reasonOf(scene: Scene, gateway: ObservedGateway): LeaveReason | null {
  const { cluster, observed, live, wanted } = scene;
  if (gateway.pod.metadata.deletionTimestamp !== undefined) return 'terminating';
  if (cluster.deletedAtMs !== null) return 'delete';
  if (gateway.ordinal >= live) return wanted > gateway.ordinal ? null : 'terminating';
  if (gateway.ordinal >= wanted) return 'scale-in';
  const outdated = isOutdated(gateway, observed.gatewaySet);
  if (outdated === true) return 'rollout';
  if (gateway.isCordoned) return 'node';
  // The controller is about to tell the new revision: a drain under way is not given up for that moment.
  return outdated === null && startOf(scene, gateway) !== null ? 'rollout' : null;
}

/** When its drain began, as recorded; null: no drain of this life of the pod is on record. */
function startOf(scene: Scene, gateway: ObservedGateway): string | null {
  const entry = entryOf(scene, gateway);
  if (entry?.state === 'draining') return entry.since;
  const told = gateway.answer.kind === 'state' ? (gateway.answer.state.drain?.generation ?? '') : '';
  const [uid, ...since] = told.split('@');
  return uid === gateway.pod.metadata.uid && Number.isFinite(Date.parse(since.join('@'))) ? since.join('@') : null;
}

/** Its row in the routing document, unless that is of an earlier life of the pod. */
function entryOf({ observed }: Scene, gateway: ObservedGateway): { state: string; since: string } | null {
  const entry = observed.routing?.gateways.find((row) => row.name === gateway.name);
  if (entry === undefined) return null;
  const isOfThisLife = Date.parse(entry.since) >= Date.parse(gateway.pod.metadata.creationTimestamp ?? '1970-01-01');
  return isOfThisLife ? entry : null;
}

function isRecorded(scene: Scene, gateway: ObservedGateway): boolean {
  return entryOf(scene, gateway)?.state === 'draining';
}

/** Names of the gateways that drain now: what has begun goes on; new ones as far as maxUnavailable has room. */
function chooseDrains(scene: Scene, leaving: ReadonlyMap<string, LeaveReason | null>): ReadonlySet<string> {
  const { observed, cluster, live, isFrozen } = scene;
  const chosen = new Set<string>();
  const candidates: ObservedGateway[] = [];
  for (const gateway of observed.gateways) {
    const reason = leaving.get(gateway.name) ?? null;
    const hasBegun = startOf(scene, gateway) !== null;
    if (reason === 'delete' || reason === 'terminating') chosen.add(gateway.name);
    if (reason === 'scale-in' && gateway.ordinal === live - 1 && (hasBegun || !isFrozen)) chosen.add(gateway.name);
    if (reason !== 'rollout' && reason !== 'node') continue;
    if (hasBegun) chosen.add(gateway.name);
    else candidates.push(gateway);
  }
  let room = cluster.spec.disruption.maxUnavailable - countUnavailable(scene, chosen);
  for (const gateway of inOrderOfReplacement(candidates)) {
    const isAlreadyAway = !isServing(gateway);
    if (!isAlreadyAway && room <= 0) continue;
    chosen.add(gateway.name);
    if (!isAlreadyAway) room -= 1;
  }
  return chosen;
}

/** Gateways that shall be there and do not take clients now. */
function countUnavailable({ observed, wanted }: Scene, chosen: ReadonlySet<string>): number {
  const serving = observed.gateways.filter((g) => g.ordinal < wanted && isServing(g) && !chosen.has(g.name));
  return wanted - serving.length;
}

/** Broken ones first: replacing them costs nobody anything; then as a StatefulSet goes, from the highest ordinal. */
function inOrderOfReplacement(gateways: readonly ObservedGateway[]): readonly ObservedGateway[] {
  return gateways.toSorted((a, b) => Number(isServing(a)) - Number(isServing(b)) || b.ordinal - a.ordinal);
}

function planGateway(
  scene: Scene,
  gateway: ObservedGateway,
  lot: { readonly reason: LeaveReason | null; readonly isChosen: boolean },
): GatewayPlan {
  const outdated = isOutdated(gateway, scene.observed.gatewaySet) === true;
  const common = { gateway, reason: lot.reason, isOutdated: outdated };
  if (lot.isChosen) return { ...common, ...planDrain(scene, gateway, lot.reason) };
  const idle = { generation: '', deadlineMs: 0, isDrained: false, hold: null };
  const entry = entryOf(scene, gateway);
  const now = isoAt(scene.nowMs);
  const isUnderDrain = gateway.answer.kind === 'state' && gateway.answer.state.drain !== null;
  if (entry?.state === 'draining' && gateway.answer.kind === 'unknown') {
    const hold = 'its drain was called off, but its admin port does not answer';
    const deadlineMs = Date.parse(entry.since) + scene.cluster.spec.disruption.drainDeadlineMs;
    return {
      ...common,
      ...idle,
      deadlineMs,
      phase: 'draining',
      since: entry.since,
      step: lostStep(scene, gateway),
      hold,
    };
  }
  const step = isUnderDrain ? 'cancel' : lostStep(scene, gateway);
  if (entry?.state === 'draining' || entry?.state === 'active' || isServing(gateway)) {
    const since = entry?.state === 'active' ? entry.since : now;
    return {
      ...common,
      ...idle,
      phase: lot.reason === 'scale-in' && !scene.isFrozen ? 'waiting' : 'active',
      since,
      step,
    };
  }
  return { ...common, ...idle, phase: 'starting', since: entry?.since ?? now, step };
}

type DrainPart = Pick<GatewayPlan, 'phase' | 'since' | 'generation' | 'deadlineMs' | 'isDrained' | 'step' | 'hold'>;

function planDrain(scene: Scene, gateway: ObservedGateway, reason: LeaveReason | null): DrainPart {
  const since = startOf(scene, gateway) ?? isoAt(scene.nowMs);
  const generation = `${gateway.pod.metadata.uid}@${since}`;
  const { deletedAtMs, spec } = scene.cluster;
  const beganMs = deletedAtMs === null ? Date.parse(since) : Math.min(deletedAtMs, Date.parse(since));
  const deadlineMs = beganMs + spec.disruption.drainDeadlineMs;
  const holding = holdingOf(gateway, generation);
  const part = { phase: 'draining', since, generation, deadlineMs, isDrained: holding === 'nothing' } as const;
  if (reason === 'terminating') return { ...part, step: forceStep(scene, gateway), hold: null };
  const hold = holdOf(scene, gateway, { reason, holding, deadlineMs });
  if (hold !== null || reason === 'delete') return { ...part, step: 'none', hold };
  return { ...part, step: reason === 'scale-in' ? 'shrink' : 'replace', hold: null };
}

/** Why a draining gateway may not be removed yet; null: it may. */
function holdOf(
  scene: Scene,
  gateway: ObservedGateway,
  drain: { reason: LeaveReason | null; holding: ReturnType<typeof holdingOf>; deadlineMs: number },
): string | null {
  const isOverdue = scene.nowMs >= drain.deadlineMs + DEADLINE_GRACE_MS;
  if (!isRecorded(scene, gateway) && drain.reason !== 'delete') return 'its drain is not on record yet';
  if (drain.holding === 'something' && !isOverdue) return 'its sessions are moving';
  if (drain.holding === 'unknown' && !isOverdue)
    return 'its admin port does not answer: nothing is known of its sessions';
  if (drain.holding === 'unknown' && isPodReady(gateway.pod))
    return 'its admin port does not answer although its pod is Ready, also past the deadline';
  if (drain.reason === 'scale-in' && scene.isFrozen) return 'scale-in is frozen: connection counts are not trusted';
  if (drain.reason === 'scale-in' && !isSettled(scene)) return 'the removal before it is not over';
  if (drain.reason === 'rollout' && isOutdated(gateway, scene.observed.gatewaySet) === null)
    return 'the new revision is not known yet';
  return null;
}

/** The watchdog (B8): a gateway that has been away for the whole deadline is replaced, as long as others serve. */
function lostStep({ cluster, observed, nowMs }: Scene, gateway: ObservedGateway): Step {
  const since = unreadySinceMs(gateway.pod);
  if (since === null || gateway.answer.kind === 'state' || isWithoutProcess(gateway.pod)) return 'none';
  const isOverdue = nowMs - since >= cluster.spec.disruption.drainDeadlineMs;
  return isOverdue && observed.gateways.some((g) => isServing(g)) ? 'replace' : 'none';
}

function forceStep({ nowMs }: Scene, gateway: ObservedGateway): Step {
  const deleted = gateway.pod.metadata.deletionTimestamp;
  if (deleted === undefined || gateway.answer.kind === 'state' || isPodReady(gateway.pod)) return 'none';
  return nowMs - Date.parse(deleted) >= FORCE_AFTER_MS ? 'force' : 'none';
}

function isoAt(ms: number): string {
  return new Date(ms).toISOString();
}
