// What the gateways themselves say on /metrics, pod by pod, as Prometheus would scrape it. traffic.ts asks whether everything is acked.
import { METRIC } from '../../workloads/protocol/metrics-names.ts';
import { podsOf } from './push-cluster.ts';
import type { Place } from './push-cluster.ts';

const ADMIN_PORT = 9090;

/** Sum of one metric without labels over all gateways. Throws when one of them does not answer: unknown is not zero. */
export async function sumOverGateways(place: Place, metric: keyof typeof METRIC): Promise<number> {
  const pods = await podsOf(place, 'gateway');
  const values = pods.map(async ({ metadata, status }) => {
    const url = `http://${status.podIP}:${ADMIN_PORT}/metrics`;
    const text = await (await fetch(url, { signal: AbortSignal.timeout(5_000) })).text();
    const line = text.split('\n').find((row) => row.startsWith(`${METRIC[metric]} `));
    if (line === undefined) throw new Error(`${metadata.name} does not tell ${METRIC[metric]}`);
    return Number(line.split(' ')[1]);
  });
  return (await Promise.all(values)).reduce((sum, value) => sum + value, 0);
}
