import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseRoutingDocument } from '../../protocol/routing.ts';
import { Targets } from './targets.ts';

const row = (i: number, changes: object = {}) => ({
  name: `g${i}`,
  addresses: { ws: `ws://g${i}/` },
  weight: 100,
  state: 'active',
  capacity: 10,
  since: 'now',
  ...changes,
});
function theTargets(...gateways: object[]): Targets {
  const targets = new Targets('g0');
  const document = { version: 1, revision: 'r7', cluster: 'demo', strategy: 'round-robin', gateways };
  targets.update(parseRoutingDocument(JSON.stringify(document)));
  return targets;
}

describe('targets', () => {
  test('are empty until the operator has told them', () => {
    const targets = new Targets('g0');
    assert.deepEqual([targets.forResume(), targets.forLeaving([]), targets.revision], [[], [], null]);
  });
  test('to resume at are this gateway and two others in turn', () => {
    const targets = theTargets(row(0), row(1), row(2), row(3));
    assert.deepEqual(targets.forResume(), ['ws://g0/', 'ws://g1/', 'ws://g2/']);
    assert.deepEqual(targets.forResume(), ['ws://g0/', 'ws://g2/', 'ws://g3/']);
    assert.equal(targets.revision, 'r7');
  });
  test('leave out who has no weight or drains', () => {
    const targets = theTargets(row(0, { weight: 0 }), row(1, { state: 'draining' }), row(2));
    assert.deepEqual(targets.forResume(), ['ws://g2/']);
  });
  test('to leave for begin with another one each time', () => {
    const targets = theTargets(row(0));
    const first = [1, 2, 3, 4].map(() => targets.forLeaving(['a', 'b', 'c'])[0]);
    assert.deepEqual(first, ['a', 'b', 'c', 'a']);
    assert.deepEqual(theTargets(row(0), row(1)).forLeaving([]), ['ws://g1/']);
  });
});
