import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RefusedError } from '../../protocol/codes.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { conflationKeyOf } from '../../protocol/record.ts';
import { BODY_DEPTH_MAX, parseExactJson } from './exact-json.ts';
import { batchOf, headerKeyOf, parsePush } from './request.ts';
import type { Origin } from './request-content.ts';
import { ATTRIBUTE_FIELDS_MAX, BATCH_MESSAGES_MAX, LIVE_RECIPIENTS_MAX, SCHEDULE_MS_MAX } from './schemas/message.ts';

const parse = (value: unknown, headerKey: string | null = null) =>
  parsePush(value, { at: '', headerKey, nowMs: NOW_MS });
const NOW_MS = 1_800_000_000_000;
const to = { target: { device: 'phone-1' } };
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

test('a message is read with its defaults', () => {
  const { body, attributes, ...rest } = parse({ ...to, body: { a: [1, null] } });
  assert.deepEqual(rest, {
    target: { kind: 'device', device: 'phone-1' },
    class: 'durable',
    lane: 'normal',
    ttlMs: null,
    content: 'json',
    level: null,
    deliver: { attemptsMax: 0, ackTimeoutMs: 0, idOnly: false, satisfiedByAny: false },
    collapseKey: null,
    due: null,
    key: null,
    fingerprint: '',
  });
  assert.deepEqual([text(body), attributes.length], ['{"a":[1,null]}', 0]);
});

test('targets, contents and attributes are read', () => {
  assert.deepEqual(parse({ target: { account: 'ada' }, text: 'a' }).target, { kind: 'account', account: 'ada' });
  assert.deepEqual(parse({ target: { topic: 'chat.1' }, text: 'a' }).target, { kind: 'topic', topic: 'chat.1' });
  assert.deepEqual(parse({ target: { everyone: true }, text: 'a' }).target, { kind: 'topic', topic: '$all' });
  const bytes = parse({ ...to, bytes: 'AAEC/w==' });
  assert.deepEqual([bytes.content, [...bytes.body]], ['bytes', [0, 1, 2, 255]]);
  const empty = parse({ ...to, text: '', lane: 'low', ttlMs: LIMITS.ttlMaxMs });
  assert.deepEqual([empty.content, empty.body.length, empty.lane, empty.ttlMs], ['text', 0, 'low', LIMITS.ttlMaxMs]);
  const attributes = { type: 't', level: 9, fields: { region: 'north', n: 1.5, on: true } };
  assert.deepEqual(JSON.parse(text(parse({ ...to, body: null, attributes }).attributes)), attributes);
});

test('lists have each name once; groups, and whose ack is enough', () => {
  const target = (value: object) => parse({ target: value, text: 'a' });
  assert.deepEqual(target({ devices: ['a', 'b', 'a'] }).target, { kind: 'devices', devices: ['a', 'b'] });
  assert.deepEqual(target({ accounts: ['ada'] }).target, { kind: 'accounts', accounts: ['ada'] });
  assert.deepEqual(target({ group: 'friends' }).target, { kind: 'group', group: 'friends' });
  for (const value of [{ account: 'ada' }, { accounts: ['ada'] }, { group: 'friends' }]) {
    assert.equal(target({ ...value, satisfiedBy: 'any' }).deliver.satisfiedByAny, true);
    assert.equal(target({ ...value, satisfiedBy: 'all' }).deliver.satisfiedByAny, false);
  }
});

test('a list has at most 100,000 names, a live one 1,000', () => {
  const names = Array.from({ length: LIMITS.recipientsMax + 1 }, (_, i) => `device-${i}`);
  const list = (count: number, more: object = {}) =>
    parse({ target: { devices: names.slice(0, count) }, text: 'a', ...more }).target;
  const most = list(LIMITS.recipientsMax);
  assert.equal(most.kind === 'devices' && most.devices.length, LIMITS.recipientsMax);
  assert.throws(() => list(LIMITS.recipientsMax + 1), { code: 'invalid-request', field: 'target.devices' });
  assert.throws(() => list(0), { field: 'target.devices' });
  list(LIVE_RECIPIENTS_MAX, { class: 'live' });
  assert.throws(() => list(LIVE_RECIPIENTS_MAX + 1, { class: 'live' }), { field: 'target.devices' });
});

test('ways of delivery, keys and times are read', () => {
  const deliver = { attemptsMax: 3, ackTimeoutMs: 10_000, idOnly: true };
  const push = parse({ ...to, text: 'a', deliver, collapseKey: 'order-7', attributes: { level: 4 } });
  assert.deepEqual(push.deliver, { ...deliver, satisfiedByAny: false });
  assert.deepEqual([push.collapseKey, push.level], ['order-7', 4]);
  const due = (when: object) => parse({ ...to, text: 'a', ...when }).due;
  assert.deepEqual(due({ delayMs: 5000 }), { afterMs: 5000 });
  assert.equal(due({ delayMs: 0 }), null);
  assert.deepEqual(due({ delayMs: SCHEDULE_MS_MAX }), { afterMs: SCHEDULE_MS_MAX });
  assert.deepEqual(due({ deliverAtMs: NOW_MS + SCHEDULE_MS_MAX }), { atMs: NOW_MS + SCHEDULE_MS_MAX });
  assert.deepEqual(due({ deliverAtMs: 1 }), { atMs: 1 });
});

