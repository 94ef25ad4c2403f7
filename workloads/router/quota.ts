// Messages per second of each app: a token bucket that holds one second's worth. api.ts takes one for each message before anything
// is stored. The quota holds for each router by itself: an app's total is the quota times the routers.
import type { AppDefinition } from '../protocol/apps.ts';
import type { AppId } from '../protocol/ids.ts';

interface Bucket {
  tokens: number;
  filledMs: number;
}

export class Quotas {
  readonly #buckets = new Map<AppId, Bucket>();

  /**
   * Takes one message of the app's quota.
   * @param nowMs milliseconds that never go back
   * @returns null when it is taken, else in how many ms one will be free
   */
  take(app: AppDefinition, nowMs: number): number | null {
    const rate = app.quotas.messagesPerSecond;
    if (rate === undefined) return null;
    if (rate === 0) return NEVER_MS;
    const most = Math.max(1, rate);
    let bucket = this.#buckets.get(app.name);
    if (bucket === undefined) this.#buckets.set(app.name, (bucket = { tokens: most, filledMs: nowMs }));
    bucket.tokens = Math.min(most, bucket.tokens + ((nowMs - bucket.filledMs) / 1000) * rate);
    bucket.filledMs = nowMs;
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) / rate) * 1000);
    bucket.tokens--;
    return null;
  }

  /** Buckets of apps that are gone are dropped. */
  keep(apps: readonly AppDefinition[]): void {
    const names = new Set(apps.map((app) => app.name));
    for (const name of this.#buckets.keys()) if (!names.has(name)) this.#buckets.delete(name);
  }
}

/** What an app with a quota of 0 is told: come back when someone has changed it. */
const NEVER_MS = 60_000;
