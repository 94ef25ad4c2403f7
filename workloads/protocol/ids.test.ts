import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  InvalidNameError,
  messageIdAt,
  parseAccountId,
  parseAppId,
  parseDeviceId,
  parseMessageId,
  parseTopicName,
} from './ids.ts';

const longest = 'x'.repeat(128);

describe('names', () => {
  const good: readonly [parse: (value: unknown) => string, values: readonly string[]][] = [
    [parseAppId, ['a', 'shop-2', '0'.repeat(63)]],
    [parseAccountId, ['A', 'user@example.org', longest]],
    [parseDeviceId, ['d:1', 'a.b_c~d/e-f', longest]],
    [parseTopicName, ['news', 'chat/1', longest]],
    [parseMessageId, ['01ARZ3NDEKTSV4RRFFQ69G5FAV']],
  ];
  for (const [parse, values] of good)
    test(`${parse.name} takes ${values.map((value) => value.slice(0, 20)).join(', ')}`, () =>
      assert.deepEqual(
        values.map((value) => parse(value)),
        values,
      ));

  const bad: readonly [parse: (value: unknown) => string, values: readonly unknown[]][] = [
    [parseAppId, ['', 'Shop', '-a', 'a-', 'a.b', '0'.repeat(64), 1, null]],
    [parseAccountId, ['', ' a', '.a', 'a{b}', 'ä', `${longest}x`, undefined]],
    [parseDeviceId, ['@d', 'a b', 'a\n', `${longest}x`]],
    [parseTopicName, ['$all', '$x', '@normal', 'a*', `${longest}x`]],
    [parseMessageId, ['', '01ARZ3NDEKTSV4RRFFQ69G5FA', '01arz3ndektsv4rrffq69g5fav', 'I1ARZ3NDEKTSV4RRFFQ69G5FAV']],
  ];
  for (const [parse, values] of bad)
    for (const value of values)
      test(`${parse.name} refuses ${JSON.stringify(value)?.slice(0, 30) ?? 'nothing'}, naming the field`, () =>
        assert.throws(
          () => parse(value),
          (error) => error instanceof InvalidNameError && /^[a-z]+: expected/.test(error.message),
        ));

  test('$all is a topic only where it is allowed', () => assert.equal(parseTopicName('$all', 'topic', true), '$all'));
});

describe('a message id', () => {
  test('sorts by time and parses', () => {
    const random = Uint8Array.from({ length: 10 }, () => 255);
    const ids = [0, 1, 31, 32, 1_800_000_000_000, 2 ** 48 - 1].map((ms) => messageIdAt(ms, random));
    assert.deepEqual([...ids].sort(), ids);
    assert.deepEqual(
      ids.map((id) => parseMessageId(id)),
      ids,
    );
  });
  test('tells two apart by their random part alone', () => {
    const zeros = new Uint8Array(10);
    const one = zeros.with(9, 1);
    assert.notEqual(messageIdAt(5, zeros), messageIdAt(5, one));
    assert.equal(messageIdAt(5, zeros), '0000000005' + '0'.repeat(16));
  });
});
