import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CALM_MS, LEVEL_START, RISE_MS, pressureOf, stepIntake, stepLevel } from './load-level.ts';
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
    ['lag', { lagMs: 800 }, {}, 4],
    ['bytes that wait', { outboxBytes: 1500 }, {}, 2],
    ['memory', { memoryBytes: 11_000 }, {}, 3],
    ['memory at 92 % of a container whose limit is a quarter above ours', { memoryBytes: 11_500 }, {}, 4],
    ['bandwidth', { bytesPerSecond: 125 }, {}, 2],
    ['below the limit, its share', { outboxBytes: 500 }, {}, 0.5],
    ['the worst counts', { lagMs: 100, memoryBytes: 9000 }, {}, 0.9],
    ['a limit of 0 is none', { lagMs: 100, memoryBytes: 9e9 }, { memoryBytesMax: 0 }, 0.5],
  ];
  for (const [title, load, more, expected] of cases)
    test(title, () => assert.equal(Number(pressureOf(aLoad(load), { ...limits, ...more }).toFixed(6)), expected));
});

/** Levels after each pressure, half a second apart. */
function levels(pressures: readonly number[]): number[] {
  let state = LEVEL_START;
  return pressures.map((pressure, i) => (state = stepLevel(state, pressure, i * 500)).level);
}
const times = (count: number, value: number): number[] => Array.from({ length: count }, () => value);
const toRise = RISE_MS / 500;
const toFall = CALM_MS / 500;

describe('the level', () => {
  for (const [level, entry] of [
    [1, 1],
    [2, 2],
    [3, 4],
  ] as const)
    test(`${level} is entered at ${entry} and not below it`, () => {
      assert.equal(levels(times(40, entry)).at(-1), level);
      assert.equal(levels(times(40, entry - 0.01)).at(-1), level - 1);
    });
  test('rises when it lasts, one at a time', () => {
    assert.deepEqual(levels(times(8, 9)), [...times(toRise, 0), ...times(toRise, 1), ...times(toRise, 2), 3, 3]);
  });
  test('does not rise for a moment', () => {
    assert.deepEqual(levels([9, 9, 0, 9, 9, 0, 9, 9]), times(8, 0));
  });
  test('stays while the pressure is between leaving and entering', () => {
    assert.deepEqual(levels([...times(toRise + 1, 1), ...times(20, 0.8)]).slice(toRise), times(21, 1));
  });
  test('falls after calm, one at a time', () => {
    const after = levels([...times(2 * toRise + 1, 9), ...times(2 * toFall + 1, 0.1)]);
    assert.deepEqual(after.slice(2 * toRise), [...times(toFall + 1, 2), ...times(toFall, 1), 0]);
  });
  test('starts its calm over when the pressure comes back', () => {
    const after = levels([...times(toRise + 1, 1), ...times(5, 0.1), 0.9, ...times(6, 0.1)]);
    assert.deepEqual(after.slice(toRise), times(13, 1));
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
