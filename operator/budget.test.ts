import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { grantRates, shareBudget } from './budget.ts';
import type { Spender } from './budget.ts';
import { aRandom } from './fixtures.ts';

const spender = (name: string, left: number | null, ratePerSecond: number | null = 0): Spender => ({
  name,
  left,
  ratePerSecond,
});
const rows = (map: ReadonlyMap<string, number>): Record<string, number> => Object.fromEntries(map);

describe('shareBudget', () => {
  it('gives all to the only one', () => assert.deepEqual(rows(shareBudget(500, [spender('a', 9000)])), { a: 500 }));
  it('splits evenly', () =>
    assert.deepEqual(rows(shareBudget(500, [spender('a', 9000), spender('b', 9000)])), { a: 250, b: 250 }));
  it('gives what one with few left does not need to the others', () =>
    assert.deepEqual(rows(shareBudget(500, [spender('a', 20), spender('b', 9000)])), { a: 20, b: 480 }));
  it('counts an unknown number as many', () =>
    assert.deepEqual(rows(shareBudget(500, [spender('a', null), spender('b', 9000)])), { a: 250, b: 250 }));
  it('splits a budget smaller than the number of drains', () => {
    const shares = shareBudget(1, [spender('a', 9), spender('b', 9), spender('c', 9)]);
    const sum = [...shares.values()].reduce((total, rate) => total + rate, 0);
    assert.ok(sum <= 1.000001 && [...shares.values()].every((rate) => rate > 0));
  });
  it('is empty for none', () => assert.deepEqual(rows(shareBudget(500, [])), {}));
});

describe('grantRates', () => {
  it('lowers at once, and raises only into what the others have given up', () => {
    const first = grantRates(500, [spender('a', 9000, 500), spender('b', 9000, 0)]);
    assert.deepEqual(rows(first), { a: 250 }, 'b waits until a is known to have come down');
    const second = grantRates(500, [spender('a', 9000, 250), spender('b', 9000, 0)]);
    assert.deepEqual(rows(second), { a: 250, b: 250 });
  });
  it('repeats the rate of one that has its share', () =>
    assert.deepEqual(rows(grantRates(500, [spender('a', 9000, 500)])), { a: 500 }));
  it('gives nothing more while one that does not answer may be spending everything', () =>
    assert.deepEqual(rows(grantRates(500, [spender('a', null, null), spender('b', 9000, 0)])), {}));
  it('gives a finished share to those that go on', () =>
    assert.deepEqual(rows(grantRates(500, [spender('b', 9000, 250)])), { b: 500 }));
  it('follows a budget that was made smaller', () =>
    assert.deepEqual(rows(grantRates(100, [spender('a', 9000, 500)])), { a: 100 }));

  it('never lets the sum of what is held pass the budget, whatever order the answers come in (seeds 1–50)', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = aRandom(seed);
      const held = new Map<string, number>();
      for (let step = 0; step < 100; step++) {
        const names = ['a', 'b', 'c', 'd'].filter(() => random() < 0.7);
        for (const name of held.keys()) if (!names.includes(name)) held.delete(name);
        const spenders = names.map((name) => spender(name, Math.floor(random() * 2000), held.get(name) ?? 0));
        for (const [name, rate] of grantRates(300, spenders)) if (random() < 0.7) held.set(name, rate);
        const sum = [...held.values()].reduce((total, rate) => total + rate, 0);
        assert.ok(sum <= 300.001, `seed ${seed}, step ${step}: ${sum}`);
      }
    }
  });
});
