import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TopicFilter } from '../../workloads/protocol/frames.ts';
import { compare, passes, percentile } from './compare.ts';
import type { Published, Recipient } from './compare.ts';
import { parseReceivedLog } from './received-log.ts';
import type { ReceivedLine } from './received-log.ts';

function aPublication(id: string, to: Recipient, more: Partial<Published> = {}): Published {
  return { id, to, class: 'durable', tMs: 1000, ...more };
}
function aLine(id: string, offset: number | null, more: Partial<ReceivedLine> = {}): ReceivedLine {
  return { id, stream: '@normal', offset, tMs: 1010, epoch: offset === null ? null : 'e1', key: null, ...more };
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
      dead: 0,
      deadThoughDelivered: 0,
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

describe('compare knows', () => {
  const list = { list: { prefix: 'dev-', first: 0, count: 3 } };
  const logOf = (...ids: string[]): ReceivedLine[] => ids.map((id, i) => aLine(id, i + 1));

  test('lists: each of their devices is owed', () => {
    const logs = new Map([
      ['dev-000000', logOf('a')],
      ['dev-000001', logOf('a')],
    ]);
    const { owed, lost, strangers } = compare([aPublication('a', list)], logs, { devices: [] });
    assert.deepEqual([owed, lost.map(({ device }) => device), strangers], [3, ['dev-000002'], 0]);
  });

  test('filters: what a device does not want is not owed, and strange when it comes', () => {
    const published = [
      aPublication('a', { topic: 'news' }, { attributes: { level: 2 } }),
      aPublication('b', { topic: 'news' }, { attributes: { level: 5 } }),
    ];
    const wants = (_: string, { attributes }: Published): boolean => passes({ levelMin: 3 }, attributes);
    const logs = new Map([['dev-0', logOf('a', 'b')]]);
    const { owed, lost, strangers } = compare(published, logs, { ...AUDIENCE, wants });
    assert.deepEqual([owed, lost.map(({ id, device }) => [id, device]), strangers], [2, [['b', 'dev-1']], 1]);
  });

  test('dead letters: not lost, and told where the application dealt with it all the same', () => {
    const published = ['a', 'b', 'c'].map((id) => aPublication(id, { device: 'dev-0' }));
    const dead = ['a', 'b'].map((messageId) => ({ messageId, device: 'dev-0' }));
    const result = compare(published, new Map([['dev-0', logOf('b')]]), AUDIENCE, { dead });
    assert.deepEqual([result.owed, result.delivered, result.dead, result.deadThoughDelivered], [3, 1, 1, 1]);
    assert.deepEqual(
      result.lost.map(({ id }) => id),
      ['c'],
    );
  });

  test('keys: a re-driven message is known by its key, and doubled when it came before', () => {
    const published = ['a', 'b'].map((id) => aPublication(id, { device: 'dev-0' }, { key: `k${id}` }));
    const lines = [aLine('z1', 1, { key: 'ka' }), aLine('b', 2, { key: 'kb' }), aLine('z2', 3, { key: 'kb' })];
    const { delivered, doubled, strangers } = compare(published, new Map([['dev-0', lines]]), AUDIENCE);
    assert.deepEqual([delivered, doubled.map(({ id }) => id), strangers], [2, ['b'], 0]);
  });

  test('unknown outcomes: neither owed nor strange, but not twice', () => {
    const lines = [aLine('z', 1, { key: 'ku' }), aLine('y', 2, { key: 'ku' }), aLine('x', 3, { key: 'other' })];
    const { strangers, doubled } = compare([], new Map([['dev-0', lines]]), AUDIENCE, {
      unknownKeys: new Set(['ku']),
    });
    assert.deepEqual([strangers, doubled.length], [1, 1]);
  });
});

test('a filter passes level, type and fields, each where it is given', () => {
  const attributes = { level: 5, type: 'a', fields: { region: 'eu', vip: true } };
  const cases: readonly [filter: TopicFilter, isThrough: boolean][] = [
    [{}, true],
    [{ levelMin: 5 }, true],
    [{ levelMin: 6 }, false],
    [{ types: ['b', 'a'] }, true],
    [{ types: ['b'] }, false],
    [{ fields: { region: ['us', 'eu'], vip: [true] } }, true],
    [{ fields: { region: ['eu'], vip: ['true'] } }, false],
    [{ fields: { other: ['x'] } }, false],
  ];
  for (const [filter, isThrough] of cases) assert.equal(passes(filter, attributes), isThrough, JSON.stringify(filter));
  assert.equal(passes({ levelMin: 1 }), false);
  assert.equal(passes({ types: ['a'] }), false);
});

test('percentiles are nearest ranks', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.deepEqual(
    [percentile(hundred, 0.5), percentile(hundred, 0.99), percentile([7], 0.5), percentile([], 0.5)],
    [50, 99, 7, null],
  );
});

test('a log that was cut short ends before its last line', () => {
  assert.deepEqual(parseReceivedLog('a @normal 1 1010 e1 k1\nb news - 1011 -\nc @nor'), [
    aLine('a', 1, { key: 'k1' }),
    aLine('b', null, { stream: 'news', tMs: 1011 }),
  ]);
});
