// The second source of connection counts: a Prometheus, asked by instant query. observe.ts calls it; trust.ts compares.
import { METRIC } from '../workloads/protocol/metrics-names.ts';
import { isRow } from './kube/fields.ts';
import { childNames } from './types.ts';

export interface ConnectionCounts {
  /** By gateway; null: no usable answer. */
  readonly connections: ReadonlyMap<string, number> | null;
  readonly detail: string;
}
/** MUST NOT reject: no answer is an answer. */
export type PrometheusReader = (
  url: string,
  cluster: { readonly name: string; readonly namespace: string },
) => Promise<ConnectionCounts>;

export function openPrometheus(options: { readonly timeoutMs: number }): PrometheusReader {
  return async (url, cluster) => {
    const query = new URL('api/v1/query', url.endsWith('/') ? url : `${url}/`);
    const pods = `${childNames(cluster.name).gateway}-[0-9]+`;
    query.searchParams.set('query', `${METRIC.connections}{namespace="${cluster.namespace}",pod=~"${pods}"}`);
    try {
      const response = await fetch(query, { signal: AbortSignal.timeout(options.timeoutMs) });
      if (!response.ok) return { connections: null, detail: `expected 200, got ${response.status}` };
      return parseAnswer(await response.json());
    } catch (error) {
      return { connections: null, detail: `no answer: ${error instanceof Error ? error.message : String(error)}` };
    }
  };
}

/** Body of /api/v1/query → connections by pod. */
export function parseAnswer(body: unknown): ConnectionCounts {
  const data = isRow(body) && body['status'] === 'success' ? body['data'] : undefined;
  const result = isRow(data) ? data['result'] : undefined;
  if (!Array.isArray(result)) return { connections: null, detail: 'expected a vector' };
  const connections = new Map<string, number>();
  for (const row of result) {
    const metric = isRow(row) ? row['metric'] : undefined;
    const value: unknown = isRow(row) && Array.isArray(row['value']) ? row['value'][1] : undefined;
    const pod = isRow(metric) ? metric['pod'] : undefined;
    const count = typeof value === 'string' ? Number(value) : Number.NaN;
    if (typeof pod === 'string' && Number.isFinite(count)) connections.set(pod, count);
  }
  return { connections, detail: '' };
}
