import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planDrains } from './drain.ts';
import type { DrainPlan, GatewayPlan } from './drain.ts';
import {
  aCluster,
  aDrainingGateway,
  aGateway,
  aGatewaySet,
  anObserved,
  answering,
  aRouting,
  aRow,
  isoAt,
  NOW_MS,
  SILENT,
} from './fixtures.ts';
import type { Observed, ObservedGateway } from './types.ts';

const BEGUN = isoAt(-5000);
const draining = (ordinal: number, since = BEGUN): ReturnType<typeof aRow> =>
  aRow(ordinal, { state: 'draining', weight: 0, since });

interface Given {
  readonly wanted?: number;
  readonly live?: number;
  readonly gateways: readonly ObservedGateway[];
  readonly rows?: Parameters<typeof aRouting>[0];
  readonly set?: Parameters<typeof aGatewaySet>[1];
  readonly spec?: Record<string, unknown>;
  readonly isFrozen?: boolean;
  readonly deletedAtMs?: number;
}

function planFor(given: Given): DrainPlan {
  const { wanted = 2, live = wanted, gateways, rows, spec = {} } = given;
  const cluster = aCluster({ gateway: { replicas: wanted }, ...spec }, { deletedAtMs: given.deletedAtMs ?? null });
  const observed: Observed = anObserved({
    gateways,
    gatewaySet: aGatewaySet(live, given.set),
    routing: aRouting(rows ?? gateways.map((g) => aRow(g.ordinal))),
  });
  return planDrains(cluster, observed, { nowMs: NOW_MS, isFrozen: given.isFrozen ?? false });
}
const of = (plan: DrainPlan, ordinal: number): GatewayPlan => plan.gateways.find((g) => g.gateway.ordinal === ordinal)!;
const phases = (plan: DrainPlan): string =>
  plan.gateways.map((g) => `${g.gateway.ordinal}:${g.phase}${g.step === 'none' ? '' : `/${g.step}`}`).join(' ');

describe('planDrains: scale-in', () => {
  it('drains the highest and has the others that leave wait', () => {
    const plan = planFor({ wanted: 1, live: 3, gateways: [aGateway(0), aGateway(1), aGateway(2)] });
    assert.equal(phases(plan), '0:active 1:waiting 2:draining');
    assert.equal(plan.replicas, 3);
  });

  const empty = aDrainingGateway(2, BEGUN);
  const busy = aDrainingGateway(2, BEGUN, { sessions: 3 });
  const unacked = aDrainingGateway(2, BEGUN, { unacked: 1 });
  const told = { wanted: 2, live: 3, rows: [aRow(0), aRow(1), draining(2)] } as const;
  const long = isoAt(-700_000);
  const overdue = { wanted: 2, live: 3, rows: [aRow(0), aRow(1), draining(2, long)] } as const;
  const gone = { ...aGateway(2), answer: SILENT };
  const gates = [aGateway(0), aGateway(1)];

  const cases: readonly (readonly [string, Given, number, RegExp | null])[] = [
    ['removes one that is drained', { ...told, gateways: [...gates, empty] }, 2, null],
    ['not one with sessions', { ...told, gateways: [...gates, busy] }, 3, /sessions are moving/],
    ['not one with unacked deliveries', { ...told, gateways: [...gates, unacked] }, 3, /sessions are moving/],
    [
      'not one that is empty by chance and was not told',
      { ...told, gateways: [...gates, aGateway(2)] },
      3,
      /sessions are moving/,
    ],
    ['not one told by another drain', { ...told, gateways: [...gates, aDrainingGateway(2, isoAt(-9))] }, 3, /moving/],
    [
      'not before the drain is on record',
      { ...told, rows: [aRow(0), aRow(1), aRow(2)], gateways: [...gates, empty] },
      3,
      /on record/,
    ],
    ['not one that does not answer', { ...told, gateways: [...gates, gone] }, 3, /nothing is known/],
    [
      'one with sessions past the deadline',
      { ...overdue, gateways: [...gates, aDrainingGateway(2, long, { sessions: 3 })] },
      2,
      null,
    ],
    [
      'not a silent one past the deadline while its pod is Ready',
      { ...overdue, gateways: [...gates, gone] },
      3,
      /although its pod is Ready/,
    ],
    [
      'a silent one past the deadline whose pod is not Ready',
      { ...overdue, gateways: [...gates, aGateway(2, { answer: SILENT, shape: { isReady: false } })] },
      2,
      null,
    ],
    [
      'one that never ran',
      { ...told, gateways: [...gates, aGateway(2, { answer: SILENT, shape: { isReady: false, phase: 'Pending' } })] },
      2,
      null,
    ],
    [
      'one whose container waits to be started again',
      { ...told, gateways: [...gates, aGateway(2, { answer: SILENT, shape: { isReady: false, waiting: true } })] },
      2,
      null,
    ],
    ['not while counts are not trusted', { ...told, isFrozen: true, gateways: [...gates, empty] }, 3, /frozen/],
    [
      'not while the controller has not seen the last change',
      { ...told, set: { generation: 2, seen: 1 }, gateways: [...gates, empty] },
      3,
      /not over/,
    ],
    [
      'not while the pod removed before is still there',
      { ...told, gateways: [...gates, empty, aGateway(3, { shape: { deletedMs: NOW_MS } })] },
      3,
      /not over/,
    ],
    ['one that has no pod at all', { ...told, gateways: gates }, 2, null],
    [
      'not one without a pod while the controller is behind',
      { ...told, set: { generation: 2, seen: 1 }, gateways: gates },
      3,
      null,
    ],
  ];
  for (const [what, given, replicas, hold] of cases) {
    it(what, () => {
      const plan = planFor(given);
      assert.equal(plan.replicas, replicas);
      if (hold !== null) assert.match(of(plan, 2).hold ?? '', hold);
    });
  }

  it('begins none while counts are not trusted, and leaves the weights', () => {
    const plan = planFor({ wanted: 1, live: 2, isFrozen: true, gateways: [aGateway(0), aGateway(1)] });
    assert.equal(phases(plan), '0:active 1:active');
    assert.equal(plan.replicas, 2);
  });

  it('calls it off when it is wanted again', () => {
    const plan = planFor({ wanted: 3, live: 3, rows: told.rows, gateways: [...gates, busy] });
    assert.equal(phases(plan), '0:active 1:active 2:active/cancel');
  });

  it('keeps one out of routing whose drain cannot be called off', () => {
    const plan = planFor({ wanted: 3, live: 3, rows: told.rows, gateways: [...gates, gone] });
    assert.equal(phases(plan), '0:active 1:active 2:draining');
    assert.match(of(plan, 2).hold ?? '', /called off/);
  });

  it('goes up in one step', () => assert.equal(planFor({ wanted: 5, live: 2, gateways: gates }).replicas, 5));

  it('reads the start from the gateway when the document has it not', () => {
    const plan = planFor({ ...told, rows: [aRow(0), aRow(1), aRow(2)], gateways: [...gates, busy] });
    assert.equal(of(plan, 2).since, BEGUN);
    assert.equal(of(plan, 2).deadlineMs, NOW_MS - 5000 + 600_000);
  });
});

