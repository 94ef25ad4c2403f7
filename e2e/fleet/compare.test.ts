import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compare, percentile } from './compare.ts';
import type { Published, Recipient } from './compare.ts';
import { parseReceivedLog } from './received-log.ts';
import type { ReceivedLine } from './received-log.ts';

function aPublication(id: string, to: Recipient, more: Partial<Published> = {}): Published {
  return { id, to, class: 'durable', tMs: 1000, ...more };
}
function aLine(id: string, offset: number | null, more: Partial<ReceivedLine> = {}): ReceivedLine {
  return { id, stream: '@normal', offset, tMs: 1010, epoch: offset === null ? null : 'e1', ...more };
}
const DEVICES = ['dev-0', 'dev-1'];
const AUDIENCE = { devices: DEVICES };

describe('compare', () => {
  test('finds nothing where each recipient was given each message once and in order', () => {
    const result = compare(
      [
        aPublication('a', { device: 'dev-0' }),
        aPublication('b', { topic: 'news' }),
        aPublication('c', { everyone: true }),
      ],
      new Map([
        ['dev-0', [aLine('a', 1), aLine('b', 1, { stream: 'news' }), aLine('c', 1, { stream: '$all', tMs: 1100 })]],
        ['dev-1', [aLine('b', 1, { stream: 'news' }), aLine('c', 1, { stream: '$all' })]],
      ]),
      AUDIENCE,
    );
    assert.deepEqual(result, {
      published: 3,
      owed: 5,
      delivered: 5,
      lost: [],
      doubled: [],
      outOfOrder: 0,
      strangers: 0,
      live: { owed: 0, delivered: 0 },
      p50Ms: 10,
      p99Ms: 100,
      maxMs: 100,
    });
  });

  test('names each planted loss, of a device without a log too', () => {
    const { lost, delivered } = compare(
      [aPublication('a', { topic: 'news' }), aPublication('b', { device: 'dev-1' }, { tMs: 7 })],
      new Map([['dev-0', [aLine('a', 1)]]]),
      AUDIENCE,
    );
    assert.deepEqual(lost, [
      { id: 'a', device: 'dev-1', tMs: 1000 },
      { id: 'b', device: 'dev-1', tMs: 7 },
    ]);
    assert.equal(delivered, 1);
  });

  test('names each planted double, once for each time too many', () => {
    const { doubled, delivered } = compare(
      [aPublication('a', { device: 'dev-0' })],
      new Map([['dev-0', [aLine('a', 1), aLine('a', 1), aLine('a', 5, { epoch: 'e2' })]]]),
      AUDIENCE,
    );
    assert.equal(doubled.length, 2);
    assert.equal(delivered, 1);
  });

  test('counts what came after a later one of its stream and epoch; another epoch and stream begin anew', () => {
    const lines = [
      aLine('a', 2),
      aLine('b', 1),
      aLine('c', 3),
      aLine('d', 1, { epoch: 'e2' }),
      aLine('e', 1, { stream: 'news' }),
    ];
    const published = ['a', 'b', 'c', 'd', 'e'].map((id) => aPublication(id, { device: 'dev-0' }));
    assert.equal(compare(published, new Map([['dev-0', lines]]), AUDIENCE).outOfOrder, 1);
  });

  test('live messages are not owed, but may not come twice', () => {
    const published = ['a', 'b'].map((id) => aPublication(id, { topic: 'news' }, { class: 'live' }));
    const result = compare(published, new Map([['dev-0', [aLine('a', null), aLine('a', null)]]]), AUDIENCE);
    assert.deepEqual(result.lost, []);
    assert.equal(result.doubled.length, 1);
    assert.deepEqual(result.live, { owed: 4, delivered: 1 });
  });

  test('what was not accepted, or not for that device, is a stranger', () => {
    const result = compare(
      [aPublication('a', { device: 'dev-0' })],
      new Map([
        ['dev-0', [aLine('a', 1), aLine('z', 2)]],
        ['dev-1', [aLine('a', 1)]],
      ]),
      AUDIENCE,
    );
    assert.equal(result.strangers, 2);
  });

  test('topics and accounts have the audience given', () => {
    const result = compare(
      [
        aPublication('a', { topic: 'news' }),
        aPublication('b', { account: 'ada' }),
        aPublication('c', { account: 'acc-1' }),
      ],
      new Map([['dev-1', [aLine('a', 1), aLine('b', 2), aLine('c', 3)]]]),
      { ...AUDIENCE, topics: new Map([['news', ['dev-1']]]), accounts: new Map([['ada', ['dev-1']]]) },
    );
    assert.deepEqual([result.owed, result.lost.length], [3, 0]);
  });
});

test('percentiles are nearest ranks', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.deepEqual(
    [percentile(hundred, 0.5), percentile(hundred, 0.99), percentile([7], 0.5), percentile([], 0.5)],
    [50, 99, 7, null],
  );
});

test('a log that was cut short ends before its last line', () => {
  assert.deepEqual(parseReceivedLog('a @normal 1 1010 e1\nb news - 1011 -\nc @nor'), [
    aLine('a', 1),
    aLine('b', null, { stream: 'news', tMs: 1011 }),
  ]);
});
