// What one pod of a role says on /metrics, as Prometheus would scrape it.
import type { Pod } from '../cluster/kubectl.ts';

const ADMIN_PORT = 9090;

/** A metric summed over its labels (those that have `label` in them, when it is given); 0 when the pod has none of that name. */
export async function metricOfRole(pod: Pod, metric: string, label = ''): Promise<number> {
  const url = `http://${pod.status.podIP}:${ADMIN_PORT}/metrics`;
  const text = await (await fetch(url, { signal: AbortSignal.timeout(5_000) })).text();
  return text
    .split('\n')
    .filter((row) => row.startsWith(`${metric} `) || (row.startsWith(`${metric}{`) && row.includes(label)))
    .reduce((sum, row) => sum + Number(row.slice(row.lastIndexOf(' ') + 1)), 0);
}
