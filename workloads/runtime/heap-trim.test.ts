import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aManualClock } from './clock.ts';
import { GROWN_BYTES, LOOK_MS, QUIET_CPU_SHARE, QUIET_LOOKS, isTrimDue, trimHeapWhenQuiet } from './heap-trim.ts';
import { silentLog } from './log.ts';

test('a heap is trimmed when the process is quiet and has grown, and only then', () => {
  const baseBytes = 100_000_000;
  const grown = baseBytes + GROWN_BYTES;
  const cases: readonly [boolean, string, number, number, number?][] = [
    [true, 'quiet and grown', grown, 0],
    [false, 'one byte less grown', grown - 1, 0],
    [false, 'busy', grown, QUIET_CPU_SHARE],
    [false, 'smaller than before', baseBytes - 1, 0],
    [false, 'not quiet for long enough', grown, 0, QUIET_LOOKS - 2],
  ];
  for (const [expected, name, rssBytes, cpuShare, quietLooks = QUIET_LOOKS - 1] of cases) {
    assert.equal(isTrimDue({ rssBytes, baseBytes, cpuShare, quietLooks }), expected, name);
  }
});

test('the watch looks now and then, collects without a flag of V8, and ends', () => {
  const clock = aManualClock();
  const lines: string[] = [];
  const stop = trimHeapWhenQuiet({ clock, log: { ...silentLog, info: (_keys, message) => lines.push(message) } });
  const garbage = Array.from({ length: 64 }, () => Buffer.alloc(1024 * 1024, 1));
  assert.equal(garbage.length, 64);
  // Much time and little work: quiet.
  clock.advance(LOOK_MS * 1000);
  assert.ok(lines.length > 0 && lines.every((line) => line === 'heap trimmed'));
  stop();
  assert.equal(clock.pending(), 0);
});