test('the conflation key stands first in the attributes, where gateways look for it', () => {
  const push = parse({ ...to, text: 'a', class: 'live', conflationKey: 'EUR', attributes: { level: 2 } });
  assert.equal(text(push.attributes), '{"conflationKey":"EUR","level":2}');
  assert.equal(conflationKeyOf(push.attributes), 'EUR');
  assert.throws(() => parse({ ...to, text: 'a', class: 'live', attributes: { conflationKey: 'EUR' } }), {
    field: 'attributes.conflationKey',
  });
});

test('who a client is stands in the attributes, and nobody can write it there', () => {
  const from = { account: 'ada', device: 'phone-1' } as Origin;
  const push = parsePush({ ...to, text: 'a' }, { at: '', headerKey: null, nowMs: NOW_MS, from });
  assert.equal(text(push.attributes), '{"from":{"account":"ada","device":"phone-1"}}');
  assert.throws(() => parse({ ...to, text: 'a', attributes: { from: { account: 'eve' } } }), {
    field: 'attributes.from',
  });
});

describe('half of a surrogate pair is refused', () => {
  const half = '\ud83d';
  const cases: readonly [field: string, value: object][] = [
    ['text', { text: `a${half}` }],
    ['body', { body: { a: [half] } }],
    ['body', { body: { [half]: 1 } }],
    ['body', { body: `\\\\${half}` }],
    ['attributes', { text: 'a', attributes: { type: half } }],
    ['idempotencyKey', { text: 'a', idempotencyKey: half }],
    ['collapseKey', { text: 'a', collapseKey: half }],
    ['conflationKey', { text: 'a', class: 'live', conflationKey: half }],
  ];
  for (const [field, value] of cases)
    test(`in ${field}: ${JSON.stringify(value)}`, () => {
      assert.throws(() => parse({ ...to, ...value }), { code: 'invalid-request', field });
    });
  test('a whole pair passes, and so does a text that only looks like half of one', () => {
    assert.equal(text(parse({ ...to, text: '\ud83d\ude00' }).body), '\ud83d\ude00');
    assert.equal(text(parse({ ...to, body: '\\ud83d' }).body), '"\\\\ud83d"');
  });
});

