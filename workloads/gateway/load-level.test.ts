import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CALM_MS, LEVEL_START, pressureOf, stepIntake, stepLevel } from './load-level.ts';
import type { Load, LoadLimits } from './load-level.ts';

const limits: LoadLimits = {
  lagMsMax: 200,
  outboxTotalBytesMax: 1000,
  memoryBytesMax: 10_000,
  bandwidthBytesPerSecond: 100,
};
const aLoad = (over: Partial<Load> = {}): Load => ({
  lagMs: 0,
  outboxBytes: 0,
  memoryBytes: 0,
  bytesPerSecond: 0,
  ...over,
});

describe('the pressure', () => {
  const cases: readonly [title: string, load: Partial<Load>, limits: Partial<LoadLimits>, expected: number][] = [
    ['nothing', {}, {}, 0],
    ['lag', { lagMs: 300 }, {}, 1.5],
    ['bytes that wait', { outboxBytes: 500 }, {}, 0.5],
    ['memory', { memoryBytes: 12_500 }, {}, 1.25],
    ['bandwidth', { bytesPerSecond: 100 }, {}, 1],
    ['the worst counts', { lagMs: 100, memoryBytes: 9000 }, {}, 0.9],
    ['a limit of 0 is none', { lagMs: 100, memoryBytes: 9e9 }, { memoryBytesMax: 0 }, 0.5],
  ];
  for (const [title, load, more, expected] of cases)
    test(title, () => assert.equal(pressureOf(aLoad(load), { ...limits, ...more }), expected));
});

/** Levels after each pressure, half a second apart. */
function levels(pressures: readonly number[]): number[] {
  let state = LEVEL_START;
  return pressures.map((pressure, i) => (state = stepLevel(state, pressure, i * 500)).level);
}
const times = (count: number, pressure: number): number[] => Array.from({ length: count }, () => pressure);

describe('the level', () => {
  test('rises at its threshold and not below it, one level a measurement', () => {
    assert.deepEqual(levels([0.99, 1, 1.24, 1.25, 1.49, 1.5, 9]), [0, 1, 1, 2, 2, 3, 3]);
    assert.deepEqual(levels([9, 9, 9, 9]), [1, 2, 3, 3]);
  });
  test('stays while the pressure is between leaving and entering', () => {
    assert.deepEqual(levels([1, ...times(20, 0.8)]), times(21, 1));
  });
  test('falls after calm, one level at a time', () => {
    const calm = CALM_MS / 500;
    const after = levels([9, 9, ...times(2 * calm + 1, 0.1)]);
    assert.deepEqual(after, [1, 2, ...times(calm, 2), ...times(calm, 1), 0]);
  });
  test('starts its calm over when the pressure comes back', () => {
    assert.deepEqual(levels([1, ...times(5, 0.1), 0.9, ...times(6, 0.1)]), times(13, 1));
  });
});

describe('intake', () => {
  const cases: readonly [paused: boolean, load: Partial<Load>, expected: boolean][] = [
    [false, { memoryBytes: 9999 }, false],
    [false, { memoryBytes: 10_000 }, true],
    [true, { memoryBytes: 9000 }, true],
    [true, { memoryBytes: 8999 }, false],
    [false, { bytesPerSecond: 79 }, false],
    [false, { bytesPerSecond: 80 }, true],
    [true, { bytesPerSecond: 70 }, true],
    [true, { bytesPerSecond: 69 }, false],
    [false, { lagMs: 9999, outboxBytes: 9999 }, false],
  ];
  for (const [paused, load, expected] of cases)
    test(`${paused ? 'paused' : 'open'} with ${JSON.stringify(load)} is ${expected ? 'paused' : 'open'}`, () =>
      assert.equal(stepIntake(paused, aLoad(load), limits), expected));
  test('is never paused without limits', () => {
    const none = { ...limits, memoryBytesMax: 0, bandwidthBytesPerSecond: 0 };
    assert.equal(stepIntake(true, aLoad({ memoryBytes: 9e9, bytesPerSecond: 9e9 }), none), false);
  });
});
