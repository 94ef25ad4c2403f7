// What a router counts, in a prom-client registry of its own (several routers may run in one process). The push path adds to plain numbers
// (counts.ts); they are read when /metrics is asked. Each has its help text.
import { Histogram, Registry } from 'prom-client';
import { METRIC } from '../protocol/metrics-names.ts';
import type { RouterCounts } from './counts.ts';
import type { Gauges } from './gauges.ts';
import type { Hints } from './delivery/hints.ts';
import type { Intake } from './intake.ts';
import type { Journal } from './push/journal.ts';
import type { LiveQueue } from './delivery/live-queue.ts';
import { addApiMetrics } from './metrics-api.ts';
import { PREFIX, counter, gauge } from './metric.ts';
import type { Row } from './metric.ts';
import type { RouterPeers } from './delivery/router-peers.ts';
import type { Upkeep } from './upkeep.ts';

export interface RouterMetrics {
  readonly register: Registry;
  /** After each HTTP answer. */
  answered(route: string | null, status: number, ms: number): void;
}

export interface MetricsSources {
  readonly intake: Pick<Intake, 'level' | 'bytesPerSecond'>;
  readonly journal: Pick<Journal, 'isNeeded'> | null;
  readonly counts: RouterCounts;
  readonly hints: Hints;
  readonly live: LiveQueue;
  readonly upkeep: Upkeep;
  readonly gauges: { read(): Gauges };
  readonly peers: { readonly current: Pick<RouterPeers, 'count' | 'linksUp'> | null };
}

export function openMetrics(from: MetricsSources): RouterMetrics {
  const register = new Registry();
  addCounters(register, from);
  addLinkCounters(register, from.hints);
  addGauges(register, from);
  addApiMetrics(register, from);
  const seconds = new Histogram({
    name: `${PREFIX}request_seconds`,
    help: 'Time from a request to its answer, by route and status.',
    labelNames: ['route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [register],
  });
  return {
    register,
    answered: (route, status, ms) => seconds.observe({ route: route ?? 'none', status: String(status) }, ms / 1000),
  };
}

function addCounters(register: Registry, { counts }: MetricsSources): void {
  const labelNames = ['class', 'target', 'outcome'];
  counter(
    register,
    { name: 'messages_total', help: 'Messages by what became of them: a state, duplicate, or an error.', labelNames },
    () =>
      [...counts.messages].map(([key, value]): Row => {
        const [cls = '', target = '', outcome = ''] = key.split('/');
        return [{ class: cls, target, outcome }, value];
      }),
  );
  counter(
    register,
    { name: 'hints_total', help: 'Deliveries over links, by how they ended.', labelNames: ['outcome'] },
    () => Object.entries(counts.hints).map(([outcome, value]): Row => [{ outcome }, value]),
  );
  counter(
    register,
    { name: 'webhooks_total', help: 'Posts of notices to apps, by how they ended.', labelNames: ['outcome'] },
    () => Object.entries(counts.webhooks).map(([outcome, value]): Row => [{ outcome }, value]),
  );
  const plain: readonly [name: string, help: string, read: () => number][] = [
    ['live_missed_total', 'Live topic messages not sent to a gateway that was behind.', () => counts.liveMissed],
    ['live_forwarded_total', 'Live messages handed to the router that owns their stream.', () => counts.liveForwarded],
    ['store_failures_total', 'Operations of the store that failed.', () => counts.storeFailures],
    ['bus_failures_total', 'Publishes that the bus did not take.', () => counts.busFailures],
    ['journal_accepted_total', 'Pushes journalled while the store was away.', () => counts.journal.accepted],
    ['journal_stored_total', 'Journalled pushes stored here since.', () => counts.journal.stored],
    ['journal_refused_total', 'Journalled pushes that cannot be stored, set aside.', () => counts.journal.refused],
    ['swept_entries_total', 'Entries expired by this router.', () => counts.sweptEntries],
    ['swept_routes_total', 'Routes of ended gateways removed by this router.', () => counts.sweptRoutes],
  ];
  for (const [name, help, read] of plain) counter(register, { name, help }, () => [[{}, read()]]);
}

function addLinkCounters(register: Registry, { linkCounters }: Hints): void {
  const directions = ['direction'];
  counter(register, { name: 'link_frames_total', help: 'Frames on links.', labelNames: directions }, () => [
    [{ direction: 'in' }, linkCounters.framesIn],
    [{ direction: 'out' }, linkCounters.framesOut],
  ]);
  counter(register, { name: 'link_bytes_total', help: 'Bytes on links.', labelNames: directions }, () => [
    [{ direction: 'in' }, linkCounters.bytesIn],
    [{ direction: 'out' }, linkCounters.bytesOut],
  ]);
  counter(register, { name: 'link_writes_total', help: 'Writes to links: one for each and tick.' }, () => [
    [{}, linkCounters.writes],
  ]);
  counter(register, { name: 'link_closed_total', help: 'Links and attempts ended.', labelNames: ['reason'] }, () =>
    [...linkCounters.closed].map(([reason, value]): Row => [{ reason }, value]),
  );
}

function addGauges(register: Registry, { hints, live, upkeep, peers, journal, intake }: MetricsSources): void {
  const links = () => [...hints.gateways.all()];
  const plain: readonly [name: string, help: string, read: () => number][] = [
    ['links_up', 'Links to gateways that stand.', () => links().filter((link) => link.isUp).length],
    ['gateways', 'Gateways with a lease.', () => links().length],
    [
      'circuits_open',
      'Gateways whose link fails, so that deliveries go over the bus.',
      () => links().filter(({ circuit }) => circuit !== 'closed').length,
    ],
    [
      'hints_unanswered',
      'Deliveries sent over links and not answered yet.',
      () => links().reduce((sum, link) => sum + link.unanswered, 0),
    ],
    ['journalling', '1 while durable pushes go by the journal.', () => (journal?.isNeeded === true ? 1 : 0)],
    ['intake_level', '0: all is taken; 1: no live messages; 2: no durable ones either (B8).', () => intake.level],
    ['bytes_per_second', 'Pushes and links, a mean over about a second.', () => intake.bytesPerSecond],
    ['live_waiting', 'Live messages waiting for room at gateways.', () => live.length],
    ['peers', 'Other routers with a lease.', () => peers.current?.count ?? 0],
    ['peers_up', 'Links to other routers that stand.', () => peers.current?.linksUp ?? 0],
    ['routes_cached', 'Routes in the cache.', () => hints.cachedRoutes],
  ];
  for (const [name, help, read] of plain) gauge(register, { name: PREFIX + name, help }, () => [[{}, read()]]);
  const help = 'Routes in the store, by gateway; «gone»: of lives without a lease. Counted each half minute (A8).';
  gauge(register, { name: METRIC.routesStore, help, labelNames: ['gateway'] }, () => {
    const sums = new Map<string, number>();
    for (const [bootId, routes] of upkeep.routes() ?? []) {
      const gateway = hints.gateways.byBoot(bootId)?.lease.gateway ?? 'gone';
      sums.set(gateway, (sums.get(gateway) ?? 0) + routes);
    }
    return [...sums].map(([gateway, value]): Row => [{ gateway }, value]);
  });
}
