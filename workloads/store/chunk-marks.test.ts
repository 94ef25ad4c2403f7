import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstChunkToDo, isChunkDone, withChunksDone } from './chunk-marks.ts';

test('marks are set in any order and as often as one likes; without marks the first so many are done', () => {
  const bare = { chunks: 6, chunksDone: 2, chunkMarks: '' };
  const doneOf = (row: typeof bare) => Array.from({ length: row.chunks }, (_, i) => isChunkDone(row, i));
  assert.deepEqual(doneOf(bare), [true, true, false, false, false, false]);
  const later = { ...bare, ...withChunksDone(bare, { from: 4, to: 5 }) };
  assert.deepEqual(later, { chunks: 6, chunksDone: 3, chunkMarks: '110010' });
  assert.deepEqual(doneOf(later), [true, true, false, false, true, false]);
  assert.deepEqual(withChunksDone(later, { from: 4, to: 5 }), { chunksDone: 3, chunkMarks: '110010' });
  assert.deepEqual(withChunksDone(later, { from: 2, to: 99 }), { chunksDone: 6, chunkMarks: '111111' });
});

test('the first chunk to do of a range is its end when all of it is done', () => {
  const row = { chunks: 6, chunksDone: 3, chunkMarks: '110010' };
  assert.equal(firstChunkToDo(row, { from: 0, to: 6 }), 2);
  assert.equal(firstChunkToDo(row, { from: 0, to: 2 }), 2);
  assert.equal(firstChunkToDo(row, { from: 4, to: 6 }), 5);
  assert.equal(firstChunkToDo(row, { from: 4, to: 5 }), 5);
});
