// What the upstream role counts, as plain numbers; metrics.ts reads them at a scrape.

/** Seconds from when the gateway took a message until it was handled. */
export const LATENCY_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

export class UpstreamCounts {
  /** By handler type and outcome: handled, duplicate, failed, unavailable, dead. */
  readonly outcomes = new Map<string, { handler: string; outcome: string; count: number }>();
  readonly latency = Array.from({ length: LATENCY_BUCKETS.length + 1 }, () => 0);
  latencySeconds = 0;
  /** Messages taken from the bus and not settled yet. */
  inHand = 0;
  redriven = 0;
  dropped = 0;

  add(handler: string, outcome: string): void {
    const key = `${handler} ${outcome}`;
    const row = this.outcomes.get(key);
    if (row === undefined) this.outcomes.set(key, { handler, outcome, count: 1 });
    else row.count++;
  }

  took(seconds: number): void {
    const at = LATENCY_BUCKETS.findIndex((most) => seconds <= most);
    this.latency[at === -1 ? LATENCY_BUCKETS.length : at]!++;
    this.latencySeconds += seconds;
  }
}
