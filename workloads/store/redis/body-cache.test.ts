// The cache of bodies: what it keeps, and its bound at and past it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyCache } from './body-cache.ts';

const LATER = 1000;
const of = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(7);

test('a record is kept as a copy, and asked for again', () => {
  const cache = new BodyCache(1000);
  const record = of(10);
  cache.put('a', record, LATER);
  record.fill(0);
  assert.deepEqual(cache.get('a', 0), of(10));
  assert.equal(cache.get('b', 0), null);
});

test('at its bound all are kept, past it the one not asked for the longest goes', () => {
  const cache = new BodyCache(900);
  for (const key of ['a', 'b', 'c']) cache.put(key, of(100), LATER);
  assert.equal(cache.bytes, 900);
  assert.ok(cache.get('a', 0) !== null);
  cache.put('d', of(100), LATER);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((key) => cache.get(key, 0) !== null),
    [true, false, true, true],
  );
  assert.equal(cache.bytes, 900);
});

test('a record larger than the cache is not kept and drops nothing', () => {
  const cache = new BodyCache(900);
  cache.put('a', of(100), LATER);
  cache.put('large', of(701), LATER);
  assert.equal(cache.get('large', 0), null);
  assert.ok(cache.get('a', 0) !== null);
  cache.put('all', of(700), LATER);
  assert.deepEqual([cache.get('a', 0), cache.bytes], [null, 900]);
});

test('a record is kept up to its time and not beyond', () => {
  const cache = new BodyCache(1000);
  cache.put('a', of(10), 500);
  assert.deepEqual(cache.get('a', 499), of(10));
  assert.equal(cache.get('a', 500), null);
  assert.equal(cache.bytes, 0);
});
