// The cache of bodies: what it keeps, and its bound at and past it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyCache } from './body-cache.ts';

const of = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(7);

test('a record is kept as a copy, and asked for again', () => {
  const cache = new BodyCache(1000);
  const record = of(10);
  cache.put('a', record);
  record.fill(0);
  assert.deepEqual(cache.get('a'), of(10));
  assert.equal(cache.get('b'), null);
});

test('at its bound all are kept, past it the one not asked for the longest goes', () => {
  const cache = new BodyCache(900);
  for (const key of ['a', 'b', 'c']) cache.put(key, of(100));
  assert.equal(cache.bytes, 900);
  assert.ok(cache.get('a') !== null);
  cache.put('d', of(100));
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((key) => cache.get(key) !== null),
    [true, false, true, true],
  );
  assert.equal(cache.bytes, 900);
});

test('a record larger than the cache is not kept and drops nothing', () => {
  const cache = new BodyCache(900);
  cache.put('a', of(100));
  cache.put('large', of(701));
  assert.equal(cache.get('large'), null);
  assert.ok(cache.get('a') !== null);
  cache.put('all', of(700));
  assert.deepEqual([cache.get('a'), cache.bytes], [null, 900]);
});
