import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aManualClock } from './clock.ts';
import {
  GARBAGE_BYTES,
  PERCENT_LEAST,
  PERCENT_MOST,
  YOUNG_BYTES,
  growthPercent,
  paceHeapGrowth,
} from './heap-growth.ts';

test('a heap grows by so many bytes, a small one at most by itself, a large one at least by a share', () => {
  const room = GARBAGE_BYTES + YOUNG_BYTES;
  const cases: readonly [number, number][] = [
    [0, PERCENT_MOST],
    [room, PERCENT_MOST],
    [room * 2, 50],
    [room * 4, 25],
    [room * 5, PERCENT_LEAST],
    [room * 100, PERCENT_LEAST],
  ];
  for (const [heapBytes, expected] of cases) assert.equal(growthPercent(heapBytes), expected, `${heapBytes} bytes`);
});

test('V8 takes it, and the watch ends', () => {
  const clock = aManualClock();
  const stop = paceHeapGrowth(clock);
  clock.advance(10_000);
  stop();
  assert.equal(clock.pending(), 0);
});
