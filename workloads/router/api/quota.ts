// What an app may push in a second: messages, recipients, bytes of bodies; each a token bucket that holds one second's worth. All are taken
// together, or none, before anything is stored. A quota is the app's in all: each router gives its share, the quota divided by the routers
// that are alive, so the total holds as far as callers spread over routers. waiting.ts bounds what is stored.
import type { AppDefinition } from '../../protocol/apps.ts';
import type { AppId } from '../../protocol/ids.ts';

/** What one message costs. */
export interface Cost {
  readonly recipients: number;
  readonly bytes: number;
}
export type QuotaName = 'messagesPerSecond' | 'recipientsPerSecond' | 'bytesPerSecond';
/** The quota that is used up, and in how many ms there is room. */
export interface Held {
  readonly quota: QuotaName;
  readonly waitMs: number;
}

const QUOTAS: readonly QuotaName[] = ['messagesPerSecond', 'recipientsPerSecond', 'bytesPerSecond'];
/** What an app with a quota of 0 is told: come back when someone has changed it. */
const NEVER_MS = 60_000;
const ONE: Cost = { recipients: 1, bytes: 0 };

export class Quotas {
  readonly #buckets = new Map<AppId, Map<QuotaName, Bucket>>();
  readonly #routers: () => number;

  /** @param routers how many routers share the quotas now; at least 1 */
  constructor(routers: () => number = () => 1) {
    this.#routers = routers;
  }

  /**
   * Takes one message of the app's quotas.
   * @param nowMs milliseconds that never go back
   * @returns null when it is taken
   */
  take(app: AppDefinition, nowMs: number, cost: Cost = ONE): Held | null {
    const limited = QUOTAS.filter((quota) => app.quotas[quota] !== undefined);
    if (limited.length === 0) return null;
    const buckets = this.#bucketsOf(app.name);
    for (const quota of limited) {
      const rate = app.quotas[quota]! / Math.max(1, this.#routers());
      const waitMs = bucketOf(buckets, quota).refill(rate, nowMs, costOf(quota, cost));
      if (waitMs > 0) return { quota, waitMs };
    }
    for (const quota of limited) bucketOf(buckets, quota).tokens -= costOf(quota, cost);
    return null;
  }

  /** Buckets of apps that are gone are dropped. */
  keep(apps: readonly AppDefinition[]): void {
    const names = new Set(apps.map((app) => app.name));
    for (const name of this.#buckets.keys()) if (!names.has(name)) this.#buckets.delete(name);
  }

  #bucketsOf(app: AppId): Map<QuotaName, Bucket> {
    let buckets = this.#buckets.get(app);
    if (buckets === undefined) this.#buckets.set(app, (buckets = new Map()));
    return buckets;
  }
}

function bucketOf(buckets: Map<QuotaName, Bucket>, quota: QuotaName): Bucket {
  let bucket = buckets.get(quota);
  if (bucket === undefined) buckets.set(quota, (bucket = new Bucket()));
  return bucket;
}

function costOf(quota: QuotaName, cost: Cost): number {
  if (quota === 'messagesPerSecond') return 1;
  return quota === 'recipientsPerSecond' ? cost.recipients : cost.bytes;
}

/** Tokens of one quota; full at first. quota.ts and client-rate.ts count with it. */
export class Bucket {
  tokens = Infinity;
  #filledMs = 0;

  /**
   * Fills up to now. What costs more than a second's worth may go when the bucket is full, and leaves a debt: a list of 100,000 passes
   * a quota of 10,000 a second, and nothing else does for ten seconds.
   * @returns 0: it may be taken; else in how many ms
   */
  refill(rate: number, nowMs: number, cost: number): number {
    if (rate <= 0) return NEVER_MS;
    const most = Math.max(1, rate);
    this.tokens = Math.min(most, this.tokens + (Math.max(0, nowMs - this.#filledMs) / 1000) * rate);
    this.#filledMs = nowMs;
    const need = Math.min(cost, most);
    return this.tokens >= need ? 0 : Math.ceil(((need - this.tokens) * 1000) / rate);
  }
}
