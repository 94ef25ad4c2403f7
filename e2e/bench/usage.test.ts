import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuSeconds, parseCpuSeconds, parseRssBytes, rssBytes } from './usage.ts';

test('CPU time is user and system time, whatever the name of the process', () => {
  const stat = '7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 11 0 5 1000 200';
  assert.equal(parseCpuSeconds(stat), 3);
});

test('memory is VmRSS in bytes', () => {
  assert.equal(parseRssBytes('Name:\tnode\nVmRSS:\t    2048 kB\nThreads:\t1\n'), 2048 * 1024);
});

test('reads its own process', () => {
  assert.ok(cpuSeconds(process.pid) > 0);
  assert.ok(rssBytes(process.pid) > 10_000_000);
});
