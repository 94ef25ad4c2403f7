import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Epoch } from '../../protocol/ids.ts';
import type { Lane } from '../../protocol/streams.ts';
import { guessStart, holdReason, missingOf, planHolds } from './backlog-plan.ts';
import type { Place } from '../connect/start.ts';

const at = (offset: number, epoch = 'e1'): Place => ({ epoch: epoch as Epoch, offset });
const few = { entries: 50, threshold: 50 };
const many = { entries: 51, threshold: 50 };

describe('what a device missed', () => {
  test('is read at once up to the threshold, and fed past it', () => {
    assert.equal(planHolds({}, few), null);
    assert.deepEqual(planHolds({}, many), { feed: true, pull: false, lanes: null });
  });
  const cases: readonly [title: string, hello: object, missing: typeof few, expected: Record<string, string | null>][] =
    [
      ['fed: its lanes, not its topics', {}, many, { '@high': 'feed', '@low': 'feed', news: null }],
      ['pulled: all of it, however much', { offline: 'pull' }, many, { '@high': 'pull', news: 'pull' }],
      ['of some lanes: the others stay', { lanes: ['high'] }, few, { '@high': null, '@low': 'parked', news: null }],
      [
        'pulled of some lanes: the others stay as well',
        { lanes: ['high'], offline: 'pull' },
        few,
        { '@high': 'pull', '@low': 'parked' },
      ],
      ['wanted of no lane', { lanes: [] }, many, { '@high': 'parked', news: null }],
    ];
  for (const [title, hello, missing, expected] of cases)
    test(title, () => {
      const plan = planHolds(hello, missing)!;
      for (const [name, reason] of Object.entries(expected)) {
        const lane = name.startsWith('@') ? (name.slice(1) as Lane) : null;
        assert.equal(holdReason(plan, lane), reason, name);
      }
    });

  test('is counted from what the client claims, within the epoch', () => {
    const lane = {
      lane: 'normal',
      epoch: at(0).epoch,
      head: 100,
      settled: 40,
      held: 60,
      attempts: 0,
      attemptsOffset: 0,
    };
    const missing = (claim: Place | null): number => missingOf({ ...lane, lane: 'normal' }, claim);
    assert.deepEqual([null, at(90), at(100), at(30), at(101), at(90, 'other')].map(missing), [60, 10, 0, 60, 0, 60]);
  });
});

describe('where a stream goes on is said without a read', () => {
  const name = '@normal';
  const head = at(10);
  const recovered = (offset: number) => ({ stream: name, epoch: 'e1', offset, recovered: true });
  const fresh = (offset: number) => ({ ...recovered(offset), recovered: false, reason: 'no-position' });
  const cases: readonly [
    title: string,
    claim: Place | null,
    server: Place | 'start' | null,
    expected: object | null,
  ][] = [
    ['where the client claims a place that is kept', at(4), at(3), recovered(4)],
    ['where it claims the head', at(10), at(3), recovered(10)],
    ['at the server’s cursor without a claim', null, at(3), fresh(3)],
    ['not before what was settled', at(2), at(3), null],
    ['not beyond the head', at(11), at(3), null],
    ['not in another epoch', at(4, 'e0'), at(3), null],
    ['not when the cursor is of another epoch', null, at(3, 'e0'), null],
    ['not without a cursor', null, null, null],
    ['not for who is owed all since the start', null, 'start', null],
  ];
  for (const [title, claim, server, expected] of cases)
    test(title, () => assert.deepEqual(guessStart(name, { claim, server, head }), expected));
  test('not for one that nobody wrote', () => {
    assert.equal(guessStart(name, { claim: null, server: at(1), head: null }), null);
  });
});
