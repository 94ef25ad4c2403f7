// Whether connection counts may be believed: every gateway answered, and Prometheus, where there is one, says about the same. Where
// they are not, scale-in of an autoscaled cluster freezes and scale-out goes on. Pure; plan.ts and status.ts call it.
import type { Cluster, Observed } from './types.ts';
import { isPodReady } from './gateway-state.ts';

export interface Trust {
  readonly isTrusted: boolean;
  readonly reason: 'AllAnswered' | 'SourcesAgree' | 'GatewayUnknown' | 'PrometheusMissing' | 'SourcesDisagree';
  readonly message: string;
}

/** A scrape is up to 30 s old: counts that differ by less than both of these agree. */
const TOLERANCE_SHARE = 0.2;
const TOLERANCE_CONNECTIONS = 100;

export function judgeMetrics(cluster: Cluster, observed: Observed): Trust {
  const silent = observed.gateways.filter((g) => g.answer.kind === 'unknown' && isPodReady(g.pod));
  if (silent.length > 0) {
    const names = silent.map((g) => g.name).join(', ');
    return { isTrusted: false, reason: 'GatewayUnknown', message: `No answer from the admin port of ${names}` };
  }
  const { prometheus } = observed;
  if (prometheus === null)
    return { isTrusted: true, reason: 'AllAnswered', message: 'Every ready gateway told its connections' };
  if (prometheus.connections === null)
    return {
      isTrusted: false,
      reason: 'PrometheusMissing',
      message: `${cluster.spec.observability.prometheusUrl ?? 'Prometheus'}: ${prometheus.detail}`,
    };
  return compareSources(observed, prometheus.connections);
}

function compareSources(observed: Observed, scraped: ReadonlyMap<string, number>): Trust {
  const wrong: string[] = [];
  for (const gateway of observed.gateways) {
    if (gateway.answer.kind === 'unknown') continue;
    const direct = gateway.answer.state.connections;
    const other = scraped.get(gateway.name);
    if (other === undefined) wrong.push(`${gateway.name}: ${direct} here, nothing in Prometheus`);
    else if (Math.abs(direct - other) > Math.max(TOLERANCE_CONNECTIONS, TOLERANCE_SHARE * Math.max(direct, other)))
      wrong.push(`${gateway.name}: ${direct} here, ${other} in Prometheus`);
  }
  if (wrong.length > 0) return { isTrusted: false, reason: 'SourcesDisagree', message: wrong.join('; ') };
  return { isTrusted: true, reason: 'SourcesAgree', message: 'Prometheus and the gateways tell the same connections' };
}
