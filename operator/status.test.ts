import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assess } from './assess.ts';
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
import { describeRefusal, describeStatus } from './status.ts';
import type { Cluster, ClusterStatus, ConditionType, Observed } from './types.ts';

const ready = { apiVersion: '', kind: '', metadata: { name: 'x' }, status: { readyReplicas: 1 } };
function observing(over: Partial<Observed> = {}): Observed {
  return anObserved({
    gatewaySet: aGatewaySet(2),
    storeSet: ready,
    registry: ready,
    router: ready,
    drainer: ready,
    routing: aRouting([aRow(0), aRow(1)]),
    gateways: [aGateway(0), aGateway(1)],
    ...over,
  });
}
function statusOf(observed: Observed, cluster: Cluster = aCluster(), failure: string | null = null): ClusterStatus {
  return describeStatus({ cluster, observed, assessment: assess(cluster, observed, NOW_MS) }, failure);
}
const conditionOf = (status: ClusterStatus, type: ConditionType): string => {
  const found = status.conditions.find((c) => c.type === type)!;
  return `${found.status} ${found.reason}`;
};

const messageOf = (status: ClusterStatus, type: ConditionType): string =>
  status.conditions.find((c) => c.type === type)!.message;

describe('describeStatus', () => {
  it('sums the connections of those that answered and counts those that did not', () => {
    const gateways = [aGateway(0, { answer: answering({ connections: 40 }) }), aGateway(1, { answer: SILENT })];
    const status = statusOf(observing({ gateways }));
    assert.deepEqual([status.connections, status.connectionsUnknown], [40, 1]);
    assert.deepEqual(
      status.gateways.map((g) => [g.state, g.connections]),
      [
        ['active', 40],
        ['unknown', null],
      ],
    );
  });

  it('tells what is left of a drain as null when it is not known', () => {
    const since = isoAt(-1000);
    const routing = aRouting([aRow(0), aRow(1, { state: 'draining', weight: 0, since })]);
    const cluster = aCluster({ gateway: { replicas: 1 } });
    const { drain } = statusOf(
      observing({ routing, gateways: [aGateway(0), aGateway(1, { answer: SILENT })] }),
      cluster,
    );
    assert.deepEqual([drain?.gateway, drain?.left, drain?.etaSeconds], ['demo-gateway-1', null, null]);
    const known = statusOf(
      observing({ routing, gateways: [aGateway(0), aDrainingGateway(1, since, { sessions: 900 })] }),
      cluster,
    );
    assert.deepEqual([known.drain?.left, known.drain?.ratePerSecond, known.drain?.etaSeconds], [900, 500, 2]);
    assert.equal(known.drain?.startedAt, since);
  });

  const wasReady = aCluster(
    {},
    {
      status: {
        conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: 'then' }],
      } as unknown as ClusterStatus,
    },
  );
  const half = observing({ gateways: [aGateway(0), aGateway(1, { answer: SILENT, shape: { isReady: false } })] });
  const cases: readonly (readonly [string, Observed, Cluster, ConditionType, string])[] = [
    ['all there', observing(), aCluster(), 'Ready', 'True Serving'],
    ['one of two gateways at first', half, aCluster(), 'Ready', 'False NotReady'],
    ['one of two gateways later: within maxUnavailable', half, wasReady, 'Ready', 'True Serving'],
    ['no gateway', observing({ gateways: [] }), wasReady, 'Ready', 'False NotReady'],
    ['no registry', observing({ registry: null }), wasReady, 'Ready', 'False NotReady'],
    ['no router', observing({ router: null }), wasReady, 'Degraded', 'True RolesNotReady'],
    ['no evaluation Redis', observing({ storeSet: null }), aCluster(), 'Ready', 'False NotReady'],
    [
      'nothing wanted',
      observing({ gateways: [], gatewaySet: aGatewaySet(0) }),
      aCluster({ gateway: { replicas: 0 } }),
      'Ready',
      'True Serving',
    ],
    ['being deleted', observing(), aCluster({}, { deletedAtMs: NOW_MS }), 'Ready', 'False Deleting'],
    ['a broken gateway', half, wasReady, 'Degraded', 'True GatewaysNotReady'],
    [
      'a silent gateway',
      observing({ gateways: [aGateway(0), aGateway(1, { answer: SILENT })] }),
      aCluster(),
      'Degraded',
      'True GatewayUnknown',
    ],
    ['all well', observing(), aCluster(), 'Degraded', 'False Healthy'],
    ['all well', observing(), aCluster(), 'Progressing', 'False Settled'],
    ['more to come', observing(), aCluster({ gateway: { replicas: 3 } }), 'Progressing', 'True ScalingOut'],
    ['fewer to be', observing(), aCluster({ gateway: { replicas: 1 } }), 'Progressing', 'True ScalingIn'],
    [
      'an older revision',
      observing({ gatewaySet: aGatewaySet(2, { revision: 'r2' }) }),
      aCluster(),
      'Progressing',
      'True RollingOut',
    ],
    ['being made', observing({ gatewaySet: null }), aCluster(), 'Progressing', 'True SettingUp'],
    ['no store named', observing(), aCluster(), 'StoreEvaluation', 'True EvaluationRedis'],
    ['counts that hold', observing(), aCluster(), 'MetricsTrusted', 'True AllAnswered'],
  ];
  for (const [what, observed, cluster, type, expected] of cases)
    it(`${type} with ${what}: ${expected}`, () =>
      assert.equal(conditionOf(statusOf(observed, cluster), type), expected));

  it('says what could not be written', () => {
    const status = statusOf(observing(), aCluster(), 'forbidden');
    assert.equal(conditionOf(status, 'Degraded'), 'True WriteFailed');
  });

  it('names pods that cannot run by themselves', () => {
    const stuck = aGateway(1, { answer: SILENT, shape: { isReady: false, waiting: true } });
    const status = statusOf(observing({ routing: aRouting([aRow(0)]), gateways: [aGateway(0), stuck] }));
    assert.match(
      status.conditions.find((c) => c.type === 'Degraded')?.message ?? '',
      /demo-gateway-1: CrashLoopBackOff/,
    );
  });

  it('stamps every condition with the generation, and with the time only when its status changed', () => {
    const status = statusOf(observing(), { ...wasReady, generation: 7 });
    assert.ok(status.conditions.every((c) => c.observedGeneration === 7));
    assert.equal(status.conditions.find((c) => c.type === 'Ready')?.lastTransitionTime, 'then');
    const now = new Date(NOW_MS).toISOString().replace('.000Z', 'Z');
    assert.equal(status.conditions.find((c) => c.type === 'Degraded')?.lastTransitionTime, now);
  });

  it('is the same for the same observation, so that it is not written again', () => {
    const first = statusOf(observing());
    assert.deepEqual(statusOf(observing(), aCluster({}, { status: first })), first);
  });
});

