import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RefusedError } from '../protocol/codes.ts';
import { aManualClock } from '../runtime/clock.ts';
import { RETRY_AFTER_MAX_MS, aBucket, admit, openAdmission } from './admission.ts';
import type { Arrival, Bucket } from './admission.ts';

/** Sends arrivals at one moment; answers how many were taken, the times told to the others, and the bucket after. */
function send(bucket: Bucket, arrival: Arrival, n: number, nowMs = 0) {
  let taken = 0;
  const told: number[] = [];
  for (let i = 0; i < n; i++) {
    const step = admit(bucket, arrival, nowMs);
    bucket = step.bucket;
    if (step.outcome.kind === 'admitted') taken++;
    else told.push(step.outcome.retryAfterMs);
  }
  return { taken, told, bucket };
}

test('newcomers are taken up to four fifths of the bucket, clients with a token to its bottom', () => {
  const first = send(aBucket(10, 0), 'newcomer', 20);
  assert.equal(first.taken, 8);
  assert.equal(send(first.bucket, 'known', 20).taken, 2);
});

test('the whole rate is for newcomers when nobody else comes', () => {
  let { bucket } = send(aBucket(10, 0), 'newcomer', 20);
  let taken = 0;
  for (let second = 1; second <= 10; second++) {
    const step = send(bucket, 'newcomer', 20, second * 1000);
    bucket = step.bucket;
    taken += step.taken;
  }
  assert.equal(taken, 80, 'a burst once a second finds eight above the reserve');
  taken = 0;
  for (let ms = 10_100; ms <= 20_000; ms += 100) {
    const step = send(bucket, 'newcomer', 2, ms);
    bucket = step.bucket;
    taken += step.taken;
  }
  assert.equal(taken, 100, 'a steady stream gets all ten a second');
});

test('those refused are told to come back one after the other at the rate', () => {
  const { told } = send(aBucket(10, 0), 'newcomer', 13);
  assert.deepEqual(told, [100, 200, 300, 400, 500]);
});

test('newcomers are told to come after the clients with a token', () => {
  const known = send(aBucket(10, 0), 'known', 20);
  assert.equal(known.told.at(-1), 1000);
  assert.deepEqual(send(known.bucket, 'newcomer', 1).told, [1100]);
  assert.deepEqual(send(send(known.bucket, 'newcomer', 5).bucket, 'known', 1).told, [1100]);
});

test('nobody is sent away for more than a minute', () => {
  const { told } = send(aBucket(10, 0), 'newcomer', 1000);
  assert.equal(Math.max(...told), RETRY_AFTER_MAX_MS);
});

test('a rate of one still takes newcomers', () => {
  const first = send(aBucket(1, 0), 'newcomer', 2);
  assert.equal(first.taken, 1);
  assert.equal(send(first.bucket, 'newcomer', 1, 1000).taken, 1);
});

test('the bucket holds one second, however long nobody came', () => {
  assert.equal(send(aBucket(10, 0), 'known', 50, 3_600_000).taken, 10);
});

test('a refusal carries its code and time', () => {
  const admission = openAdmission(1, aManualClock());
  admission.assertAdmitted('newcomer');
  assert.throws(
    () => admission.assertAdmitted('newcomer'),
    (error: unknown) => error instanceof RefusedError && error.code === 'overloaded' && error.retryAfterMs === 1000,
  );
});
