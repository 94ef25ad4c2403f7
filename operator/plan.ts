// From what shall be and what is to the writes in between, in order: what pods need first, then what gateways are told, then
// removals. reconcile.ts hands the actions to apply.ts. Where nothing differs the plan is empty. Pure.
import type { DrainRequest } from '../workloads/protocol/admin.ts';
import type { Assessment } from './assess.ts';
import { planAppStatus } from './app-status.ts';
import { desiredChildren } from './children.ts';
import type { Secrets } from './children.ts';
import { DEADLINE_GRACE_MS } from './drain.ts';
import type { GatewayPlan } from './drain.ts';
import { describeDrift } from './drift.ts';
import { addressOf, KINDS, kindOf } from './kube/port.ts';
import type { KubeObject } from './kube/port.ts';
import { ANNOTATION_APPLIED, childKey, childNames, FINALIZER } from './types.ts';
import type { Action, Cluster, GatewayTarget, Note, Observed } from './types.ts';

/** A lost gateway is not given the long grace: whatever it still held has moved on by itself. */
const LOST_GRACE_SECONDS = 30;

export interface PlanInputs {
  readonly assessment: Assessment;
  readonly secrets: Secrets;
  /** What changed in the key files, in words. */
  readonly keyChanges: readonly string[];
}

export function plan(cluster: Cluster, observed: Observed, inputs: PlanInputs): readonly Action[] {
  const { assessment } = inputs;
  if (cluster.deletedAtMs !== null) return planDeletion(cluster, observed, inputs);
  const children = desiredChildren(cluster, observed, inputs);
  return [
    ...(cluster.finalizers.includes(FINALIZER) ? [] : [{ kind: 'add-finalizer' } as const]),
    ...children.flatMap((child) => planChild(cluster, observed, { child, inputs })),
    ...planGatewayCalls(assessment),
    ...assessment.drains.gateways.flatMap((gateway) => planRemoval(cluster, gateway)),
    ...planPruning(observed, children),
    ...observed.appResources.flatMap((app) => planAppStatus(app, assessment.nowMs)),
    ...planScale(cluster, assessment),
  ];
}

/** Being deleted: everyone is drained, nothing is made or put right any more, and the finalizer goes last. */
function planDeletion(cluster: Cluster, observed: Observed, inputs: PlanInputs): readonly Action[] {
  if (!cluster.finalizers.includes(FINALIZER)) return [];
  const { assessment } = inputs;
  const { gateways } = assessment.drains;
  const routing = desiredChildren(cluster, observed, inputs).find(
    (child) => childKey(child) === `ConfigMap/${childNames(cluster.name).routing}`,
  );
  const deadlineMs = (cluster.deletedAtMs ?? 0) + cluster.spec.disruption.drainDeadlineMs;
  const isOverdue = assessment.nowMs >= deadlineMs + DEADLINE_GRACE_MS;
  const left = gateways.filter((g) => !g.isDrained);
  const done: Note = {
    type: left.length === 0 ? 'Normal' : 'Warning',
    reason: 'Drained',
    message:
      left.length === 0
        ? 'All gateways are empty; the cluster goes'
        : `The deadline passed with sessions left or unknown on ${left.map((g) => g.gateway.name).join(', ')}; the cluster goes`,
  };
  return [
    ...(routing !== undefined && observed.children.has(childKey(routing))
      ? planChild(cluster, observed, { child: routing, inputs })
      : []),
    ...planGatewayCalls(assessment),
    ...(left.length === 0 || isOverdue ? [{ kind: 'remove-finalizer', note: done } as const] : []),
  ];
}

