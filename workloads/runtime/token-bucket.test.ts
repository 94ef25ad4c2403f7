import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenBucket } from './token-bucket.ts';

test('a bucket gives its burst at once, then its rate, and never more over any time', () => {
  const bucket = new TokenBucket({ ratePerSecond: 100, burstSeconds: 0.5, nowMs: 0 });
  let taken = 0;
  for (let nowMs = 0; nowMs <= 10_000; nowMs += 7) {
    while (bucket.take(1, nowMs)) taken++;
    assert.ok(taken <= 50 + (nowMs * 100) / 1000 + 1e-6, `${taken} by ${nowMs} ms`);
  }
  assert.ok(taken >= 1040, `${taken}`);
});

test('what is taken beyond the level is debt that time pays, and what is given back counts at once', () => {
  const bucket = new TokenBucket({ ratePerSecond: 10, burstSeconds: 1, nowMs: 0 });
  assert.equal(bucket.take(30, 0), true);
  assert.deepEqual([bucket.level(0), bucket.take(1, 0), bucket.waitMs(0)], [-20, false, 2100]);
  bucket.giveBack(25);
  assert.deepEqual([bucket.level(0), bucket.take(1, 0)], [5, true]);
  bucket.giveBack(1000);
  assert.equal(bucket.level(0), 10);
});

test('another rate bounds what was saved up; a clock set back gives nothing', () => {
  const bucket = new TokenBucket({ ratePerSecond: 100, burstSeconds: 1, nowMs: 1000 });
  bucket.setRate(10, 1000);
  assert.deepEqual([bucket.level(1000), bucket.level(500), bucket.ratePerSecond], [10, 10, 10]);
});
