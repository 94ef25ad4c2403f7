import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseQuantity } from './quantity.ts';

const cases: readonly (readonly [unknown, number | null])[] = [
  ['0', 0],
  ['1', 1],
  [1000, 1000],
  ['128974848', 128_974_848],
  ['129e6', 129_000_000],
  ['129E6', 129_000_000],
  ['5e-1', 1],
  ['129M', 129_000_000],
  ['123Mi', 128_974_848],
  ['768Mi', 805_306_368],
  ['1Gi', 1_073_741_824],
  ['1.5Gi', 1_610_612_736],
  ['.5Gi', 536_870_912],
  ['1.Ki', 1024],
  ['+1k', 1000],
  ['128974848000m', 128_974_848],
  ['1m', 1],
  ['1500u', 1],
  ['2000000000n', 2],
  ['1E', 1e18],
  ['1Ti', 2 ** 40],
  ['', null],
  ['Mi', null],
  ['-1', null],
  [-1, null],
  ['1 Gi', null],
  ['1gi', null],
  ['1K', null],
  ['1e3Ki', null],
  ['1Mib', null],
  ['many', null],
  [Number.NaN, null],
  [null, null],
  [undefined, null],
  [{ memory: '1Gi' }, null],
];

describe('parseQuantity', () => {
  for (const [value, expected] of cases)
    it(`${JSON.stringify(value) ?? 'nothing'} is ${expected ?? 'no quantity'}`, () =>
      assert.equal(parseQuantity(value), expected));
});
