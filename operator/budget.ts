// The reconnect budget: connections a second that may be asked to move, over the whole cluster. Each draining gateway paces itself
// at its share, so the shares together are the cluster's token bucket. A share is raised only once the others are known to have
// come down, so that the sum never passes the budget, not even between two writes. Pure; plan.ts calls it.

export interface Spender {
  readonly name: string;
  /** Sessions that are still to move; null: not known. */
  readonly left: number | null;
  /** Rate that the gateway says it has now; 0: it is not draining yet. Null: not known, and then it may be spending everything. */
  readonly ratePerSecond: number | null;
}

/** A gateway that is told to drain has some rate, however many share: the port takes nothing below. */
const RATE_MIN = 0.1;

/**
 * Shares by name; their sum is at most `perSecond`. A gateway with few left needs no more than it has sessions, and what it
 * leaves goes to the others. Cost: O(n log n).
 */
export function shareBudget(perSecond: number, spenders: readonly Spender[]): ReadonlyMap<string, number> {
  const shares = new Map<string, number>();
  const byNeed = spenders.toSorted((a, b) => needOf(a) - needOf(b) || (a.name < b.name ? -1 : 1));
  let rest = perSecond;
  for (const [i, spender] of byNeed.entries()) {
    const even = rest / (byNeed.length - i);
    const share = Math.max(Math.min(even, Math.max(needOf(spender), RATE_MIN)), Math.min(even, RATE_MIN));
    const rounded = share >= 1 ? Math.floor(share) : share;
    shares.set(spender.name, rounded);
    rest -= rounded;
  }
  return shares;
}

/**
 * What each may be told now: its share, or less while others still have more than theirs. Those without a rate to give (the
 * budget is still held by others) are left out and wait.
 */
export function grantRates(perSecond: number, spenders: readonly Spender[]): ReadonlyMap<string, number> {
  const shares = shareBudget(perSecond, spenders);
  const held = (s: Spender): number => s.ratePerSecond ?? perSecond;
  const grants = new Map<string, number>();
  for (const spender of spenders) {
    const share = shares.get(spender.name)!;
    if (spender.ratePerSecond !== null && share <= spender.ratePerSecond) grants.set(spender.name, share);
  }
  let spent = spenders.reduce((sum, s) => sum + Math.max(held(s), grants.get(s.name) ?? 0), 0);
  for (const spender of spenders) {
    if (grants.has(spender.name) || spender.ratePerSecond === null) continue;
    const room = perSecond - (spent - held(spender));
    const rate = Math.min(shares.get(spender.name)!, room >= 1 ? Math.floor(room) : room);
    if (rate < RATE_MIN / 10 || rate <= held(spender)) continue;
    grants.set(spender.name, rate);
    spent += rate - held(spender);
  }
  return grants;
}

function needOf(spender: Spender): number {
  return spender.left ?? Number.POSITIVE_INFINITY;
}
