import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Epoch, MessageId, TopicName } from '../../protocol/ids.ts';
import { RECORD_DEFAULTS, encodeRecord } from '../../protocol/record.ts';
import { MessageEncoder } from './encode.ts';
import { TAIL_AGE_MS_MAX, TAIL_BYTES_MAX, TAIL_ENTRIES_MAX, Tail } from './tail.ts';

const E = 'e' as Epoch;
const NOW_MS = 1_000_000;

function push(
  tail: Tail,
  offset: number,
  more: { prev?: number; epoch?: Epoch; bytes?: number; expiresAtMs?: number } = {},
): void {
  const { prev = offset - 1, epoch = E, bytes = 1, expiresAtMs = 0 } = more;
  const record = encodeRecord({
    ...RECORD_DEFAULTS,
    id: '0'.repeat(26) as MessageId,
    publishedAtMs: 0,
    expiresAtMs,
    content: 'text',
    attributes: new Uint8Array(0),
    body: new Uint8Array(bytes),
  });
  tail.push(epoch, { prev, record, encoder: new MessageEncoder('news' as TopicName, offset, record), atMs: NOW_MS });
}
const tailOf = (...offsets: number[]): Tail => {
  const tail = new Tail();
  for (const offset of offsets) push(tail, offset);
  return tail;
};
const offsets = (tail: Tail, after: number, head: number, nowMs = NOW_MS): number[] | null =>
  tail.after({ epoch: E, offset: after }, head, nowMs)?.outcome.entries.map(({ offset }) => offset) ?? null;

describe('R11: the tail of a topic', () => {
  test('has what follows a place, up to the head', () => assert.deepEqual(offsets(tailOf(5, 6, 7), 5, 7), [6, 7]));
  test('has it when the place lies in a hole before its first entry', () => {
    const tail = new Tail();
    push(tail, 9, { prev: 5 });
    assert.deepEqual(offsets(tail, 7, 9), [9]);
  });
  test('has nothing for a place before it', () => assert.equal(offsets(tailOf(5, 6), 3, 6), null));
  test('has nothing when the stream reaches further', () => assert.equal(offsets(tailOf(5, 6), 5, 7), null));
  test('has nothing for who is at its end', () => assert.equal(offsets(tailOf(5, 6), 6, 6), null));
  test('begins anew where a hint is missing', () => assert.equal(offsets(tailOf(5, 6, 8), 6, 8), null));
  test('does not mind a hint that comes again', () => assert.deepEqual(offsets(tailOf(5, 6, 5, 7), 5, 7), [6, 7]));
  test('begins anew with another epoch', () => {
    const tail = tailOf(5, 6);
    push(tail, 7, { epoch: 'other' as Epoch });
    assert.equal(offsets(tail, 5, 7), null);
  });
  test('leaves out what has expired', () => {
    const tail = tailOf(1);
    push(tail, 2, { expiresAtMs: NOW_MS - 1 });
    push(tail, 3);
    assert.deepEqual(offsets(tail, 1, 3), [3]);
  });
  test('is not asked for what is old: it may have been cancelled', () => {
    assert.deepEqual(offsets(tailOf(1, 2), 1, 2, NOW_MS + TAIL_AGE_MS_MAX), [2]);
    assert.equal(offsets(tailOf(1, 2), 1, 2, NOW_MS + TAIL_AGE_MS_MAX + 1), null);
  });
  test('keeps its newest entries within its limits', () => {
    const tail = tailOf(...Array.from({ length: TAIL_ENTRIES_MAX + 5 }, (_, i) => i + 1));
    const head = TAIL_ENTRIES_MAX + 5;
    assert.equal(offsets(tail, 4, head), null);
    assert.equal(offsets(tail, 5, head)?.length, TAIL_ENTRIES_MAX);
    push(tail, head + 1, { bytes: TAIL_BYTES_MAX });
    assert.deepEqual(offsets(tail, head, head + 1), [head + 1]);
  });
});
