import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aCluster, aGateway, anObserved, answering, SILENT } from './fixtures.ts';
import { judgeMetrics } from './trust.ts';
import type { Observed } from './types.ts';

const cluster = aCluster({ observability: { prometheusUrl: 'http://prometheus:9090' } });
const gateways = [
  aGateway(0, { answer: answering({ connections: 1000 }) }),
  aGateway(1, { answer: answering({ connections: 50 }) }),
];
const prometheus = (counts: Record<string, number> | null): Observed['prometheus'] => ({
  connections: counts === null ? null : new Map(Object.entries(counts)),
  detail: 'connection refused',
});

describe('judgeMetrics', () => {
  const cases: readonly (readonly [string, Partial<Observed>, string])[] = [
    ['trusts what every gateway told', { gateways }, 'AllAnswered'],
    ['does not while a ready gateway is silent', { gateways: [aGateway(0, { answer: SILENT })] }, 'GatewayUnknown'],
    [
      'minds no silent one that is not ready',
      { gateways: [aGateway(0, { answer: SILENT, shape: { isReady: false } })] },
      'AllAnswered',
    ],
    [
      'trusts two sources that agree',
      { gateways, prometheus: prometheus({ 'demo-gateway-0': 1150, 'demo-gateway-1': 140 }) },
      'SourcesAgree',
    ],
    [
      'does not when they disagree',
      { gateways, prometheus: prometheus({ 'demo-gateway-0': 700, 'demo-gateway-1': 50 }) },
      'SourcesDisagree',
    ],
    [
      'does not when one is missing in Prometheus',
      { gateways, prometheus: prometheus({ 'demo-gateway-0': 1000 }) },
      'SourcesDisagree',
    ],
    ['does not without an answer of Prometheus', { gateways, prometheus: prometheus(null) }, 'PrometheusMissing'],
  ];
  for (const [what, observed, reason] of cases) {
    it(what, () => {
      const trust = judgeMetrics(cluster, anObserved(observed));
      assert.equal(trust.reason, reason);
      assert.equal(trust.isTrusted, reason === 'AllAnswered' || reason === 'SourcesAgree');
    });
  }
  it('says which source says what', () => {
    const { message } = judgeMetrics(
      cluster,
      anObserved({ gateways, prometheus: prometheus({ 'demo-gateway-0': 1, 'demo-gateway-1': 50 }) }),
    );
    assert.equal(message, 'demo-gateway-0: 1000 here, 1 in Prometheus');
  });
});
