import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Epoch, MessageId, TopicName } from './ids.ts';
import { InvalidFrameError, decodeClientFrame, encodeMessage, encodeServerFrame } from './json-codec.ts';
import { LIMITS } from './limits.ts';
import type { Content, MessageRecord } from './record.ts';

const position = { stream: '@normal', epoch: 'e1', offset: 3 };
const list = (count: number) => Array.from({ length: count }, (_, i) => ({ topic: `t${i}` }));

describe('a client frame', () => {
  const good: readonly [title: string, frame: Record<string, unknown>, read?: unknown][] = [
    ['hello with token', { type: 'hello', version: 1, token: 't', positions: [position], agent: 'sdk/1' }],
    ['hello with ticket only', { type: 'hello', version: 1, ticket: 't' }],
    [
      'ack of a lane, $all and a topic',
      { type: 'ack', positions: ['@high', '$all', 'news'].map((stream) => ({ stream, offset: 0 })) },
    ],
    ['ack that names its epoch', { type: 'ack', positions: [{ stream: 'news', offset: 2, epoch: 'e1' }] }],
    [
      'subscribe with and without position',
      { type: 'subscribe', id: 0, topics: [{ topic: 'a' }, { topic: 'b', epoch: 'e', offset: 1 }] },
    ],
    ['subscribe with the most topics', { type: 'subscribe', id: 1, topics: list(LIMITS.positionsPerFrameMax) }],
    ['unsubscribe', { type: 'unsubscribe', id: 1, topics: ['a'] }],
    ['upstream with a null body', { type: 'upstream', id: 1, kind: 'k', key: 'k'.repeat(128), body: null }],
    ['ping', { type: 'ping' }],
    ['bye', { type: 'bye' }],
    ['fields that a later version may add', { type: 'ping', later: 1 }, { type: 'ping' }],
  ];
  for (const [title, frame, read = frame] of good)
    test(`is read: ${title}`, () => assert.deepEqual(decodeClientFrame(JSON.stringify(frame)), read));

  const bad: readonly [text: unknown, message: RegExp, id?: number][] = [
    ['{', /^expected JSON$/],
    ['[]', /^expected a JSON object, got a list$/],
    ['1', /^expected a JSON object, got 1$/],
    [{}, /^type: expected hello, .*got nothing$/],
    [{ type: 'toString' }, /^type: /],
    [{ type: 'publish', id: 4 }, /^type: .*got "publish"$/, 4],
    [{ type: 'hello' }, /^version: expected a whole number/],
    [{ type: 'hello', version: 1.5 }, /^version: .*got 1\.5$/],
    [{ type: 'hello', version: 1, token: '' }, /^token: expected a text of 1–8192/],
    [{ type: 'hello', version: 1, token: 'x'.repeat(LIMITS.credentialCharsMax + 1) }, /^token: .*8193 characters$/],
    [{ type: 'hello', version: 1, agent: 'x'.repeat(129) }, /^agent: /],
    [{ type: 'hello', version: 1, positions: {} }, /^positions: expected a list of at most 256, got an object$/],
    [{ type: 'hello', version: 1, positions: Array.from({ length: 257 }, () => position) }, /^positions: .*got 257$/],
    [{ type: 'hello', version: 1, positions: [{ ...position, stream: '@urgent' }] }, /^positions\[0\]\.stream: /],
    [{ type: 'hello', version: 1, positions: [{ ...position, epoch: 1 }] }, /^positions\[0\]\.epoch: /],
    [{ type: 'hello', version: 1, positions: [{ ...position, offset: -1 }] }, /^positions\[0\]\.offset: .*got -1$/],
    [{ type: 'ack' }, /^positions: .*got nothing$/],
    [{ type: 'ack', positions: [null] }, /^positions\[0\]: expected an object, got null$/],
    [{ type: 'subscribe', topics: [] }, /^id: /],
    [{ type: 'subscribe', id: 1, topics: list(257) }, /^topics: .*got 257$/, 1],
    [{ type: 'subscribe', id: 1, topics: [{ topic: '$all' }] }, /^topics\[0\]\.topic: /, 1],
    [{ type: 'subscribe', id: 1, topics: [{ topic: 'a', offset: 1 }] }, /^topics\[0\]\.epoch: /, 1],
    [{ type: 'unsubscribe', id: 1, topics: ['a b'] }, /^topics\[0\]: /, 1],
    [{ type: 'upstream', id: 1, kind: 'k', key: 'k' }, /^body: /, 1],
    [{ type: 'upstream', id: 1, kind: 'k'.repeat(65), key: 'k', body: 1 }, /^kind: /, 1],
    [{ type: 'upstream', id: 1, kind: 'k', key: '', body: 1 }, /^key: /, 1],
  ];
  for (const [value, message, id = null] of bad) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    test(`is refused: ${text.slice(0, 60)}`, () => {
      assert.throws(
        () => decodeClientFrame(text),
        (error) => error instanceof InvalidFrameError && message.test(error.message) && error.id === id,
      );
    });
  }
});

describe('a message', () => {
  const record = (content: Content, body: Uint8Array, attributes = ''): MessageRecord => ({
    id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' as MessageId,
    publishedAtMs: 5,
    expiresAtMs: 0,
    content,
    attributes: Buffer.from(attributes),
    body,
  });
  const read = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString());
  const common = { type: 'message', stream: 'news', id: '01ARZ3NDEKTSV4RRFFQ69G5FAV', sentAtMs: 5 };
  const place = { stream: 'news' as TopicName, offset: 7, prev: 6 };

  test('is spliced from its record, attributes and body as they are', () => {
    const bytes = encodeMessage(record('json', Buffer.from('{"ä": [1]}'), '{"level":2}'), place);
    assert.deepEqual(read(bytes), { ...common, offset: 7, attributes: { level: 2 }, body: { ä: [1] } });
  });
  test('names prev only where it is not the offset before', () => {
    const bytes = encodeMessage(record('json', Buffer.from('1')), { ...place, prev: 3 });
    assert.deepEqual(read(bytes), { ...common, offset: 7, prev: 3, body: 1 });
  });
  test('has no offset when it is live', () => {
    const bytes = encodeMessage(record('json', Buffer.from('1')), { ...place, offset: 0, prev: 0 });
    assert.deepEqual(read(bytes), { ...common, body: 1 });
  });
  test('carries text as a string and bytes in base64', () => {
    const body = Uint8Array.from({ length: 10_000 }, (_, i) => i % 256);
    assert.deepEqual(read(encodeMessage(record('text', Buffer.from('"\n€')), place)), {
      ...common,
      offset: 7,
      encoding: 'text',
      body: '"\n€',
    });
    const base64 = Buffer.from(body).toString('base64');
    assert.deepEqual(read(encodeMessage(record('bytes', body), place)), {
      ...common,
      offset: 7,
      encoding: 'base64',
      body: base64,
    });
  });
});

test('a server frame is its JSON text', () => {
  const state = { stream: '@low' as const, epoch: 'e' as Epoch, offset: 1, recovered: true };
  assert.deepEqual(JSON.parse(encodeServerFrame({ type: 'stream', state })), { type: 'stream', state });
});
