import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../protocol/limits.ts';
import { SPAN_CHUNKS, spansOf } from './spans.ts';

test('a list up to so many chunks is one piece; a longer one has spans of like length, each chunk in one of them', () => {
  assert.equal(spansOf({ chunks: 0 }), null);
  assert.equal(spansOf({ chunks: SPAN_CHUNKS }), null);
  assert.deepEqual(spansOf({ chunks: 24 }), [
    { from: 0, to: 12 },
    { from: 12, to: 24 },
  ]);
  for (let chunks = SPAN_CHUNKS + 1; chunks <= 450; chunks++) {
    const spans = spansOf({ chunks })!;
    assert.equal(spans[0]!.from, 0);
    spans.forEach(({ from, to }, i) => {
      assert.ok(to > from && to - from <= SPAN_CHUNKS, `${chunks}: ${from}–${to}`);
      assert.equal(to, spans[i + 1]?.from ?? chunks);
    });
  }
  assert.equal(spansOf({ chunks: LIMITS.recipientsMax / LIMITS.chunkRecipientsMax })!.length, 10);
});
