import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textFrame, textFrameOf } from './ws-frame.ts';

const headers: readonly [bytes: number, header: string][] = [
  [0, '8100'],
  [125, '817d'],
  [126, '817e007e'],
  [65_535, '817effff'],
  [65_536, '817f0000000000010000'],
];
for (const [bytes, header] of headers)
  test(`a text frame of ${bytes} bytes begins with ${header}`, () => {
    const frame = textFrame(new Uint8Array(bytes).fill(120));
    assert.equal(frame.subarray(0, header.length / 2).toString('hex'), header);
    assert.equal(frame.length, header.length / 2 + bytes);
    assert.equal(frame.subarray(header.length / 2).toString(), 'x'.repeat(bytes));
  });

test('the length of a text is that of its UTF-8', () => assert.equal(textFrameOf('€')[1], 3));
