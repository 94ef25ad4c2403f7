// A metric that is read when /metrics is asked: its rows come from plain numbers that the router counts. metrics.ts and metrics-api.ts
// register theirs with it.
import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

export type Row = readonly [labels: Readonly<Record<string, string>>, value: number];
export interface Named {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

export const PREFIX = 'pushcluster_router_';

/** Named without the prefix. */
export function counter(register: Registry, named: Named, read: () => readonly Row[]): void {
  const { name, help, labelNames = [] } = named;
  register.registerMetric(
    new Counter({
      name: PREFIX + name,
      help,
      labelNames: [...labelNames],
      registers: [],
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value);
      },
    }),
  );
}

/** Named in full: some names are shared with other parts. */
export function gauge(register: Registry, named: Named, read: () => readonly Row[]): void {
  const { name, help, labelNames = [] } = named;
  register.registerMetric(
    new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [],
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.set(labels, value);
      },
    }),
  );
}
