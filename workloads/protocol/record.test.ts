import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MessageId } from './ids.ts';
import {
  CONTENTS,
  RECORD_DEFAULTS,
  InvalidRecordError,
  RECORD_HEADER_BYTES,
  conflationKeyOf,
  decodeRecord,
  encodeRecord,
  isBodyElsewhere,
  isJournalled,
  recordExpiresAtMs,
  recordLevel,
  withBody,
} from './record.ts';

const message = {
  ...RECORD_DEFAULTS,
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

  for (const flag of ['idOnly', 'satisfiedByAny', 'bodyElsewhere', 'tombstone', 'journalled'] as const)
    test(`each flag by itself: ${flag}`, () => {
      const read = decodeRecord(encodeRecord({ ...message, content: 'json', [flag]: true }));
      const { idOnly, satisfiedByAny, bodyElsewhere, tombstone, journalled } = read;
      const flags = { idOnly, satisfiedByAny, bodyElsewhere, tombstone, journalled };
      assert.deepEqual(
        Object.entries(flags).flatMap(([name, set]) => (set ? [name] : [])),
        [flag],
      );
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
    ['of another version', changed(0, 1)],
    ['with content unknown', changed(1, 3)],
    ['whose attributes run past its end', changed(45, 255)],
  ];
  for (const [title, bytes] of bad)
    test(`is refused when it is ${title}`, () => assert.throws(() => decodeRecord(bytes), InvalidRecordError));
});

test('a conflation key is found where attributes begin with one, and nowhere else', () => {
  const of = (value: object | string) =>
    conflationKeyOf(new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)));
  assert.equal(of({ conflationKey: 'px"é', level: 3 }), 'px"é');
  for (const none of ['', '{}', { level: 3 }, { type: 'conflationKey' }, { level: 3, conflationKey: 'x' }])
    assert.equal(of(none), null);
});

test('level and journalled are read without decoding the rest', () => {
  for (const level of [null, 0, 9])
    for (const journalled of [false, true]) {
      const bytes = encodeRecord({ ...message, content: 'json', level, journalled });
      assert.deepEqual([recordLevel(bytes), isJournalled(bytes)], [level, journalled]);
    }
});

test('the body of a fan-out is filled in from its message; header and attributes stay the stream’s', () => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const base = {
    ...RECORD_DEFAULTS,
    id: '01JD9Z6Y4M8Q0V2X4B6D8F0H2K' as MessageId,
    publishedAtMs: 1,
    expiresAtMs: 2,
    content: 'text',
  } as const;
  const kept = encodeRecord({ ...base, attributes: text('{"a":1}'), body: text(''), bodyElsewhere: true, level: 4 });
  const whole = encodeRecord({ ...base, attributes: text('{}'), body: text('hello') });
  assert.deepEqual([isBodyElsewhere(kept), isBodyElsewhere(whole)], [true, false]);
  const { level, attributes, body, bodyElsewhere } = decodeRecord(withBody(kept, whole));
  assert.deepEqual(
    [level, new TextDecoder().decode(attributes), new TextDecoder().decode(body), bodyElsewhere],
    [4, '{"a":1}', 'hello', false],
  );
});