function planChild(
  cluster: Cluster,
  observed: Observed,
  what: { readonly child: KubeObject; readonly inputs: PlanInputs },
): readonly Action[] {
  const { child, inputs } = what;
  const live = observed.children.get(childKey(child));
  const drift = describeDrift(live, child);
  if (drift === null) return [];
  const note = noteOfChild(cluster, observed, { child, live, drift, inputs });
  const isGatewaySet = child.kind === 'StatefulSet' && child.metadata.name === childNames(cluster.name).gateway;
  if (!isGatewaySet || live === undefined) return [{ kind: 'apply', object: child, isNew: live === undefined, note }];
  // Only if nobody else changed it since it was observed: a stale picture must not remove a second gateway.
  const { resourceVersion } = live.metadata;
  const metadata = { ...child.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
  return [{ kind: 'apply', object: { ...child, metadata }, isNew: false, note }];
}

function noteOfChild(
  cluster: Cluster,
  observed: Observed,
  what: { child: KubeObject; live: KubeObject | undefined; drift: string; inputs: PlanInputs },
): Note | null {
  const { child, live, drift, inputs } = what;
  const names = childNames(cluster.name);
  const label = `${child.kind} ${child.metadata.name}`;
  if (child.kind === 'StatefulSet' && child.metadata.name === names.gateway)
    return noteOfGatewaySet(observed, { drift, assessment: inputs.assessment });
  if (child.kind === 'Secret' && child.metadata.name === names.keys && inputs.keyChanges.length > 0)
    return { type: 'Normal', reason: 'KeysRotated', message: inputs.keyChanges.join('; ') };
  if (observed.gatewaySet === null) return null; // being set up: one note, on the StatefulSet, says it all
  if (live === undefined) {
    const isGatewayService = child.kind === 'Service' && child.metadata.name.startsWith(`${names.gateway}-`);
    if (isGatewayService) return null;
    const isNewWish = cluster.status?.observedGeneration !== cluster.generation;
    if (isNewWish) return { type: 'Normal', reason: 'Updated', message: `${label} is new` };
    return { type: 'Warning', reason: 'PutRight', message: `${label} was missing` };
  }
  const isSameWish =
    live.metadata.annotations?.[ANNOTATION_APPLIED] === child.metadata.annotations?.[ANNOTATION_APPLIED];
  if (isSameWish) return { type: 'Warning', reason: 'PutRight', message: `${label} was changed: ${drift}` };
  return child.kind === 'ConfigMap' ? null : { type: 'Normal', reason: 'Updated', message: `${label}: ${drift}` };
}

function noteOfGatewaySet(observed: Observed, what: { drift: string; assessment: Assessment }): Note {
  const { replicas, gateways } = what.assessment.drains;
  const before = observed.gatewaySet?.spec?.replicas;
  if (before === undefined)
    return { type: 'Normal', reason: 'Created', message: `Setting up with ${replicas} gateways` };
  if (replicas > before) return { type: 'Normal', reason: 'ScaledOut', message: `Gateways ${before} → ${replicas}` };
  if (replicas < before) {
    const gone = gateways.find((g) => g.step === 'shrink');
    const how =
      gone === undefined ? '' : `: ${gone.gateway.name} is ${gone.isDrained ? 'drained' : 'past its deadline'}`;
    return { type: 'Normal', reason: 'ScaledIn', message: `Gateways ${before} → ${replicas}${how}` };
  }
  return { type: 'Normal', reason: 'Updated', message: `Gateways: ${what.drift}` };
}

/** What gateways are told: drains called off, then drains (lower rates before higher ones), then the routing document. */
function planGatewayCalls(assessment: Assessment): readonly Action[] {
  const { gateways } = assessment.drains;
  const told = gateways.filter((g) => g.gateway.answer.kind === 'state');
  const cancels = told
    .filter((g) => g.step === 'cancel')
    .map((g): Action => ({ kind: 'undrain', gateway: targetOf(g), note: cancelNote(g) }));
  const drains = told
    .flatMap((g) => drainRequest(assessment, g))
    .sort((a, b) => a.rise - b.rise)
    .map((item) => item.action);
  const routing = told
    .filter(
      (g) =>
        g.gateway.answer.kind === 'state' && g.gateway.answer.state.routingRevision !== assessment.document.revision,
    )
    .map((g): Action => ({ kind: 'put-routing', gateway: targetOf(g), document: assessment.document }));
  return [...cancels, ...drains, ...routing];
}

function drainRequest(assessment: Assessment, gatewayPlan: GatewayPlan): { action: Action; rise: number }[] {
  const { gateway, generation, deadlineMs, reason } = gatewayPlan;
  const rate = assessment.rates.get(gateway.name);
  if (gatewayPlan.phase !== 'draining' || generation === '' || gateway.answer.kind === 'unknown') return [];
  if (gateway.answer.state.state === 'stopping') return []; // it goes by itself, at the rate of its own grace
  const current = gateway.answer.state.drain;
  const isTold = current?.generation === generation;
  // An empty gateway has no share of the budget, yet must be told so that it takes nobody.
  if (rate === undefined && (isTold || gateway.answer.state.sessions > 0)) return [];
  const request: DrainRequest = {
    generation,
    reason: reason === 'rollout' ? 'rollout' : 'drain',
    rate: rate ?? 1,
    deadlineMs,
    targets: assessment.targets,
  };
  const message = `${gateway.name} leaves (${reason ?? ''}): ${gateway.answer.state.sessions} sessions at ${round(request.rate)}/s`;
  const note: Note | null = isTold ? null : { type: 'Normal', reason: 'DrainStarted', message };
  const rise = request.rate - (current?.ratePerSecond ?? 0);
  return [{ action: { kind: 'drain', gateway: targetOf(gatewayPlan), request, note }, rise }];
}

function cancelNote({ gateway }: GatewayPlan): Note {
  return { type: 'Normal', reason: 'DrainCancelled', message: `${gateway.name} stays: it is needed again` };
}

function planRemoval(cluster: Cluster, gatewayPlan: GatewayPlan): readonly Action[] {
  const { gateway, step, isDrained, reason } = gatewayPlan;
  if (step !== 'replace' && step !== 'force') return [];
  const { uid, name } = gateway.pod.metadata;
  if (uid === undefined) return [];
  const isLost = gateway.answer.kind === 'unknown' && !isDrained;
  const how = isDrained ? 'drained' : isLost ? 'lost: away past the deadline' : 'past its deadline';
  const grace = step === 'force' ? { graceSeconds: 0 } : isLost ? { graceSeconds: LOST_GRACE_SECONDS } : {};
  return [
    {
      kind: 'delete',
      of: KINDS.pod,
      at: { name, namespace: cluster.namespace },
      uid,
      ...grace,
      note: {
        type: isDrained ? 'Normal' : 'Warning',
        reason: 'GatewayReplaced',
        message: `${name} (${reason ?? 'watchdog'}) is ${how}; its pod is ${step === 'force' ? 'erased' : 'replaced'}`,
      },
    },
  ];
}

/** Children that are no longer wanted, among those that we made. */
function planPruning(observed: Observed, children: readonly KubeObject[]): readonly Action[] {
  const wanted = new Set(children.map((child) => childKey(child)));
  return [...observed.children.values()]
    .filter((live) => !wanted.has(childKey(live)) && live.metadata.deletionTimestamp === undefined)
    .map((live) => ({
      kind: 'delete' as const,
      of: kindOf(live),
      at: addressOf(live),
      uid: live.metadata.uid ?? '',
      note: { type: 'Normal', reason: 'Removed', message: `${live.kind} ${live.metadata.name} is no longer needed` },
    }));
}

function planScale(cluster: Cluster, { autoscaling }: Assessment): readonly Action[] {
  if (autoscaling === null || autoscaling.replicas === cluster.spec.gateway.replicas) return [];
  const message = `Gateways ${cluster.spec.gateway.replicas} → ${autoscaling.replicas}: ${autoscaling.status.reason}`;
  return [{ kind: 'scale', replicas: autoscaling.replicas, note: { type: 'Normal', reason: 'Autoscaled', message } }];
}

function targetOf({ gateway }: GatewayPlan): GatewayTarget {
  return { name: gateway.name, adminAddress: gateway.adminAddress ?? '' };
}
function round(rate: number): number {
  return Math.round(rate * 10) / 10;
}
