// Metrics of a drainer, in a registry of its own: filled at a scrape from counts.ts and from what the parts tell.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { LinkCounters } from '../link/counters.ts';
import type { Counts } from './counts.ts';
import type { Feeds } from './feeds.ts';

export interface DrainerMetrics {
  readonly registry: Registry;
  /** How long a page waited for its turn. */
  readonly waited: (ms: number) => void;
  /** Once the parts are there. */
  show(sources: MetricsSources): void;
}
export interface MetricsSources {
  readonly counts: Counts;
  readonly feeds: Feeds;
  readonly links: LinkCounters;
  readonly drainers: () => number;
  readonly gateways: () => { readonly known: number; readonly up: number };
}

const PREFIX = 'pushcluster_drainer_';

export function openMetrics(): DrainerMetrics {
  const registry = new Registry();
  const wait = new Histogram({
    name: `${PREFIX}wait_seconds`,
    help: 'How long pages waited for their turn.',
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10],
    registers: [registry],
  });
  return { registry, waited: (ms) => wait.observe(ms / 1000), show: (sources) => addSources(registry, sources) };
}

function addSources(registry: Registry, { counts, feeds, links, drainers, gateways }: MetricsSources): void {
  const gauges: readonly [name: string, help: string, read: () => number][] = [
    ['queue', 'Pages that wait for their turn.', () => feeds.queue.waiting],
    ['queue_seconds', 'How long a page asked for now would wait, about.', () => feeds.queue.waitMs / 1000],
    ['rate', 'Entries a second: its share of the budget.', () => feeds.queue.entriesPerSecond],
    ['drainers', 'Drainers that share the budget.', drainers],
    ['gateways', 'Gateways with a lease.', () => gateways().known],
    ['links', 'Links to gateways that stand.', () => gateways().up],
  ];
  for (const [name, help, read] of gauges)
    registry.registerMetric(
      new Gauge({
        name: PREFIX + name,
        help,
        registers: [],
        collect() {
          this.set(read());
        },
      }),
    );
  const counters: readonly [name: string, help: string, read: () => number][] = [
    ['requests_total', 'Pages that gateways asked for.', () => counts.requests],
    ['refused_total', 'Pages put off with a time to come back.', () => counts.refused],
    ['pages_total', 'Pages read and handed on.', () => counts.pages],
    ['entries_total', 'Entries handed on.', () => counts.entries],
    ['bytes_total', 'Bytes of their records.', () => counts.bytes],
    ['dropped_total', 'Pages that nobody waited for any more.', () => counts.dropped],
    ['store_failures_total', 'Calls of the store that failed.', () => counts.storeFailures],
    ['link_frames_in_total', 'Frames that came over links.', () => links.framesIn],
    ['link_frames_out_total', 'Frames sent over links.', () => links.framesOut],
  ];
  for (const [name, help, read] of counters)
    registry.registerMetric(
      new Counter({
        name: PREFIX + name,
        help,
        registers: [],
        collect() {
          this.reset();
          this.inc(read());
        },
      }),
    );
}