describe('planDrains: rollout', () => {
  const set = { revision: 'r2' } as const;
  const fresh = { revision: 'r2' } as const;

  it('drains outdated gateways from the highest, as many at once as may be away', () => {
    const gateways = [aGateway(0), aGateway(1), aGateway(2)];
    assert.equal(phases(planFor({ wanted: 3, set, gateways })), '0:active 1:active 2:draining');
    const two = planFor({ wanted: 3, set, gateways, spec: { disruption: { maxUnavailable: 2 } } });
    assert.equal(phases(two), '0:active 1:draining 2:draining');
  });

  it('waits for the replaced one to serve', () => {
    const starting = aGateway(2, { shape: { ...fresh, isReady: false }, answer: SILENT });
    const plan = planFor({ wanted: 3, set, rows: [aRow(0), aRow(1)], gateways: [aGateway(0), aGateway(1), starting] });
    assert.equal(phases(plan), '0:active 1:active 2:starting');
    const accepting = aGateway(2, { shape: fresh, answer: answering({ state: 'starting' }) });
    const later = planFor({
      wanted: 3,
      set,
      rows: [aRow(0), aRow(1)],
      gateways: [aGateway(0), aGateway(1), accepting],
    });
    assert.equal(phases(later), '0:active 1:active 2:starting', 'Ready is not enough: it must say active itself');
  });

  it('waits for one that is missing', () => {
    assert.equal(phases(planFor({ wanted: 3, set, gateways: [aGateway(0), aGateway(1)] })), '0:active 1:active');
  });

  it('replaces broken ones first, whatever else is away', () => {
    const broken = aGateway(0, { answer: SILENT, shape: { isReady: false, waiting: true } });
    const plan = planFor({
      wanted: 3,
      set,
      rows: [draining(0), aRow(1), aRow(2)],
      gateways: [broken, aGateway(1), aGateway(2)],
    });
    assert.equal(phases(plan), '0:draining/replace 1:active 2:active');
  });

  it('replaces one that is drained', () => {
    const plan = planFor({
      wanted: 2,
      set,
      rows: [aRow(0), draining(1)],
      gateways: [aGateway(0), aDrainingGateway(1, BEGUN)],
    });
    assert.equal(phases(plan), '0:active 1:draining/replace');
  });

  it('is not over while the controller is behind: a drain goes on, and nothing is removed', () => {
    const behind = { revision: 'r1', generation: 2, seen: 1 };
    const gateways = [aGateway(0), aDrainingGateway(1, BEGUN)];
    const plan = planFor({ wanted: 2, set: behind, rows: [aRow(0), draining(1)], gateways });
    assert.equal(phases(plan), '0:active 1:draining');
    assert.match(of(plan, 1).hold ?? '', /revision is not known/);
  });

  it('calls the drain off when the old revision is wanted again', () => {
    const gateways = [aGateway(0), aDrainingGateway(1, BEGUN, { sessions: 5 })];
    assert.equal(phases(planFor({ wanted: 2, rows: [aRow(0), draining(1)], gateways })), '0:active 1:active/cancel');
  });

  it('takes a row of an earlier life of the pod for what it is', () => {
    const young = aGateway(1, { shape: { ...fresh, createdMs: NOW_MS, isReady: false }, answer: SILENT });
    const plan = planFor({
      wanted: 2,
      set,
      rows: [aRow(0), draining(1)],
      gateways: [aGateway(0, { shape: fresh }), young],
    });
    assert.equal(phases(plan), '0:active 1:starting');
  });
});

