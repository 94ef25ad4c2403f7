// Histories of epochs: what a position means in each of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { epochIndexOf, isWithin, openEpoch, startOf } from './epochs.ts';
import type { Epoch } from '../protocol/ids.ts';

const e = (name: string): Epoch => name as Epoch;
const history = [
  { epoch: e('a'), first: 1 },
  { epoch: e('b'), first: 41 },
];

const cases: readonly {
  title: string;
  floor: number;
  trims: boolean;
  after: [string, number] | null;
  above: number;
  why: string | null;
}[] = [
  {
    title: 'no position starts above what is settled',
    floor: 5,
    trims: false,
    after: null,
    above: 5,
    why: 'no-position',
  },
  {
    title: 'an epoch out of the history is unknown',
    floor: 5,
    trims: false,
    after: ['x', 7],
    above: 5,
    why: 'epoch-unknown',
  },
  { title: 'a position in the present epoch goes on', floor: 5, trims: false, after: ['b', 45], above: 45, why: null },
  {
    title: 'the end of an old epoch goes on into the next',
    floor: 5,
    trims: false,
    after: ['a', 40],
    above: 40,
    why: null,
  },
  {
    title: 'one past the end of an old epoch is ahead and gets the next one whole',
    floor: 5,
    trims: false,
    after: ['a', 41],
    above: 40,
    why: 'ahead',
  },
  { title: 'the head itself is not ahead', floor: 5, trims: false, after: ['b', 60], above: 60, why: null },
  { title: 'one past the head is ahead', floor: 5, trims: false, after: ['b', 61], above: 60, why: 'ahead' },
  { title: 'offset 0 of a later epoch is its start', floor: 5, trims: false, after: ['b', 0], above: 40, why: null },
  {
    title: 'what a device settled is a hole, not a loss',
    floor: 50,
    trims: false,
    after: ['b', 45],
    above: 50,
    why: null,
  },
  { title: 'what a topic trimmed is a loss', floor: 50, trims: true, after: ['b', 49], above: 50, why: 'trimmed' },
  { title: 'the last one trimmed is no loss', floor: 50, trims: true, after: ['b', 50], above: 50, why: null },
];
for (const c of cases) {
  test(c.title, () => {
    const after = c.after === null ? null : { epoch: e(c.after[0]), offset: c.after[1] };
    const start = startOf({ history, head: 60, floor: c.floor, trims: c.trims }, after);
    assert.deepEqual(start, { above: c.above, notRecovered: c.why });
  });
}

test('a history past its bound forgets the oldest epoch and keeps its offsets', () => {
  const three = openEpoch(history, { epoch: e('c'), first: 61 }, 2);
  assert.deepEqual(three, [
    { epoch: 'b', first: 1 },
    { epoch: 'c', first: 61 },
  ]);
  assert.equal(epochIndexOf(three, 10), 0);
  assert.equal(epochIndexOf(three, 61), 1);
});

test('an ack counts up to the end of its epoch and not past it', () => {
  assert.equal(isWithin(history, 60, { epoch: e('a'), offset: 40 }), true);
  assert.equal(isWithin(history, 60, { epoch: e('a'), offset: 41 }), false);
  assert.equal(isWithin(history, 60, { epoch: e('b'), offset: 60 }), true);
  assert.equal(isWithin(history, 60, { epoch: e('b'), offset: 61 }), false);
  assert.equal(isWithin(history, 60, { epoch: e('x'), offset: 1 }), false);
});
