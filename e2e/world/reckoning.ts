// The end of a scenario's traffic: the figures of what was published against what each client's application was given, printed, and the demand
// that nothing was lost, doubled or out of order. Also what the clients' counters say of how they moved. traffic.ts calls it.
import assert from 'node:assert/strict';
import type { FleetCounts } from '../fleet/clients.ts';
import type { ClientCounters } from '../../workloads/client/counts.ts';
import type { Comparison } from '../fleet/compare.ts';
import type { PublishCounts } from '../fleet/publish.ts';
import { measured } from './measured.ts';

export interface Moves {
  /** Questions to the registry from the moment when all clients were live. */
  readonly registryCalls: number;
  /** Sessions opened by ticket since then. */
  readonly resumes: number;
  /** When clients stood on another connection, ms since 1970. */
  readonly atMs: readonly number[];
  /** Connections made anew that no gateway had asked for: cut, lost or refused in between. */
  readonly unasked: number;
}

/** What was accepted, by each publisher; resends are counted with them. */
export function printReckoning(
  what: string,
  clients: number,
  more: { compared: Comparison; published: readonly PublishCounts[] },
): void {
  const { compared, published } = more;
  measured(what, {
    clients,
    published: compared.published,
    'sent again': published.reduce((sum, { retries }) => sum + retries, 0),
    'deliveries owed': compared.owed,
    lost: compared.lost.length,
    doubled: compared.doubled.length,
    'out of order': compared.outOfOrder,
    'p50 ms': compared.p50Ms ?? 'none',
    'p99 ms': compared.p99Ms ?? 'none',
    'max ms': compared.maxMs ?? 'none',
  });
}

/** Throws with the first of what is wrong. @param context said besides */
export function assertNothingLost(what: string, compared: Comparison, context: string): void {
  const { lost, doubled, outOfOrder, strangers } = compared;
  assert.deepEqual(
    { lost: lost.slice(0, 5), doubled: doubled.slice(0, 5), outOfOrder, strangers },
    { lost: [], doubled: [], outOfOrder: 0, strangers: 0 },
    `${what}: lost ${lost.length}, doubled ${doubled.length}, out of order ${outOfOrder}, strangers ${strangers}; ${context}`,
  );
}

/** How clients moved between two looks at their counters. */
export function movesBetween(before: readonly FleetCounts[], after: readonly FleetCounts[]): Moves {
  const rise = (count: (counters: ClientCounters) => number): number => total(after, count) - total(before, count);
  return {
    registryCalls: rise(({ registryCalls: { register, renew, assign } }) => register + renew + assign),
    resumes: rise(({ resumes }) => resumes),
    atMs: reconnectsOf(after),
    unasked: Math.max(
      0,
      rise(({ welcomes, goaways, resyncs }) => welcomes - goaways - resyncs),
    ),
  };
}

export function reconnectsOf(all: readonly FleetCounts[]): readonly number[] {
  return all.flatMap(({ reconnectsAtMs }) => reconnectsAtMs).toSorted((a, b) => a - b);
}

function total(all: readonly FleetCounts[], count: (counters: ClientCounters) => number): number {
  return all.reduce((sum, { counters }) => sum + count(counters), 0);
}
