// Which gateways a device is given, best first (A3): a table is built when the eligible gateways change, and each request walks it.
// Pure; directory.ts decides who is eligible and keeps the table, api.ts asks for each request.
import type { GatewayName } from '../protocol/ids.ts';
import type { Strategy } from '../protocol/routing.ts';
import { buildRing, hashText, ringFrom } from '../runtime/ring.ts';
import type { Ring } from '../runtime/ring.ts';

/** An eligible gateway. */
export interface Candidate {
  readonly name: GatewayName;
  readonly url: string;
  /** 1–1000 */
  readonly weight: number;
  /** Connections it is sized for. */
  readonly capacity: number;
}

export interface AssignTable {
  readonly strategy: Strategy;
  /** In order of name, so that every registry has the same order. */
  readonly candidates: readonly Candidate[];
  /** Consistent hash only; else null. */
  readonly ring: Ring | null;
  /** Running sums of the weights. */
  readonly sums: Float64Array;
}

/** What is known of the load; anew with each poll of the leases. Indexes are those of the table's candidates. */
export interface Loads {
  /** At capacity: given only when all others are, too. */
  readonly full: readonly boolean[];
  /** Above its bound for consistent hashing. */
  readonly over: readonly boolean[];
}

export interface AssignRequest {
  /** The same for the same device at every registry: `app/device`. */
  readonly key: string;
  /** Rises by one with each request. */
  readonly turn: number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Gateways that failed the client: given last. */
  readonly exclude: ReadonlySet<string>;
  readonly loads: Loads;
}

/** Gateways in an answer: one to use, two to fall back on. */
export const ASSIGNED_MAX = 3;
/** Bounded load: a gateway takes at most this factor of its share … */
const LOAD_FACTOR = 1.25;
/** … and a few more, so that the bound is no noise while there are few connections. */
const LOAD_SLACK = 16;

/** Candidates → table. Cost: O(n log n); consistent hash O(p log p) with 1.6 points for each unit of weight. */
export function buildAssignTable(strategy: Strategy, candidates: readonly Candidate[]): AssignTable {
  const sorted = [...candidates].sort((a, b) => (a.name < b.name ? -1 : 1));
  const sums = new Float64Array(sorted.length);
  let sum = 0;
  for (const [i, candidate] of sorted.entries()) sums[i] = sum += candidate.weight;
  const ring = strategy === 'consistent-hash' ? buildRing(sorted) : null;
  return { strategy, candidates: sorted, ring, sums };
}

/** Connections of each gateway → who is full and who is above its bound. Unknown ones count as 0. */
export function describeLoads(table: AssignTable, connections: ReadonlyMap<GatewayName, number>): Loads {
  const held = table.candidates.map((candidate) => connections.get(candidate.name) ?? 0);
  const total = held.reduce((sum, n) => sum + n, 0);
  const weights = table.sums.at(-1) ?? 0;
  return {
    full: table.candidates.map((candidate, i) => candidate.capacity > 0 && held[i]! >= candidate.capacity),
    over: table.candidates.map(
      (candidate, i) => held[i]! >= Math.ceil((LOAD_FACTOR * (total + 1) * candidate.weight) / weights) + LOAD_SLACK,
    ),
  };
}

/** At most ASSIGNED_MAX different gateways, best first: those that are full, over their bound or excluded come last. */
export function assignGateways(table: AssignTable, request: AssignRequest): readonly Candidate[] {
  const chosen: number[] = [];
  const deferred: number[] = [];
  for (const index of orderOf(table, request)) {
    if (isDeferred(table, request, index)) deferred.push(index);
    else chosen.push(index);
    if (chosen.length === ASSIGNED_MAX) break;
  }
  const rank = (index: number): number =>
    (request.exclude.has(table.candidates[index]!.name) ? 2 : 0) + (request.loads.full[index] === true ? 1 : 0);
  deferred.sort((a, b) => rank(a) - rank(b)); // stable: what is equal stays in the strategy's order
  return [...chosen, ...deferred].slice(0, ASSIGNED_MAX).map((index) => table.candidates[index]!);
}

function isDeferred(table: AssignTable, request: AssignRequest, index: number): boolean {
  if (request.exclude.has(table.candidates[index]!.name) || request.loads.full[index] === true) return true;
  return table.strategy === 'consistent-hash' && request.loads.over[index] === true;
}

/** Every index once, in the strategy's order of preference. */
function orderOf(table: AssignTable, request: AssignRequest): Iterable<number> {
  return table.candidates.length === 0 ? [] : ORDERS[table.strategy](table, request);
}

const ORDERS: Readonly<Record<Strategy, (table: AssignTable, request: AssignRequest) => Iterable<number>>> = {
  'round-robin': (table, { turn }) => cycleFrom(turn % table.candidates.length, table.candidates.length),
  'hash-mod': (table, { key }) => cycleFrom(hashText(key) % table.candidates.length, table.candidates.length),
  'consistent-hash': (table, { key }) => ringFrom(table.ring!, key),
  // One walk for both: the difference is who sets the weights, a person or the operator from live load.
  weighted: (table, { random }) => drawnByWeight(table.sums, random),
  'least-loaded': (table, { random }) => drawnByWeight(table.sums, random),
};

function* cycleFrom(start: number, n: number): Generator<number> {
  for (let i = 0; i < n; i++) yield (start + i) % n;
}

/** Draws by weight, without putting back: a draw that hits a gateway drawn before is repeated, then the rest comes in order. */
function* drawnByWeight(sums: Float64Array, random: () => number): Generator<number> {
  const drawn = new Set<number>();
  const total = sums.at(-1)!;
  for (let tries = 0; drawn.size < sums.length && tries < 4 * ASSIGNED_MAX; tries++) {
    const index = firstAbove(sums, random() * total);
    if (drawn.has(index)) continue;
    drawn.add(index);
    yield index;
  }
  for (let index = 0; index < sums.length; index++) if (!drawn.has(index)) yield index;
}

function firstAbove(sums: Float64Array, value: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
