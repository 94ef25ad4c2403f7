// What the registry counts, in a prom-client registry of its own (several registries may run in one process). api.ts counts requests,
// service.ts what they led to; /metrics on the admin port shows them.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Directory } from './directory.ts';

export interface RegistryMetrics {
  readonly register: Registry;
  /** By route (register, renew, assign, close) and outcome (`ok`, or the error code). */
  readonly requests: Counter<'route' | 'outcome'>;
  readonly seconds: Histogram<'route'>;
  readonly assignments: Counter<'gateway'>;
  readonly tokensIssued: Counter;
  /** The store did not answer; tokens were issued all the same (R13). */
  readonly storeFailures: Counter<'operation'>;
}

/** @param directory read at each scrape for the gauges */
export function openMetrics(directory: Directory): RegistryMetrics {
  const register = new Registry();
  const registers = [register];
  const gauge = (name: string, help: string, read: () => number): Gauge =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge(
    'pushcluster_registry_gateways_eligible',
    'Gateways that clients are given now.',
    () => directory.state().eligible,
  );
  gauge('pushcluster_registry_leases_known', '1 while the store tells which gateways are alive, else 0.', () =>
    directory.state().leasesKnown ? 1 : 0,
  );
  gauge('pushcluster_registry_resident_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss());
  gauge('pushcluster_registry_cpu_seconds', 'CPU time of the process since its start.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  return {
    register,
    requests: new Counter({
      name: 'pushcluster_registry_requests_total',
      help: 'Requests by route and outcome: ok, or the code of the error.',
      labelNames: ['route', 'outcome'],
      registers,
    }),
    seconds: new Histogram({
      name: 'pushcluster_registry_request_seconds',
      help: 'Time from the whole request read to its answer.',
      labelNames: ['route'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    }),
    assignments: new Counter({
      name: 'pushcluster_registry_assignments_total',
      help: 'Clients given this gateway as the first of their answer.',
      labelNames: ['gateway'],
      registers,
    }),
    tokensIssued: new Counter({ name: 'pushcluster_registry_tokens_issued_total', help: 'Tokens signed.', registers }),
    storeFailures: new Counter({
      name: 'pushcluster_registry_store_failures_total',
      help: 'Operations of the store that failed while a request went on without it.',
      labelNames: ['operation'],
      registers,
    }),
  };
}
