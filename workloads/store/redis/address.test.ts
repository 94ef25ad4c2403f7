// Addresses of Redis stores: what is taken, and what is refused without repeating it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRedisAddress, RedisAddressError } from './address.ts';

const good: readonly [string, unknown][] = [
  ['redis://cache', { kind: 'single', tls: false, node: { host: 'cache', port: 6379 }, db: 0 }],
  ['redis://127.0.0.1:7000/3', { kind: 'single', tls: false, node: { host: '127.0.0.1', port: 7000 }, db: 3 }],
  ['redis://[::1]:7000/', { kind: 'single', tls: false, node: { host: '::1', port: 7000 }, db: 0 }],
  [
    'redis+cluster://a:1,b:2,c',
    {
      kind: 'cluster',
      tls: false,
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
      tls: false,
      sentinels: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 5 },
      ],
      master: 'main',
    },
  ],
];
const secure: readonly [string, unknown][] = [
  ['rediss://cache/3', { kind: 'single', tls: true, node: { host: 'cache', port: 6379 }, db: 3 }],
  ['rediss+cluster://a:1', { kind: 'cluster', tls: true, nodes: [{ host: 'a', port: 1 }] }],
  [
    'rediss+sentinel://a/main',
    { kind: 'sentinel', tls: true, sentinels: [{ host: 'a', port: 26_379 }], master: 'main' },
  ],
];
for (const [url, expected] of [...good, ...secure])
  test(`takes ${url}`, () => assert.deepEqual(parseRedisAddress(url), expected));

const bad = [
  'redis://',
  'redis://a:1,b:2',
  'redis://a:70000',
  'redis://a/x',
  'redis+cluster://a/1',
  'redis+cluster://a,,b',
  'redis+sentinel://a:1',
  'redisss://a',
  'rediss://a:1,b:2',
  'rediss+cluster://a/1',
  'rediss+sentinel://a:1',
  'rediss://user:hidden@a:1',
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

test('says the form of the scheme that was begun with, or all of them and how TLS is asked for', () => {
  const said = (url: string): string => {
    try {
      parseRedisAddress(url);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.equal(said('rediss+sentinel://a:1'), 'store: expected rediss+sentinel://host:port,host:port/master-name');
  assert.equal(said('redis://a/x'), 'store: expected redis://host:port or redis://host:port/db');
  assert.match(said('tls://a'), /redis:\/\/host:port or .* or redis\+sentinel:.*; the same with rediss .* for TLS$/);
  assert.match(said('rediss://me:hidden@a'), /PUSHCLUSTER_STORE_USERNAME and PUSHCLUSTER_STORE_PASSWORD hold them$/);
});
