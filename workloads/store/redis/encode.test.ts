// Calls as bytes: RESP, byte for byte, for every kind of argument.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch } from './batch.ts';
import type { Argument, Call } from './batch.ts';
import { encodeCall } from './encode.ts';
import { aScript } from './scripts/script.ts';
import { Trip } from './trip.ts';

const script = aScript('one', { flags: '', itemsMax: 3 }, 'return 1');
const head = { verb: 'evalsha', life: 'L', epoch: 'E' } as const;

function aCall(...items: readonly { key: string; args: readonly Argument[] }[]): Call {
  const batch = new Batch(false);
  for (const item of items) batch.add({ script, bucket: 1, trip: new Trip(1), index: 0, moves: 0, ...item });
  return batch.calls[0]!;
}
/** As Redis reads it. */
function parts(bytes: Buffer): Buffer[] {
  let at = 0;
  const line = (type: string): number => {
    const end = bytes.indexOf('\r\n', at);
    assert.equal(String.fromCharCode(bytes[at]!), type);
    const size = Number(bytes.toString('latin1', at + 1, end));
    at = end + 2;
    return size;
  };
  const found = Array.from({ length: line('*') }, () => {
    const size = line('$');
    const part = bytes.subarray(at, at + size);
    at += size;
    assert.equal(bytes.toString('latin1', at, at + 2), '\r\n');
    at += 2;
    return part;
  });
  assert.equal(at, bytes.length, 'nothing behind it');
  return found;
}

test('a call is laid out as verb, sha, the keys, life and epoch, then the arguments of each item', () => {
  const bytes = encodeCall(aCall({ key: 'a', args: ['x', 1] }, { key: 'b', args: [Uint8Array.of(0, 255), 2] }), head);
  assert.deepEqual(
    parts(bytes).map((part) => part.toString('latin1')),
    ['evalsha', script.sha1, '2', 'a', 'b', 'L', 'E', 'x', '1', '\0ÿ', '2'],
  );
});

test('where Redis does not know the script, its text goes along', () => {
  const [verb, text] = parts(encodeCall(aCall({ key: 'a', args: [] }), { ...head, verb: 'eval' })).map(String);
  assert.deepEqual([verb, text], ['eval', script.text]);
});

const TEXTS = [
  '',
  'x',
  '\r\n$3',
  'ä',
  'x'.repeat(63) + 'ä',
  'x'.repeat(64),
  'x'.repeat(65),
  'ä'.repeat(64),
  '€'.repeat(500),
  '😀'.repeat(31),
  '\ud800',
];
for (const text of TEXTS)
  test(`a text of ${text.length} units (${JSON.stringify(text.slice(0, 4))}…) is UTF-8 as a key and as an argument`, () => {
    const found = parts(encodeCall(aCall({ key: text, args: [text, 'after'] }), head)).slice(3);
    assert.deepEqual(found.map(String), [Buffer.from(text), 'L', 'E', Buffer.from(text), 'after'].map(String));
  });

const NUMBERS = [0, -1, 9, 10, 1.5, 2 ** 53 - 1, -(2 ** 53), Number.MIN_VALUE, -Number.MAX_VALUE, 1e21];
for (const number of NUMBERS)
  test(`the number ${number} is its decimal text`, () => {
    assert.equal(String(parts(encodeCall(aCall({ key: 'k', args: [number] }), head)).at(-1)), String(number));
  });

test('bytes go as they are, of any size and from within a larger buffer', () => {
  const large = Uint8Array.from({ length: 70_000 }, (_, i) => (i * 31) % 256);
  for (const bytes of [large, large.subarray(3, 3), large.subarray(5, 104), Buffer.from(large).subarray(1, 12)])
    assert.deepEqual(parts(encodeCall(aCall({ key: 'k', args: [bytes] }), head)).at(-1), Buffer.from(bytes));
});

test('where a script takes it so, arguments that are all those of the item before are empty, and each call starts anew', () => {
  const repeating = aScript('two', { flags: '', itemsMax: 4, repeats: true }, '');
  const record = Uint8Array.of(1, 2);
  const same = ['id', record, 5];
  const rows = [same, ['id', record, 5], ['id', record, 6], ['id', Uint8Array.of(1, 2), 6], same];
  const batch = new Batch(false);
  for (const args of rows)
    batch.add({ script: repeating, bucket: 1, key: 'k', args, trip: new Trip(1), index: 0, moves: 0 });
  const sent = batch.calls.map((call) =>
    parts(encodeCall(call, head))
      .slice(3 + call.items.length + 2)
      .map(String),
  );
  assert.deepEqual(sent, [
    ['id', '\x01\x02', '5', '', '', '', 'id', '\x01\x02', '6', 'id', '\x01\x02', '6'],
    ['id', '\x01\x02', '5'],
  ]);
  const plainly = parts(encodeCall(aCall({ key: 'a', args: ['x'] }, { key: 'b', args: ['x'] }), head)).map(String);
  assert.deepEqual(plainly.slice(-2), ['x', 'x'], 'others get all of theirs');
});
