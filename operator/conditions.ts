// The conditions of a PushCluster: each says one thing about it, with a reason for machines and a sentence for people, and keeps
// the time when it last changed. status.ts calls it; nobody else makes conditions. Pure.
import type { Assessment } from './assess.ts';
import type { GatewayPlan } from './drain.ts';
import { isPodReady, isServing } from './gateway-state.ts';
import type { PodView } from './kube/objects.ts';
import { SHEDDING_REASON } from './transitions.ts';
import type { Cluster, ClusterStatus, Condition, ConditionType, Observed } from './types.ts';

type Fact = Omit<Condition, 'type' | 'observedGeneration' | 'lastTransitionTime'>;
const MESSAGE_CHARS_MAX = 1024;

export interface Subject {
  readonly cluster: Cluster;
  readonly observed: Observed;
  readonly assessment: Assessment;
}

/** @param failure of the last writes, in words; null: they went well */
export function describeConditions(subject: Subject, failure: string | null): readonly Condition[] {
  const { cluster, assessment } = subject;
  const facts: Readonly<Record<ConditionType, Fact>> = {
    Ready: ready(subject),
    Progressing: progressing(subject),
    Degraded: degraded(subject, failure),
    Draining: draining(subject),
    Refused: yesNo(false, 'Accepted', 'The manifest is valid'),
    StoreEvaluation: storeEvaluation(cluster),
    StoreReachable: storeReachable(subject),
    BusReachable: busReachable(subject),
    MetricsTrusted: yesNo(assessment.trust.isTrusted, assessment.trust.reason, assessment.trust.message),
  };
  return stamp(facts, cluster, assessment.nowMs);
}

/** Conditions of a resource that is refused: whatever runs goes on, and nothing is known to be as it shall be. */
export function refusedConditions(
  resource: { readonly generation: number; readonly status: ClusterStatus | null },
  problems: readonly string[],
  nowMs: number,
): readonly Condition[] {
  const message = problems.join('; ');
  const kept = (resource.status?.conditions ?? []).filter(
    (c) => !['Refused', 'Ready', 'Progressing', 'Degraded'].includes(c.type),
  );
  const facts = {
    Ready: yesNo(false, 'Refused', 'The manifest is refused; what runs is left as it is'),
    Progressing: yesNo(false, 'Refused', 'Nothing is done until the manifest is put right'),
    Degraded: yesNo(true, 'InvalidSpec', message),
    Refused: yesNo(true, 'InvalidSpec', message),
  };
  return [...stamp(facts, resource, nowMs), ...kept];
}

function stamp(
  facts: Readonly<Partial<Record<ConditionType, Fact>>>,
  resource: { readonly generation: number; readonly status: ClusterStatus | null },
  nowMs: number,
): readonly Condition[] {
  const nowIso = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return Object.entries(facts).map(([type, fact]) => {
    const before = resource.status?.conditions?.find((c) => c.type === type);
    return {
      type: type as ConditionType,
      ...fact,
      message: fact.message.slice(0, MESSAGE_CHARS_MAX),
      observedGeneration: resource.generation,
      lastTransitionTime: before?.status === fact.status ? before.lastTransitionTime : nowIso,
    };
  });
}

function yesNo(is: boolean, reason: string, message: string): Fact {
  return { status: is ? 'True' : 'False', reason, message };
}

/** True once everything wanted serves; it then stays True while no more is away than maxUnavailable allows. */
function ready({ cluster, observed }: Subject): Fact {
  const wanted = cluster.spec.gateway.replicas;
  const serving = observed.gateways.filter((g) => g.ordinal < wanted && isServing(g)).length;
  const wasReady = cluster.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
  const needed = wasReady ? Math.max(Math.min(1, wanted), wanted - cluster.spec.disruption.maxUnavailable) : wanted;
  if (cluster.deletedAtMs !== null) return yesNo(false, 'Deleting', 'The cluster is being deleted');
  const missing = [
    ...(serving < needed ? [`${serving} of ${wanted} gateways serve`] : []),
    ...missingDeployments(cluster, observed, VITAL),
    ...(cluster.spec.store === null && (observed.storeSet?.status?.readyReplicas ?? 0) === 0
      ? ['the evaluation Redis is not ready']
      : []),
  ];
  if (missing.length > 0) return yesNo(false, 'NotReady', missing.join('; '));
  return yesNo(true, 'Serving', `${serving} of ${wanted} gateways serve; registry and router answer`);
}

