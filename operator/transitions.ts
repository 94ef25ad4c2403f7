// What people are told when the status turns: the store or the bus goes away or is back, gateways begin to shed load or stop. reconcile.ts
// records it as events, next to those of decisions. It compares two statuses, so a new operator neither repeats nor forgets. Pure.
import type { ClusterStatus, Condition, ConditionType, Note } from './types.ts';

const REACHED: readonly (readonly [ConditionType, away: string, back: string])[] = [
  ['StoreReachable', 'StoreAway', 'StoreBack'],
  ['BusReachable', 'BusAway', 'BusBack'],
];
/** Of Degraded: gateways have more than they can do. */
export const SHEDDING_REASON = 'GatewaysShedLoad';

/** @param before as the API server had it; null: there was none yet */
export function describeTransitions(before: ClusterStatus | null, after: ClusterStatus): readonly Note[] {
  const was = (type: ConditionType): Condition | undefined => find(before, type);
  const is = (type: ConditionType): Condition | undefined => find(after, type);
  const notes: Note[] = [];
  for (const [type, away, back] of REACHED) {
    const [old, now] = [was(type), is(type)];
    if (now?.status === 'False' && old?.status !== 'False')
      notes.push({ type: 'Warning', reason: away, message: now.message });
    // Not from Unknown: a cluster that was set up has nothing to be told of.
    if (now?.status === 'True' && old?.status === 'False')
      notes.push({ type: 'Normal', reason: back, message: now.message });
  }
  const [old, now] = [was('Degraded'), is('Degraded')];
  if (now?.reason === SHEDDING_REASON && old?.reason !== SHEDDING_REASON)
    notes.push({ type: 'Warning', reason: SHEDDING_REASON, message: now.message });
  if (old?.reason === SHEDDING_REASON && now?.status === 'False')
    notes.push({ type: 'Normal', reason: 'GatewaysKeepUp', message: 'No gateway sheds load any more' });
  return notes;
}

function find(status: ClusterStatus | null, type: ConditionType): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}
