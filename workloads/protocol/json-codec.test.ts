import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Epoch, MessageId, TopicName } from './ids.ts';
import { InvalidFrameError } from './forms.ts';
import { decodeClientFrame, encodeFetched, encodeMessage, encodeServerFrame } from './json-codec.ts';
import { LIMITS } from './limits.ts';
import { RECORD_DEFAULTS } from './record.ts';
import type { Content, MessageRecord } from './record.ts';

const position = { stream: '@normal', epoch: 'e1', offset: 3 };
const ID = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
const texts = (count: number) => Array.from({ length: count }, (_, i) => `t${i}`);
const fields = (count: number, values: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, Array.from({ length: values }, (__, n) => n)]));
const filtered = (filter: unknown) => ({ type: 'subscribe', id: 1, topics: [{ topic: 'a', filter }] });
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
    ['upstream with an order key', { type: 'upstream', id: 1, kind: 'k', key: 'k', order: 'o'.repeat(128), body: 1 }],
    [
      'hello that pulls, for two lanes',
      { type: 'hello', version: 1, token: 't', offline: 'pull', lanes: ['high', 'low'] },
    ],
    ['hello that wants no lane', { type: 'hello', version: 1, token: 't', offline: 'push', lanes: [] }],
    ['ack of single messages', { type: 'ack', positions: [], ids: [{ stream: '@high', id: ID }] }],
    ['nack', { type: 'nack', stream: '@normal', offset: 4, reason: 'r'.repeat(LIMITS.nackReasonCharsMax) }],
    [
      'nack with all it may say',
      {
        type: 'nack',
        stream: 'a',
        offset: 4,
        epoch: 'e',
        reason: 'r',
        retryAfterMs: LIMITS.nackRetryAfterMs,
        final: 'person',
      },
    ],
    ['pull', { type: 'pull', id: 1, stream: '@low', max: LIMITS.pullMessagesMax }],
    ['fetch', { type: 'fetch', id: 1, stream: 'a', offset: 4 }],
    ['fetch with epoch', { type: 'fetch', id: 1, stream: 'a', offset: 4, epoch: 'e' }],
    ['send to a device', { type: 'send', id: 1, key: 'k', to: { device: 'd' }, body: null }],
    ['send to an account', { type: 'send', id: 1, key: 'k', to: { account: 'a' }, body: [1], ttlMs: LIMITS.ttlMaxMs }],
    ['send to a group', { type: 'send', id: 1, key: 'k', to: { group: 'g' }, body: 'x' }],
    ['group', { type: 'group', id: 1, op: 'create', group: 'g', members: ['a', 'b'] }],
    ['members of a group', { type: 'group', id: 1, op: 'members', group: 'g', after: 'a' }],
    ['subscribe that wants everything again', { type: 'subscribe', id: 1, topics: [{ topic: 'a', filter: null }] }],
    [
      'subscribe with the largest filter',
      {
        type: 'subscribe',
        id: 1,
        topics: [
          { topic: 'a', epoch: 'e', offset: 1, filter: { levelMin: 9, types: texts(32), fields: fields(8, 32) } },
        ],
      },
    ],
    [
      'a filter without the parts that a later version may add',
      { type: 'subscribe', id: 1, topics: [{ topic: 'a', filter: { levelMin: 1, later: 1 } }] },
      { type: 'subscribe', id: 1, topics: [{ topic: 'a', filter: { levelMin: 1 } }] },
    ],
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
    [{}, /^type: expected a frame .*got nothing$/],
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
    [{ type: 'upstream', id: 1, kind: 'k', key: 'k', order: 'o'.repeat(129), body: 1 }, /^order: /, 1],
    [{ type: 'hello', version: 1, offline: 'poll' }, /^offline: expected push or pull, got "poll"$/],
    [{ type: 'hello', version: 1, lanes: ['urgent'] }, /^lanes\[0\]: expected high or normal or low/],
    [{ type: 'hello', version: 1, lanes: ['high', 'low', 'high', 'low'] }, /^lanes: .*at most 3, got 4$/],
    [{ type: 'ack', positions: [], ids: [{ stream: 'news', id: ID }] }, /^ids\[0\]\.stream: expected a lane/],
    [{ type: 'ack', positions: [], ids: [{ stream: '@low', id: 'x' }] }, /^ids\[0\]\.id: /],
    [{ type: 'ack', positions: [], ids: Array.from({ length: 257 }, () => 0) }, /^ids: .*got 257$/],
    [{ type: 'nack', stream: 'a', offset: 1 }, /^reason: .*got nothing$/],
    [{ type: 'nack', stream: 'a', offset: 1, reason: 'r'.repeat(201) }, /^reason: .*got 201 characters$/],
    [{ type: 'nack', stream: 'a', offset: 1, reason: 'r', final: 'yes' }, /^final: expected dead or person/],
    [{ type: 'nack', stream: 'a', offset: 1, reason: 'r', retryAfterMs: 3600_001 }, /^retryAfterMs: .*got 3600001$/],
    [{ type: 'pull', id: 1, stream: '@low', max: 0 }, /^max: expected a whole number of 1–256, got 0$/, 1],
    [{ type: 'pull', id: 1, stream: '@low', max: 257 }, /^max: /, 1],
    [{ type: 'fetch', id: 1, stream: '@low' }, /^offset: /, 1],
    [{ type: 'send', id: 1, key: 'k', to: {}, body: 1 }, /^to: expected one of .*got 0 of them$/, 1],
    [{ type: 'send', id: 1, key: 'k', to: { device: 'd', group: 'g' }, body: 1 }, /^to: .*got 2 of them$/, 1],
    [{ type: 'send', id: 1, key: 'k', to: { group: 'a b' }, body: 1 }, /^to\.group: /, 1],
    [{ type: 'send', id: 1, key: 'k', to: { device: 'd' } }, /^body: /, 1],
    [{ type: 'send', id: 1, key: 'k', to: { device: 'd' }, body: 1, ttlMs: LIMITS.ttlMaxMs + 1 }, /^ttlMs: /, 1],
    [{ type: 'group', id: 1, op: 'rename', group: 'g' }, /^op: /, 1],
    [{ type: 'group', id: 1, op: 'create', group: '' }, /^group: /, 1],
    [{ type: 'group', id: 1, op: 'create', group: 'g', members: texts(257) }, /^members: .*got 257$/, 1],
    [filtered('x'), /^topics\[0\]\.filter: expected an object, got "x"$/, 1],
    [filtered({ levelMin: 10 }), /^topics\[0\]\.filter\.levelMin: .*0–9, got 10$/, 1],
    [filtered({ types: texts(33) }), /^topics\[0\]\.filter\.types: .*at most 32, got 33$/, 1],
    [filtered({ types: [''] }), /^topics\[0\]\.filter\.types\[0\]: /, 1],
    [filtered({ fields: fields(9, 1) }), /^topics\[0\]\.filter\.fields: expected at most 8 fields, got 9$/, 1],
    [filtered({ fields: fields(1, 33) }), /^topics\[0\]\.filter\.fields\.f0: .*got 33$/, 1],
    [filtered({ fields: { f: [null] } }), /^topics\[0\]\.filter\.fields\.f\[0\]: .*got null$/, 1],
    [filtered({ types: texts(32).map((type) => type.padEnd(64)) }), /^topics\[0\]\.filter: .*2048 bytes.*got 21/, 1],
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
    ...RECORD_DEFAULTS,
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
  test('names the attempt from the second on', () => {
    const one = record('json', Buffer.from('1'));
    assert.deepEqual(read(encodeMessage(one, { ...place, attempt: 1 })), { ...common, offset: 7, body: 1 });
    assert.deepEqual(read(encodeMessage(one, { ...place, attempt: 2 })), { ...common, offset: 7, attempt: 2, body: 1 });
  });
  test('leaves its body out when its record or its place says so, but never when it is live', () => {
    const one = record('text', Buffer.from('long'), '{"a":1}');
    const short = { ...common, offset: 7, attributes: { a: 1 }, idOnly: true };
    assert.deepEqual(read(encodeMessage(one, { ...place, idOnly: true })), short);
    assert.deepEqual(read(encodeMessage({ ...one, idOnly: true }, place)), short);
    const live = encodeMessage({ ...one, idOnly: true }, { ...place, offset: 0, prev: 0, idOnly: true });
    assert.deepEqual(read(live), { ...common, attributes: { a: 1 }, encoding: 'text', body: 'long' });
  });
  test('that was journalled says that it comes again, until it has its offset', () => {
    const one = { ...record('json', Buffer.from('1')), journalled: true };
    assert.deepEqual(read(encodeMessage(one, { ...place, offset: 0, prev: 0 })), { ...common, later: true, body: 1 });
    assert.deepEqual(read(encodeMessage(one, place)), { ...common, offset: 7, body: 1 });
  });
  test('is fetched as it is in its record', () => {
    for (const [content, body, more] of [
      ['json', '{"a": [1]}', { body: { a: [1] } }],
      ['text', '"€', { encoding: 'text', body: '"€' }],
      ['bytes', 'xyz', { encoding: 'base64', body: 'eHl6' }],
    ] as const)
      assert.deepEqual(read(encodeFetched(9, record(content, Buffer.from(body)))), { type: 'fetched', id: 9, ...more });
  });
});

test('a server frame is its JSON text', () => {
  const state = { stream: '@low' as const, epoch: 'e' as Epoch, offset: 1, recovered: true };
  assert.deepEqual(JSON.parse(encodeServerFrame({ type: 'stream', state })), { type: 'stream', state });
});
