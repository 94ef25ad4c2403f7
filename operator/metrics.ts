// What the operator tells of itself, in a registry of its own: reconciles by outcome and time, failures, keys that wait, and whether
// it leads. main.ts serves it; the embedded process runs without.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface OperatorMetrics {
  reconciled(outcome: string, seconds: number): void;
  failed(): void;
  observeDepth(depth: () => number): void;
  setLeading(isLeading: boolean): void;
  render(): Promise<string>;
  readonly contentType: string;
}

export function openOperatorMetrics(): OperatorMetrics {
  const registry = new Registry();
  const registers = [registry];
  const reconciles = new Counter({
    name: 'pushcluster_operator_reconciles_total',
    help: 'Looks at a PushCluster, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  const seconds = new Histogram({
    name: 'pushcluster_operator_reconcile_seconds',
    help: 'Time that one look took.',
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const failures = new Counter({
    name: 'pushcluster_operator_reconcile_failures_total',
    help: 'Looks that failed and are tried again.',
    registers,
  });
  const leading = new Gauge({ name: 'pushcluster_operator_leading', help: '1 while it leads.', registers });
  return {
    reconciled(outcome, took) {
      reconciles.inc({ outcome });
      seconds.observe(took);
    },
    failed: () => failures.inc(),
    observeDepth(depth) {
      registry.removeSingleMetric('pushcluster_operator_queue_depth');
      const gauge: Gauge = new Gauge({
        name: 'pushcluster_operator_queue_depth',
        help: 'PushClusters that wait to be looked at.',
        registers,
        collect: (): void => gauge.set(depth()),
      });
    },
    setLeading: (isLeading) => leading.set(isLeading ? 1 : 0),
    render: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