describe('describeRefusal', () => {
  it('keeps what is known of the gateways and says every problem', () => {
    const status = statusOf(observing());
    const refused = describeRefusal({ name: 'demo', generation: 3, status }, ['a: wrong', 'b: wrong'], NOW_MS);
    assert.equal(refused.readyGateways, 2);
    const condition = refused.conditions?.find((c) => c.type === 'Refused');
    assert.deepEqual(
      [condition?.status, condition?.message, condition?.observedGeneration],
      ['True', 'a: wrong; b: wrong', 3],
    );
    assert.equal(new Set(refused.conditions?.map((c) => c.type)).size, refused.conditions?.length);
    const degraded = refused.conditions?.find((c) => c.type === 'Degraded');
    assert.equal(degraded?.reason, 'InvalidSpec', 'the column HEALTH does not say Healthy');
  });
});

describe('what the gateways say of store and bus', () => {
  const bus = { kafka: { brokers: ['k:9092'] } };
  const away = [aGateway(0), aGateway(1, { answer: answering({ store: 'away', bus: 'away' }) })];
  const both = aCluster({ bus });

  it('is True while every one that answers reaches them', () => {
    const gateways = [aGateway(0, { answer: answering({ bus: 'reachable' }) }), aGateway(1, { answer: SILENT })];
    const status = statusOf(observing({ gateways }), both);
    assert.deepEqual(
      [conditionOf(status, 'StoreReachable'), conditionOf(status, 'BusReachable')],
      ['True StoreAnswers', 'True BusAnswers'],
    );
  });

  it('is False as soon as one does not, and says what is done meanwhile', () => {
    const status = statusOf(observing({ gateways: away }), both);
    assert.deepEqual(
      [conditionOf(status, 'StoreReachable'), conditionOf(status, 'BusReachable')],
      ['False StoreAway', 'False BusAway'],
    );
    assert.match(messageOf(status, 'StoreReachable'), /pushes are refused.*sessions open by their tokens/);
    assert.match(messageOf(status, 'Degraded'), /The store does not answer demo-gateway-1: .*The bus does not answer/);
    assert.match(messageOf(status, 'BusReachable'), /demo-gateway-1, or not as asked \(busProblem in its \/readyz\): /);
    assert.equal(conditionOf(status, 'Degraded'), 'True StoreAway');
    assert.equal(conditionOf(status, 'Ready'), 'True Serving', 'clients are served all the same');
  });

  it('says that pushes go through the bus only where there is one that answers', () => {
    const gateways = [aGateway(0), aGateway(1, { answer: answering({ store: 'away', bus: 'reachable' }) })];
    assert.match(messageOf(statusOf(observing({ gateways }), both), 'StoreReachable'), /pushes go through the bus/);
    const without = [aGateway(0, { answer: answering({ store: 'away' }) })];
    const shut = aCluster({ gateway: { replicas: 1 }, auth: { failOpen: false } });
    const message = messageOf(statusOf(observing({ gateways: without }), shut), 'StoreReachable');
    assert.match(message, /pushes are refused.*no session opens that is not open already/);
  });

  it('is Unknown without an answer, and without a bus', () => {
    const status = statusOf(observing({ gateways: [aGateway(0, { answer: SILENT })] }));
    assert.deepEqual(
      [conditionOf(status, 'StoreReachable'), conditionOf(status, 'BusReachable')],
      ['Unknown NoAnswer', 'Unknown NoBus'],
    );
  });

  it('a drainer that is missing makes it Degraded, not unready', () => {
    const status = statusOf(observing({ drainer: null }), aCluster({}, { status: statusOf(observing()) }));
    assert.deepEqual(
      [conditionOf(status, 'Ready'), conditionOf(status, 'Degraded')],
      ['True Serving', 'True RolesNotReady'],
    );
  });
});

describe('gateways that have too much', () => {
  const degradedBy = (state: Parameters<typeof answering>[0]): readonly [string, string] => {
    const status = statusOf(observing({ gateways: [aGateway(0), aGateway(1, { answer: answering(state) })] }));
    return [conditionOf(status, 'Degraded'), messageOf(status, 'Degraded')];
  };
  const cases: readonly (readonly [string, Parameters<typeof answering>[0], RegExp])[] = [
    ['level 1', { shedding: 1 }, /^demo-gateway-1 sheds live messages of the lowest levels$/],
    ['level 2', { shedding: 2 }, /^demo-gateway-1 sheds most live messages$/],
    ['level 3', { shedding: 3 }, /^demo-gateway-1 sheds all live messages and leaves durable ones to their streams$/],
    ['intake that is paused', { intakePaused: true }, /^demo-gateway-1 takes in less/],
  ];
  for (const [what, state, message] of cases)
    it(`are named with ${what}`, () => {
      const [condition, said] = degradedBy(state);
      assert.equal(condition, 'True GatewaysShedLoad');
      assert.match(said, message);
    });
  it('are none while nothing is shed', () => assert.equal(degradedBy({})[0], 'False Healthy'));
});