describe('planDrains: nodes, watchdog, deletion', () => {
  it('drains a gateway whose node is cordoned, then has it replaced', () => {
    const cordoned = aGateway(1, { isCordoned: true });
    assert.equal(phases(planFor({ gateways: [aGateway(0), cordoned] })), '0:active 1:draining');
    const drained = { ...aDrainingGateway(1, BEGUN), isCordoned: true };
    const plan = planFor({ rows: [aRow(0), draining(1)], gateways: [aGateway(0), drained] });
    assert.equal(phases(plan), '0:active 1:draining/replace');
  });

  it('sends nobody to a gateway whose pod is being ended', () => {
    const ending = aGateway(1, { shape: { deletedMs: NOW_MS } });
    assert.equal(phases(planFor({ gateways: [aGateway(0), ending] })), '0:active 1:draining');
  });

  const away = (unreadyForMs: number, more: object = {}): ObservedGateway =>
    aGateway(1, { answer: SILENT, shape: { isReady: false, unreadyForMs }, ...more });

  it('replaces one that was away for the whole deadline, not before', () => {
    assert.equal(phases(planFor({ gateways: [aGateway(0), away(599_999)] })), '0:active 1:active');
    assert.equal(phases(planFor({ gateways: [aGateway(0), away(600_000)] })), '0:active 1:active/replace');
  });

  it('replaces nobody when no gateway serves: then it is not the gateway that is at fault', () => {
    const plan = planFor({ gateways: [{ ...away(700_000), ordinal: 0, name: 'demo-gateway-0' }, away(700_000)] });
    assert.equal(phases(plan), '0:active 1:active');
  });

  it('does not replace one that crashes by itself: the kubelet starts it again', () => {
    const crashing = aGateway(1, { answer: SILENT, shape: { isReady: false, unreadyForMs: 700_000, waiting: true } });
    assert.equal(phases(planFor({ gateways: [aGateway(0), crashing] })), '0:active 1:active');
  });

  it('erases a pod on a dead node a minute after it should have been gone', () => {
    const dead = (deletedMs: number): ObservedGateway =>
      aGateway(1, { answer: SILENT, shape: { isReady: false, deletedMs } });
    assert.equal(phases(planFor({ gateways: [aGateway(0), dead(NOW_MS - 59_000)] })), '0:active 1:draining');
    assert.equal(phases(planFor({ gateways: [aGateway(0), dead(NOW_MS - 60_000)] })), '0:active 1:draining/force');
  });

  it('never erases a pod whose gateway answers', () => {
    const alive = aGateway(1, { shape: { isReady: false, deletedMs: NOW_MS - 700_000 } });
    assert.equal(of(planFor({ gateways: [aGateway(0), alive] }), 1).step, 'none');
  });

  it('drains all at once when the cluster goes, and removes no pod itself', () => {
    const gateways = [aDrainingGateway(0, BEGUN), aDrainingGateway(1, BEGUN, { sessions: 9 })];
    const plan = planFor({ deletedAtMs: NOW_MS - 5000, rows: [draining(0), draining(1)], gateways });
    assert.equal(phases(plan), '0:draining 1:draining');
    assert.deepEqual(
      plan.gateways.map((g) => g.isDrained),
      [true, false],
    );
    assert.equal(plan.replicas, 2);
  });
});
