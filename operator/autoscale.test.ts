import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decideReplicas } from './autoscale.ts';
import { aCluster, aGateway, anObserved, answering, isoAt, NOW_MS, SILENT } from './fixtures.ts';
import type { AutoscalingStatus, Cluster, Observed } from './types.ts';

const autoscaling = { minReplicas: 2, maxReplicas: 6, targetUtilization: 50, scaleIn: { stabilization: '60s' } };

function clusterWith(replicas: number, memory: Partial<AutoscalingStatus> = {}, more: object = {}): Cluster {
  const cluster = aCluster({
    gateway: { replicas, connectionsPerGateway: 1000 },
    autoscaling: { ...autoscaling, ...more },
  });
  const none = { desired: replicas, reason: '', lowSince: null, lowPeak: null, highSince: null, highFloor: null };
  return { ...cluster, status: { autoscaling: { ...none, ...memory } } as Cluster['status'] };
}
function loads(...connections: readonly (number | null)[]): Observed {
  return anObserved({
    gateways: connections.map((count, i) =>
      aGateway(i, { answer: count === null ? SILENT : answering({ connections: count }) }),
    ),
  });
}

describe('decideReplicas', () => {
  const cases: readonly (readonly [string, Cluster, Observed, number, RegExp])[] = [
    ['as many as needed', clusterWith(2), loads(500, 500), 2, /as many/],
    ['within a tenth of the target it stays', clusterWith(2), loads(545, 545), 2, /as many/],
    ['more at once', clusterWith(2), loads(900, 900), 4, /more/],
    ['no more than the most', clusterWith(2), loads(9000, 9000), 6, /more/],
    ['fewer only after the stabilisation', clusterWith(4), loads(10, 10, 10, 10), 4, /stabilising/],
    ['fewer when it is over', clusterWith(4, { lowSince: isoAt(-60_000), lowPeak: 2 }), loads(1, 1, 1, 1), 2, /fewer/],
    ['not before', clusterWith(4, { lowSince: isoAt(-59_000), lowPeak: 2 }), loads(1, 1, 1, 1), 4, /stabilising/],
    [
      'never below what was needed meanwhile',
      clusterWith(4, { lowSince: isoAt(-60_000), lowPeak: 3 }),
      loads(1, 1, 1, 1),
      3,
      /fewer/,
    ],
    [
      'scale-in freezes while one does not answer',
      clusterWith(4, { lowSince: isoAt(-90_000), lowPeak: 2 }),
      loads(1, null, 1, 1),
      4,
      /frozen/,
    ],
    ['scale-out does not', clusterWith(2), loads(1900, null), 4, /more/],
    [
      'scale-in waits for one that is missing',
      clusterWith(4, { lowSince: isoAt(-90_000), lowPeak: 2 }),
      loads(1, 1, 1),
      4,
      /not every gateway/,
    ],
    ['up to the least', clusterWith(1), loads(0), 2, /within 2 to 6/],
    ['down to the most', clusterWith(9), loads(0), 6, /within 2 to 6/],
  ];
  for (const [what, cluster, observed, replicas, reason] of cases) {
    it(what, () => {
      const decided = decideReplicas(cluster, observed, NOW_MS);
      assert.equal(decided?.replicas, replicas);
      assert.match(decided?.status.reason ?? '', reason);
    });
  }

  it('remembers since when fewer are enough, and the most meanwhile, in the status only', () => {
    const first = decideReplicas(clusterWith(5), loads(1, 1, 1, 1, 1), NOW_MS)!;
    assert.equal(first.status.lowSince, isoAt(0));
    assert.equal(first.status.lowPeak, 2);
    const second = decideReplicas(clusterWith(5, first.status), loads(1400, 1, 1, 1, 1), NOW_MS + 1000)!;
    assert.equal(second.status.lowSince, isoAt(0));
    assert.equal(second.status.lowPeak, 3);
    const over = decideReplicas(clusterWith(5, second.status), loads(500, 500, 500, 500, 500), NOW_MS + 2000)!;
    assert.equal(over.status.lowSince, null, 'as many are needed again: it begins anew');
  });

  it('waits with more, too, where scaleOut.stabilization says so', () => {
    const more = { scaleOut: { stabilization: '30s' } };
    const first = decideReplicas(clusterWith(2, {}, more), loads(900, 900), NOW_MS)!;
    assert.equal(first.replicas, 2);
    const later = decideReplicas(clusterWith(2, first.status, more), loads(900, 900), NOW_MS + 30_000)!;
    assert.equal(later.replicas, 4);
  });

  it('does not decide with engine hpa, nor without autoscaling', () => {
    assert.equal(decideReplicas(clusterWith(2, {}, { engine: 'hpa' }), loads(900, 900), NOW_MS), null);
    assert.equal(decideReplicas(aCluster(), loads(900), NOW_MS), null);
  });
});
