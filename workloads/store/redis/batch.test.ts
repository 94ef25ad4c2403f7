// Batches: what shares a call and what does not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerCall, Batch, BATCH_BYTES_MAX, BATCH_ITEMS_MAX, CALL_BYTES_MAX } from './batch.ts';
import type { Item } from './batch.ts';
import { aScript } from './scripts/script.ts';
import { Trip } from './trip.ts';

const one = aScript('one', { flags: '', itemsMax: 3 }, '');
const two = aScript('two', { flags: 'no-writes', itemsMax: 3 }, '');

function anItem(more: Partial<Item> = {}): Item {
  return { script: one, bucket: 1, key: '{1}k', args: [], trip: new Trip(1), index: 0, moves: 0, ...more };
}

test('items of one script share a call up to its most, in the order asked', () => {
  const batch = new Batch(false);
  for (const key of ['a', 'b', 'c', 'd']) batch.add(anItem({ key, bucket: key.charCodeAt(0) }));
  batch.add(anItem({ script: two, key: 'e' }));
  const keys = batch.calls.map((call) => [call.script.name, ...call.items.map((item) => item.key)]);
  assert.deepEqual(keys, [
    ['one', 'a', 'b', 'c'],
    ['one', 'd'],
    ['two', 'e'],
  ]);
  assert.equal(batch.items, 5);
});

test('in a cluster only items of one bucket share a call', () => {
  const batch = new Batch(true);
  for (const bucket of [1, 2, 1, 2, 1]) batch.add(anItem({ bucket }));
  assert.deepEqual(
    batch.calls.map((call) => call.items.map((item) => item.bucket)),
    [
      [1, 1, 1],
      [2, 2],
    ],
  );
});

test('each item gets its reply, and an operation ends with its last one', async () => {
  const trip = new Trip(2);
  const batch = new Batch(false);
  batch.add(anItem({ trip, index: 1 }));
  batch.add(anItem({ trip, index: 0 }));
  answerCall(batch.calls[0]!, [10, null]);
  assert.deepEqual(await trip.promise, [null, 10]);
});

test('a call takes items until it has its bytes, and no more', () => {
  const batch = new Batch(false);
  const key = '12345678';
  batch.add(anItem({ key, args: [new Uint8Array(CALL_BYTES_MAX - 9)] }));
  batch.add(anItem({ key, args: [] }));
  assert.equal(batch.calls.length, 1, 'there was one byte left');
  batch.add(anItem({ key, args: [] }));
  assert.deepEqual(
    batch.calls.map(({ items, bytes }) => [items.length, bytes]),
    [
      [2, CALL_BYTES_MAX + 7],
      [1, 8],
    ],
  );
});

test('a batch is full at its items or its bytes, not one before', () => {
  const ofItems = new Batch(false);
  for (let i = 0; i < BATCH_ITEMS_MAX - 1; i++) ofItems.add(anItem({ key: '' }));
  assert.equal(ofItems.isFull, false);
  ofItems.add(anItem({ key: '' }));
  assert.equal(ofItems.isFull, true);
  const ofBytes = new Batch(false);
  ofBytes.add(anItem({ key: '', args: ['x'.repeat(BATCH_BYTES_MAX - 9), 1] }));
  assert.equal(ofBytes.isFull, false);
  ofBytes.add(anItem({ key: '1' }));
  assert.equal(ofBytes.isFull, true);
});
