import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeTransitions } from './transitions.ts';
import type { ClusterStatus, ConditionType } from './types.ts';

type Fact = readonly [type: ConditionType, status: string, reason: string];
const statusOf = (...facts: readonly Fact[]): ClusterStatus =>
  ({
    conditions: facts.map(([type, status, reason]) => ({ type, status, reason, message: `${reason}!` })),
  }) as unknown as ClusterStatus;
const store = (status: string): ClusterStatus => statusOf(['StoreReachable', status, 'x']);
const bus = (status: string): ClusterStatus => statusOf(['BusReachable', status, 'x']);
const degraded = (status: string, reason: string): ClusterStatus => statusOf(['Degraded', status, reason]);

describe('what is told when the status turns', () => {
  const cases: readonly (readonly [string, ClusterStatus | null, ClusterStatus, readonly string[]])[] = [
    ['the store goes', store('True'), store('False'), ['Warning StoreAway']],
    ['the store goes while nobody knew', store('Unknown'), store('False'), ['Warning StoreAway']],
    ['the store is away from the beginning', null, store('False'), ['Warning StoreAway']],
    ['the store stays away', store('False'), store('False'), []],
    ['the store is back', store('False'), store('True'), ['Normal StoreBack']],
    ['the store is there from the beginning', null, store('True'), []],
    ['the first gateways answer', store('Unknown'), store('True'), []],
    ['no gateway answers any more', store('True'), store('Unknown'), []],
    ['the bus goes', bus('True'), bus('False'), ['Warning BusAway']],
    ['the bus is back', bus('False'), bus('True'), ['Normal BusBack']],
    ['the bus is given up', bus('False'), bus('Unknown'), []],
    ['load is shed', degraded('False', 'Healthy'), degraded('True', 'GatewaysShedLoad'), ['Warning GatewaysShedLoad']],
    ['load is shed still', degraded('True', 'GatewaysShedLoad'), degraded('True', 'GatewaysShedLoad'), []],
    [
      'load is shed no more',
      degraded('True', 'GatewaysShedLoad'),
      degraded('False', 'Healthy'),
      ['Normal GatewaysKeepUp'],
    ],
    ['something worse came', degraded('True', 'GatewaysShedLoad'), degraded('True', 'StoreAway'), []],
    ['a status from before there were such conditions', statusOf(), statusOf(['Ready', 'True', 'Serving']), []],
  ];
  for (const [what, before, after, expected] of cases)
    it(`${what}: ${expected.join(', ') || 'nothing'}`, () =>
      assert.deepEqual(
        describeTransitions(before, after).map((note) => `${note.type} ${note.reason}`),
        expected,
      ));
});