describe('a message is refused, naming the field, what was expected and what came', () => {
  const fields = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, i]));
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
  const cases: readonly [title: string, value: unknown, field: string, message: RegExp][] = [
    ['that is no object', 'hello', 'body', /^body: expected an object, got "hello"/],
    ['that is nothing', undefined, 'body', /got nothing/],
    ['without a target', { text: 'a' }, 'target', /^target: is missing/],
    ['with an unknown field', { ...to, text: 'a', extra: 1 }, 'extra', /^extra: is not a known field/],
    ['with an unknown target', { target: { user: 'a' }, text: 'a' }, 'target.user', /not a known field/],
    [
      'with no target in it',
      { target: {}, text: 'a' },
      'target',
      /exactly one of device, account, topic, everyone, devices, accounts, group/,
    ],
    ['with two', { target: { device: 'a', account: 'b' }, text: 'a' }, 'target', /exactly one of/],
    ['with everyone: false', { target: { everyone: false }, text: 'a' }, 'target.everyone', /expected true, got false/],
    ['with a device of another type', { target: { device: 7 }, text: 'a' }, 'target.device', /a text, got 7/],
    ['with a name that is no name', { target: { device: 'a b' }, text: 'a' }, 'target.device', /1–128 .* got "a b"/],
    ['with the topic $all', { target: { topic: '$all' }, text: 'a' }, 'target.topic', /1–128/],
    ['without a body', to, 'body', /exactly one of body, text and bytes/],
    ['with two bodies', { ...to, body: 1, text: 'a' }, 'body', /exactly one of body, text and bytes/],
    ['of an unknown class', { ...to, text: 'a', class: 'fast' }, 'class', /one of durable, live, got "fast"/],
    ['on an unknown lane', { ...to, text: 'a', lane: 'top' }, 'lane', /one of high, normal, low/],
    [
      'on a lane of a topic',
      { target: { topic: 'a' }, text: 'a', lane: 'low' },
      'lane',
      /only with device, account, lists and group/,
    ],
    ['with a lifetime of 0', { ...to, text: 'a', ttlMs: 0 }, 'ttlMs', /at least 1, got 0/],
    ['with too long a lifetime', { ...to, text: 'a', ttlMs: LIMITS.ttlMaxMs + 1 }, 'ttlMs', /at most 2592000000/],
    ['with half a millisecond', { ...to, text: 'a', ttlMs: 1.5 }, 'ttlMs', /a whole number, got 1.5/],
    ['with bytes that are no base64', { ...to, bytes: 'a-b=' }, 'bytes', /base64/],
    ['with base64 cut short', { ...to, bytes: 'AAE' }, 'bytes', /base64/],
    ['with too important a level', { ...to, text: 'a', attributes: { level: 10 } }, 'attributes.level', /at most 9/],
    ['with an unknown attribute', { ...to, text: 'a', attributes: { x: 1 } }, 'attributes.x', /not a known field/],
    [
      'with a field that is an object',
      { ...to, text: 'a', attributes: { fields: { a: {} } } },
      'attributes.fields.a',
      /a text or a number or true or false, got an object/,
    ],
    [
      'with too many fields',
      { ...to, text: 'a', attributes: { fields: fields(ATTRIBUTE_FIELDS_MAX + 1) } },
      'attributes.fields',
      /at most 32 fields/,
    ],
    ['with an empty key', { ...to, text: 'a', idempotencyKey: '' }, 'idempotencyKey', /at least 1 characters/],
    ['with a long key', { ...to, text: 'a', idempotencyKey: 'k'.repeat(129) }, 'idempotencyKey', /at most 128/],
    [
      'that is live and has a key',
      { ...to, text: 'a', class: 'live', idempotencyKey: 'k' },
      'idempotencyKey',
      /only with class durable/,
    ],
    ['with half a list', { target: { devices: ['a', ''] }, text: 'a' }, 'target.devices[1]', /1–128/],
    ['with a group that is no name', { target: { group: ' ' }, text: 'a' }, 'target.group', /1–128/],
    [
      'with one ack for a device',
      { target: { device: 'a', satisfiedBy: 'any' }, text: 'a' },
      'target.satisfiedBy',
      /only with account, accounts or group/,
    ],
    ['with no attempt', { ...to, text: 'a', deliver: { attemptsMax: 0 } }, 'deliver.attemptsMax', /at least 1/],
    [
      'with too many attempts',
      { ...to, text: 'a', deliver: { attemptsMax: 101 } },
      'deliver.attemptsMax',
      /at most 100/,
    ],
    [
      'with too short a wait',
      { ...to, text: 'a', deliver: { ackTimeoutMs: 99 } },
      'deliver.ackTimeoutMs',
      /at least 100/,
    ],
    ['with a delay past 30 days', { ...to, text: 'a', delayMs: SCHEDULE_MS_MAX + 1 }, 'delayMs', /at most/],
    [
      'with a time past 30 days',
      { ...to, text: 'a', deliverAtMs: NOW_MS + SCHEDULE_MS_MAX + 1 },
      'deliverAtMs',
      /from now/,
    ],
    ['with two times', { ...to, text: 'a', deliverAtMs: 1, delayMs: 1 }, 'deliverAtMs', /one of/],
    ['with a long collapse key', { ...to, text: 'a', collapseKey: 'k'.repeat(129) }, 'collapseKey', /at most 128/],
    ['live and scheduled', { ...to, text: 'a', class: 'live', delayMs: 1 }, 'delayMs', /only with class durable/],
    ['live with attempts', { ...to, text: 'a', class: 'live', deliver: {} }, 'deliver', /only with class durable/],
    [
      'durable with a conflation key',
      { ...to, text: 'a', conflationKey: 'k' },
      'conflationKey',
      /only with class live/,
    ],
    ['nested too deep', { ...to, body: nested(BODY_DEPTH_MAX + 1) }, 'body', /at most 64 levels/],
  ];
  for (const [title, value, field, message] of cases)
    test(title, () => {
      assert.throws(
        () => parse(value),
        (error: unknown) => {
          assert.ok(error instanceof RefusedError);
          assert.deepEqual([error.code, error.field], ['invalid-request', field]);
          assert.match(error.message, message);
          return true;
        },
      );
    });
  test('also as one of a batch, by its place', () => {
    assert.throws(() => parsePush({ ...to, text: 1 }, { at: 'messages[3]', headerKey: null, nowMs: NOW_MS }), {
      field: 'messages[3].text',
      message: 'messages[3].text: expected a text, got 1',
    });
  });
});