/** Without these nobody signs in and nothing is pushed. The others' absence is made up for, or waited for: Degraded says so. */
const VITAL = ['registry', 'router'] as const;

function missingDeployments(
  cluster: Cluster,
  observed: Observed,
  roles: readonly ('registry' | 'router' | 'drainer' | 'upstream')[],
): readonly string[] {
  return roles
    .filter((role) => cluster.spec[role].replicas > 0 && (observed[role]?.status?.readyReplicas ?? 0) === 0)
    .map((role) => `no ${role} is ready`);
}

function progressing({ cluster, observed, assessment }: Subject): Fact {
  const { gateways } = assessment.drains;
  const wanted = cluster.spec.gateway.replicas;
  const live = observed.gatewaySet?.spec?.replicas ?? 0;
  const outdated = gateways.filter((g) => g.isOutdated && g.reason !== 'scale-in').length;
  if (cluster.deletedAtMs !== null) return yesNo(true, 'Deleting', 'Gateways are drained before the cluster goes');
  if (observed.gatewaySet === null) return yesNo(true, 'SettingUp', 'Children are being made');
  if (live < wanted) return yesNo(true, 'ScalingOut', `Gateways ${live} → ${wanted}`);
  if (live > wanted) return yesNo(true, 'ScalingIn', `Gateways ${live} → ${wanted}`);
  if (outdated > 0)
    return yesNo(true, 'RollingOut', `${outdated} of ${gateways.length} gateways are of an older revision`);
  if (gateways.some((g) => g.reason !== null))
    return yesNo(true, 'Replacing', namesOf(gateways.filter((g) => g.reason)));
  if (gateways.length < wanted || gateways.some((g) => g.phase === 'starting'))
    return yesNo(
      true,
      'Starting',
      `${gateways.filter((g) => g.phase === 'active').length} of ${wanted} gateways started`,
    );
  return yesNo(false, 'Settled', 'Everything is as the manifest says');
}

function degraded(subject: Subject, failure: string | null): Fact {
  if (failure !== null) return yesNo(true, 'WriteFailed', failure);
  const { cluster, observed, assessment } = subject;
  // What is away first: much else follows from it.
  const away = [storeReachable(subject), busReachable(subject)].filter((fact) => fact.status === 'False');
  if (away.length > 0) return yesNo(true, away[0]!.reason, away.map((fact) => fact.message).join('; '));
  const { gateways } = assessment.drains;
  const unknown = gateways.filter((g) => g.gateway.answer.kind === 'unknown' && isPodReady(g.gateway.pod));
  const held = gateways.filter((g) => g.hold !== null && g.gateway.answer.kind === 'unknown' && !g.isDrained);
  if (held.length > 0)
    return yesNo(true, 'GatewayUnknown', held.map((g) => `${g.gateway.name}: ${g.hold ?? ''}`).join('; '));
  if (unknown.length > 0) return yesNo(true, 'GatewayUnknown', `No answer from the admin port of ${namesOf(unknown)}`);
  const broken = gateways.filter((g) => !isPodReady(g.gateway.pod) && g.phase === 'active' && g.reason === null);
  if (broken.length > 0) return yesNo(true, 'GatewaysNotReady', `Not ready: ${namesOf(broken)}`);
  const failing = [...gateways.map((g) => g.gateway.pod), ...observed.rolePods].flatMap((pod) => describeFailure(pod));
  if (failing.length > 0) return yesNo(true, 'PodsFailing', failing.join('; '));
  const wasReady = cluster.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
  const missing = missingDeployments(cluster, observed, [
    ...VITAL,
    'drainer',
    ...(cluster.spec.bus === null ? [] : (['upstream'] as const)),
  ]);
  if (wasReady && missing.length > 0) return yesNo(true, 'RolesNotReady', missing.join('; '));
  const shedding = overloaded(observed);
  if (shedding.length > 0) return yesNo(true, SHEDDING_REASON, shedding.join('; '));
  const refused = observed.appResources.filter((app) => app.problems.length > 0);
  if (refused.length > 0)
    return yesNo(true, 'AppsRefused', `Refused PushApps: ${refused.map((app) => app.object.metadata.name).join(', ')}`);
  return yesNo(false, 'Healthy', 'Nothing is amiss');
}

