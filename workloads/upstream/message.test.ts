import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BusRecord } from '../bus/port.ts';
import { anUpstreamRecord, received } from './fixtures.ts';
import { parseMessage } from './message.ts';

test('a record as gateways publish it becomes a typed message', () => {
  const parsed = parseMessage(received(anUpstreamRecord({ body: { text: 'ä' } }), 7, 3));
  assert.deepEqual(parsed, {
    kind: 'message',
    message: {
      app: 'shop',
      account: 'ann',
      device: 'd',
      gateway: 'gw-0',
      kind: 'order',
      key: 'k1',
      receivedAtMs: 1_800_000_000_000,
      bodyText: '{"text":"ä"}',
      body: { text: 'ä' },
      origin: '3-7',
    },
  });
});

test('a re-driven record keeps the place where it stood first', () => {
  const record = anUpstreamRecord();
  const again = parseMessage(received({ ...record, headers: { ...record.headers, origin: '1-2' } }, 9, 1));
  assert.equal(again.kind === 'message' && again.message.origin, '1-2');
});

const good = anUpstreamRecord();
const without = (name: string): BusRecord => ({
  ...good,
  headers: Object.fromEntries(Object.entries(good.headers).filter(([header]) => header !== name)),
});
const withHeader = (name: string, value: string): BusRecord => ({
  ...good,
  headers: { ...good.headers, [name]: value },
});

for (const [what, record, reason] of [
  ['no app', without('app'), /^app: expected a DNS label/],
  ['an app of another form', withHeader('app', 'A/B'), /^app: expected a DNS label/],
  ['no account', without('account'), /^account: expected 1–128/],
  ['a device with a space', withHeader('device', 'a b'), /^device: expected 1–128/],
  ['no kind', without('kind'), /^kind: expected 1–64 characters, got 0/],
  ['a kind past its limit', withHeader('kind', 'k'.repeat(65)), /^kind: expected 1–64 characters, got 65/],
  ['a key past its limit', withHeader('key', 'k'.repeat(129)), /^key: expected 1–128 characters, got 129/],
  ['a time that is none', withHeader('receivedAtMs', 'soon'), /^receivedAtMs: expected ms/],
  ['a body that is no JSON', { ...good, value: Buffer.from('{') }, /^body: expected JSON/],
  ['a body that is no UTF-8', { ...good, value: Buffer.from([0xff, 0xfe]) }, /^body: expected UTF-8/],
] as const)
  test(`${what} is malformed, by name`, () => {
    const parsed = parseMessage(received(record));
    assert.equal(parsed.kind, 'malformed');
    assert.match(parsed.kind === 'malformed' ? parsed.reason : '', reason);
  });

test('kinds and keys at their limits are taken', () => {
  assert.equal(parseMessage(received(withHeader('kind', 'k'.repeat(64)))).kind, 'message');
  assert.equal(parseMessage(received(withHeader('key', 'k'.repeat(128)))).kind, 'message');
});
