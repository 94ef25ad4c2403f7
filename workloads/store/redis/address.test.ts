// Addresses of Redis stores: what is taken, and what is refused without repeating it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRedisAddress, RedisAddressError } from './address.ts';

const good: readonly [string, unknown][] = [
  ['redis://cache', { kind: 'single', node: { host: 'cache', port: 6379 }, db: 0 }],
  ['redis://127.0.0.1:7000/3', { kind: 'single', node: { host: '127.0.0.1', port: 7000 }, db: 3 }],
  ['redis://[::1]:7000/', { kind: 'single', node: { host: '::1', port: 7000 }, db: 0 }],
  [
    'redis+cluster://a:1,b:2,c',
    {
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
        { host: 'c', port: 6379 },
      ],
    },
  ],
  [
    'redis+sentinel://a,b:5/main',
    {
      kind: 'sentinel',
      sentinels: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 5 },
      ],
      master: 'main',
    },
  ],
];
for (const [url, expected] of good) test(`takes ${url}`, () => assert.deepEqual(parseRedisAddress(url), expected));

const bad = [
  'redis://',
  'redis://a:1,b:2',
  'redis://a:70000',
  'redis://a/x',
  'redis+cluster://a/1',
  'redis+cluster://a,,b',
  'redis+sentinel://a:1',
  'rediss://a',
  'redis://user:hidden@a:1',
];
for (const url of bad) {
  test(`refuses ${url}`, () => {
    assert.throws(
      () => parseRedisAddress(url),
      (error) =>
        error instanceof RedisAddressError && error.message.includes('expected') && !error.message.includes('hidden'),
    );
  });
}
