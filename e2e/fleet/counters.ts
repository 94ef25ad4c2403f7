// Counters of many clients, or of the lives of one, as one.
import type { ClientCounters } from '../../workloads/client/counts.ts';

export function addCounters(all: readonly ClientCounters[]): ClientCounters {
  const total = {
    registryCalls: { register: 0, renew: 0, assign: 0 },
    attempts: 0,
    welcomes: 0,
    resumes: 0,
    goaways: 0,
    resyncs: 0,
    acks: 0,
    nacks: 0,
    handled: 0,
    nacked: 0,
    bodiesGone: 0,
    queued: 0,
    duplicates: 0,
    gaps: 0,
    overflowed: 0,
  };
  for (const { registryCalls, ...counters } of all) {
    for (const ask of ['register', 'renew', 'assign'] as const) total.registryCalls[ask] += registryCalls[ask];
    for (const [name, value] of Object.entries(counters) as [keyof typeof counters, number][]) total[name] += value;
  }
  return total;
}
