// Metrics of the upstream role: a registry of its own, filled at a scrape from counts.ts and from what the parts tell. The lag of the
// upstream topic and what waits in the dead one together are what was received but not processed (B7).
import { Counter, Gauge, Registry } from 'prom-client';
import { LATENCY_BUCKETS } from './counts.ts';
import type { UpstreamCounts } from './counts.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { LagWatch } from './lag-watch.ts';
import type { MemoryGate } from './memory-gate.ts';

const PREFIX = 'pushcluster_upstream_';

export interface MetricsSources {
  readonly counts: UpstreamCounts;
  readonly deadLetters: DeadLetters;
  readonly lag: LagWatch;
  readonly gate: MemoryGate;
}

type Row = readonly [labels: Readonly<Record<string, string>>, value: number];
interface Named {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

export function openMetrics({ counts, deadLetters, lag, gate }: MetricsSources): Registry {
  const register = new Registry();
  const outcomes = {
    name: 'messages_total',
    help: 'Tries by handler and outcome: handled, duplicate, failed and unavailable (tried again), dead.',
    labelNames: ['handler', 'outcome'],
  };
  add(register, Counter, outcomes, () =>
    [...counts.outcomes.values()].map(({ handler, outcome, count }): Row => [{ handler, outcome }, count]),
  );
  const lagNamed = { name: 'lag', help: 'Records of a topic not settled yet, as last read.', labelNames: ['topic'] };
  add(register, Gauge, lagNamed, () => lag.known().map(({ topic, records }): Row => [{ topic }, records]));
  const single = (metric: typeof Counter | typeof Gauge, name: string, help: string, read: () => number): void =>
    add(register, metric, { name, help }, () => [[{}, read()]]);
  single(Gauge, 'in_hand', 'Messages taken from the bus and not settled yet.', () => counts.inHand);
  single(Gauge, 'dead_letters', 'Dead letters held: listed, not driven again or dropped.', () => deadLetters.size);
  single(Counter, 'dead_letters_redriven_total', 'Dead letters given to the handlers again.', () => counts.redriven);
  single(Counter, 'dead_letters_dropped_total', 'Dead letters dropped by a person.', () => counts.dropped);
  single(Gauge, 'paused', '1 while memory is above its limit and nothing new is taken.', () => (gate.isClosed ? 1 : 0));
  single(Counter, 'pauses_total', 'Times that memory passed its limit.', () => gate.closings);
  addLatency(register, counts);
  return register;
}

function add(
  register: Registry,
  metric: typeof Counter | typeof Gauge,
  named: Named,
  read: () => readonly Row[],
): void {
  register.registerMetric(
    new metric({
      name: PREFIX + named.name,
      help: named.help,
      labelNames: [...(named.labelNames ?? [])],
      registers: [],
      collect(this: Counter | Gauge) {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value);
      },
    }),
  );
}

/** A histogram in its own words, since prom-client's cannot be filled from counts. */
function addLatency(register: Registry, counts: UpstreamCounts): void {
  const name = 'latency_seconds';
  const help = 'Time from when a gateway took a message until it was handled';
  const bounds = [...LATENCY_BUCKETS.map(String), '+Inf'];
  add(register, Counter, { name: `${name}_bucket`, help: `${help}, cumulative.`, labelNames: ['le'] }, () => {
    let sum = 0;
    return bounds.map((le, i): Row => [{ le }, (sum += counts.latency[i] ?? 0)]);
  });
  add(register, Counter, { name: `${name}_sum`, help: `${help}, in all.` }, () => [[{}, counts.latencySeconds]]);
  add(register, Counter, { name: `${name}_count`, help: `${help}, how many.` }, () => [
    [{}, counts.latency.reduce((sum, count) => sum + count, 0)],
  ]);
}