/** Reasons of a waiting container that do not pass by themselves. */
const FAILURES = [
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'CrashLoopBackOff',
  'CreateContainerConfigError',
];

function describeFailure(pod: PodView): readonly string[] {
  const reasons = pod.status?.containerStatuses?.map((status) => status.state?.waiting?.reason ?? '') ?? [];
  const found = reasons.find((reason) => FAILURES.includes(reason));
  return found === undefined ? [] : [`${pod.metadata.name}: ${found}`];
}

function draining({ assessment }: Subject): Fact {
  const leaving = assessment.drains.gateways.filter((g) => g.phase === 'draining');
  if (leaving.length === 0) return yesNo(false, 'NoDrain', 'No gateway is being drained');
  const parts = leaving.map(
    (g) => `${g.gateway.name} (${g.reason ?? 'called off'})${g.hold === null ? '' : `: ${g.hold}`}`,
  );
  return yesNo(true, 'Draining', parts.join('; '));
}

function storeEvaluation(cluster: Cluster): Fact {
  if (cluster.spec.store !== null) return yesNo(false, 'StoreGiven', 'spec.store names the store');
  return yesNo(
    true,
    'EvaluationRedis',
    'spec.store is not set: one evaluation Redis runs here, and its data go with its pod. Set spec.store.redis to keep messages for real',
  );
}

/** Gateways that have more than they can do, by what they do about it. */
function overloaded(observed: Observed): readonly string[] {
  return observed.gateways.flatMap(({ name, answer }) => {
    if (answer.kind === 'unknown') return [];
    const { shedding, intakePaused } = answer.state;
    return [
      ...(shedding > 0 ? [`${name} ${SHED[shedding] ?? SHED[3]}`] : []),
      ...(intakePaused ? [`${name} takes in less for want of memory or bandwidth`] : []),
    ];
  });
}

/** By the level of shedding. */
const SHED: Readonly<Record<number, string>> = {
  1: 'sheds live messages of the lowest levels',
  2: 'sheds most live messages',
  3: 'sheds all live messages and leaves durable ones to their streams',
};

function storeReachable({ cluster, observed }: Subject): Fact {
  const { bus } = cluster.spec;
  const hasBus = bus !== null && awayFrom(observed, 'bus').length === 0;
  const pushes = hasBus ? 'durable pushes go through the bus' : 'durable pushes are refused with a time to come back';
  const sessions = cluster.spec.auth.failOpen
    ? 'sessions open by their tokens and tickets alone'
    : 'no session opens that is not open already';
  return reachable(observed, 'store', `${pushes}, and ${sessions}`);
}

function busReachable({ cluster, observed }: Subject): Fact {
  if (cluster.spec.bus !== null)
    return reachable(
      observed,
      'bus',
      'pushes go straight to the gateways, and messages of clients are kept at the gateways',
    );
  return {
    status: 'Unknown',
    reason: 'NoBus',
    message: 'spec.bus is not set: links are the only path, and messages of clients to the business are refused',
  };
}

/** What the gateways themselves say of the store or the bus. @param meanwhile what is done while it is away */
function reachable(observed: Observed, what: 'store' | 'bus', meanwhile: string): Fact {
  const name = what === 'store' ? 'Store' : 'Bus';
  if (observed.gateways.every((g) => g.answer.kind === 'unknown'))
    return { status: 'Unknown', reason: 'NoAnswer', message: 'No gateway answers, so nobody knows' };
  const away = awayFrom(observed, what);
  if (away.length === 0) return yesNo(true, `${name}Answers`, `The ${what} answers every gateway`);
  // Brokers may answer and refuse what they are asked, topics for one: the gateway knows what.
  const or = what === 'bus' ? ', or not as asked (busProblem in its /readyz)' : '';
  return yesNo(false, `${name}Away`, `The ${what} does not answer ${away.join(', ')}${or}: ${meanwhile}`);
}

/** Names of the gateways that do not reach it. */
function awayFrom(observed: Observed, what: 'store' | 'bus'): readonly string[] {
  return observed.gateways.flatMap(({ name, answer }) =>
    answer.kind === 'state' && answer.state[what] === 'away' ? [name] : [],
  );
}

function namesOf(gateways: readonly GatewayPlan[]): string {
  return gateways.map((g) => g.gateway.name).join(', ');
}
