import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tuneWeight, WEIGHT_DEFAULT } from './weights.ts';

const tuned = (connections: number | null, weight: number | null): number =>
  tuneWeight({ connections, capacity: 1000, weight });

describe('tuneWeight', () => {
  it('starts a gateway at its goal: 200 empty, 100 half full, 10 full', () => {
    assert.equal(tuned(0, null), 200);
    assert.equal(tuned(500, null), 100);
    assert.equal(tuned(1000, 0), 10);
    assert.equal(tuned(5000, 0), 10, 'past its capacity as well');
  });
  it('keeps the weight of one whose connections are not known', () => {
    assert.equal(tuned(null, 70), 70);
    assert.equal(tuned(null, null), WEIGHT_DEFAULT);
  });
  it('goes half of the way in one go', () => assert.equal(tuned(0, 100), 150));
  it('stays where it is for noise', () => {
    for (let connections = 450; connections <= 550; connections += 10) assert.equal(tuned(connections, 100), 100);
  });
  it('comes to rest: no load makes it swing', () => {
    for (let connections = 0; connections <= 1200; connections += 37) {
      let weight = 100;
      const seen: number[] = [];
      for (let i = 0; i < 20; i++) seen.push((weight = tuned(connections, weight)));
      assert.equal(new Set(seen.slice(10)).size, 1, `${connections}: ${seen.join(' ')}`);
    }
  });
});
