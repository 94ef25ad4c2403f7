import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MessageId } from './ids.ts';
import {
  CONTENTS,
  InvalidRecordError,
  RECORD_HEADER_BYTES,
  decodeRecord,
  encodeRecord,
  recordExpiresAtMs,
} from './record.ts';

const message = {
  id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' as MessageId,
  publishedAtMs: 1_800_000_000_123,
  expiresAtMs: 1_800_000_999_999,
  attributes: Buffer.from('{"a":1}'),
  body: Buffer.from('body'),
};

describe('a record', () => {
  for (const content of CONTENTS)
    test(`is read as it was written, with ${content} inside and at any place of a buffer`, () => {
      const bytes = encodeRecord({ ...message, content });
      const within = Buffer.concat([Buffer.from('xyz'), bytes]).subarray(3);
      const read = decodeRecord(within);
      assert.deepEqual(
        { ...read, attributes: Buffer.from(read.attributes), body: Buffer.from(read.body) },
        { ...message, content },
      );
      assert.equal(recordExpiresAtMs(within), message.expiresAtMs);
    });

  test('may have neither attributes nor body', () => {
    const empty = new Uint8Array(0);
    const read = decodeRecord(encodeRecord({ ...message, content: 'json', attributes: empty, body: empty }));
    assert.deepEqual([read.attributes.length, read.body.length], [0, 0]);
  });

  const good = encodeRecord({ ...message, content: 'json' });
  const changed = (at: number, value: number): Uint8Array =>
    Uint8Array.from(good, (byte, i) => (i === at ? value : byte));
  const bad: readonly [title: string, bytes: Uint8Array][] = [
    ['one byte shorter than a header', good.subarray(0, RECORD_HEADER_BYTES - 1)],
    ['of another version', changed(0, 2)],
    ['with content unknown', changed(1, 3)],
    ['whose attributes run past its end', changed(45, 255)],
  ];
  for (const [title, bytes] of bad)
    test(`is refused when it is ${title}`, () => assert.throws(() => decodeRecord(bytes), InvalidRecordError));
});
