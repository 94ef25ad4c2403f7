import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  PACE_QUICK_MS,
  PACE_SAMPLES_DOWN,
  PACE_SAMPLES_UP,
  PACE_SLOW_MS,
  PACE_START,
  PACE_STEPS,
  paceAfter,
} from './pace.ts';
import type { PaceState } from './pace.ts';

/** The step after so many samples of one kind; null: no pace is needed any more. */
function after(start: PaceState, samples: readonly number[]): PaceState | null {
  let state: PaceState | null = start;
  for (const sample of samples) if (state !== null) state = paceAfter(state, sample);
  return state;
}
const slow = (n: number): number[] => Array<number>(n).fill(PACE_SLOW_MS + 500);
const quick = (n: number): number[] => Array<number>(n).fill(PACE_QUICK_MS - 400);
const at = (step: number): PaceState => ({ step, ewmaMs: 0, samples: 0 });

describe('the pace of a client', () => {
  const cases: readonly [title: string, start: PaceState, samples: readonly number[], step: number | null][] = [
    ['stays after one slow ack', PACE_START, slow(PACE_SAMPLES_DOWN - 1), 0],
    ['goes down after some', PACE_START, slow(PACE_SAMPLES_DOWN), 1],
    [
      'goes down step by step to ids only',
      PACE_START,
      slow(PACE_SAMPLES_DOWN * (PACE_STEPS.length - 1)),
      PACE_STEPS.length - 1,
    ],
    ['goes no further down', at(PACE_STEPS.length - 1), slow(50), PACE_STEPS.length - 1],
    ['does not go up after a few quick ones', at(2), quick(PACE_SAMPLES_UP - 1), 2],
    ['goes up one step after some', at(2), quick(PACE_SAMPLES_UP), 1],
    ['goes away once it was quick at full width', at(1), quick(PACE_SAMPLES_UP * 2), null],
    ['does not change between slow and quick', at(2), Array<number>(20).fill((PACE_SLOW_MS + PACE_QUICK_MS) / 2), 2],
    ['is not taken down by one outlier among quick ones', at(1), [...quick(3), PACE_SLOW_MS * 2], 1],
    ['turns between slow and quick without flapping', at(2), [...slow(1), ...quick(1), ...slow(1), ...quick(1)], 2],
  ];
  for (const [title, start, samples, step] of cases)
    test(title, () => assert.equal(after(start, samples)?.step ?? null, step));
  test('has narrower windows step by step, and ends with ids only', () => {
    PACE_STEPS.reduce((before, next) => {
      assert.ok(next.window < before.window || next.idOnly);
      return next;
    });
    assert.deepEqual(PACE_STEPS.at(-1), { window: 1, idOnly: true });
  });
});