test('bodies and attributes of the largest size pass, one byte more is too large', () => {
  const most = LIMITS.bodyBytesMax;
  assert.equal(parse({ ...to, text: 'x'.repeat(most) }).body.length, most);
  assert.equal(parse({ ...to, body: 'x'.repeat(most - 2) }).body.length, most);
  assert.equal(parse({ ...to, bytes: Buffer.alloc(most).toString('base64') }).body.length, most);
  assert.equal(
    parse({ ...to, body: Array.from({ length: BODY_DEPTH_MAX }).reduce((inner) => [inner], 1) }).content,
    'json',
  );
  for (const [field, value] of [
    ['text', { text: `${'x'.repeat(most - 1)}é` }],
    ['body', { body: 'x'.repeat(most - 1) }],
    ['bytes', { bytes: Buffer.alloc(most + 1).toString('base64') }],
    ['attributes', { text: '', attributes: { fields: { a: 'x'.repeat(LIMITS.attributesBytesMax) } } }],
  ] as const)
    assert.throws(() => parse({ ...to, ...value }), { code: 'too-large', field });
});

test('the key comes from the header or the field; two that differ are refused', () => {
  assert.equal(parse({ ...to, text: 'a' }, 'k').key, 'k');
  assert.equal(parse({ ...to, text: 'a', idempotencyKey: 'k' }, 'k').key, 'k');
  assert.throws(() => parse({ ...to, text: 'a', idempotencyKey: 'j' }, 'k'), { field: 'idempotencyKey' });
  assert.equal(headerKeyOf(undefined), null);
  assert.equal(headerKeyOf('k'.repeat(128)), 'k'.repeat(128));
  for (const wrong of ['', 'k'.repeat(129), ['a', 'b']])
    assert.throws(() => headerKeyOf(wrong), { field: 'Idempotency-Key' });
});

test('the fingerprint tells apart what differs, and nothing else', () => {
  const base = { ...to, text: 'a', idempotencyKey: 'k' };
  const print = (over: object): string => parse({ ...base, ...over }).fingerprint;
  assert.equal(print({}), print({ class: 'durable' }));
  const prints = [
    print({}),
    print({ text: 'b' }),
    print({ target: { device: 'phone-2' } }),
    print({ target: { account: 'phone-1' } }),
    print({ lane: 'high' }),
    print({ ttlMs: 5 }),
    print({ attributes: { level: 1 } }),
    print({ delayMs: 5 }),
    print({ collapseKey: 'c' }),
    print({ deliver: { idOnly: true } }),
    print({ target: { account: 'phone-1', satisfiedBy: 'any' } }),
    print({ target: { devices: ['phone-1'] } }),
    parse({ ...to, bytes: 'YQ==', idempotencyKey: 'k' }).fingerprint,
  ];
  assert.equal(new Set(prints).size, prints.length);
});

test('a batch has 1–1,000 messages and nothing beside them', () => {
  assert.equal(batchOf({ target: {} }), null);
  assert.equal(batchOf(null), null);
  assert.equal(batchOf({ messages: Array.from({ length: BATCH_MESSAGES_MAX }) })?.length, BATCH_MESSAGES_MAX);
  for (const wrong of [
    { messages: [] },
    { messages: {} },
    { messages: [1], target: {} },
    { messages: Array.from({ length: BATCH_MESSAGES_MAX + 1 }) },
  ])
    assert.throws(() => batchOf(wrong), { code: 'invalid-request' });
});

describe('exact JSON', () => {
  const kept = [
    '12345678901234567890',
    '-0.10000000000000000555',
    '1e400',
    '{"a":[9007199254740993,1.5],"b":"12345678901234567890"}',
    '{"a":"\\\\","b":12345678901234567890}',
    '{"a":"\\"","b":12345678901234567890,"c":"\\\\\\""}',
    '1e-400',
  ];
  for (const json of kept)
    test(`keeps ${json}`, () => {
      assert.equal(JSON.stringify(parseExactJson(json)), json);
    });
  test('gives numbers that a double holds as numbers', () => {
    assert.deepEqual(
      ['1e3', '1.50', '9007199254740991', '0.1', '[1,"2234567890123456"]'].map((json) => parseExactJson(json)),
      [1000, 1.5, 9007199254740991, 0.1, [1, '2234567890123456']],
    );
  });
  test('does not take digits in texts for numbers, also where a text is cut short', () => {
    const json = '["1234567890123456789","a\\\\",1.5,"x\\"1e9"]';
    assert.deepEqual(parseExactJson(json), ['1234567890123456789', 'a\\', 1.5, 'x"1e9']);
    assert.throws(() => parseExactJson('["1234567890123456789'), SyntaxError);
  });
  test('a body keeps its digits up to the record', () => {
    const json = '{"target":{"device":"a"},"body":{"id":12345678901234567890}}';
    assert.equal(text(parse(parseExactJson(json)).body), '{"id":12345678901234567890}');
  });
  test('nesting without end is a fault of the text, not ours', () => {
    const deep = '['.repeat(100_000) + '1234567890123456789' + ']'.repeat(100_000);
    assert.throws(() => parseExactJson(deep), SyntaxError);
  });
});
