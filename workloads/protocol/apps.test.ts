import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isTopicAllowed, parseAppsDocument } from './apps.ts';
import { InvalidDocumentError } from './routing.ts';

const SHA = 'ab'.repeat(32);
const full = {
  name: 'shop',
  publicKeys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA' }],
  apiKeys: [{ name: 'backend', sha256: SHA }],
  authWebhook: { url: 'http://auth.shop/check', timeoutMs: 2000 },
  allowedTopics: ['news', 'chat.*'],
  quotas: { messagesPerSecond: 100, devicesPerAccount: 8 },
  delivery: { ttlMs: 60_000 },
};
const text = (...apps: unknown[]) => JSON.stringify({ version: 1, revision: 'r1', apps });

describe('apps document', () => {
  test('is read as it was written, without fields it does not know', () => {
    assert.deepEqual(parseAppsDocument(text({ ...full, later: 1 })), { version: 1, revision: 'r1', apps: [full] });
  });

  test('gives lists and objects that were left out as empty', () => {
    const bare = { publicKeys: [], apiKeys: [], allowedTopics: [], quotas: {}, delivery: {} };
    assert.deepEqual(parseAppsDocument(text({ name: 'shop' })).apps, [{ name: 'shop', ...bare }]);
  });

  const wrong: readonly [text: string, field: string][] = [
    ['no json', 'apps document'],
    ['[]', 'apps document'],
    [JSON.stringify({ version: 2, revision: 'r', apps: [] }), 'version'],
    [JSON.stringify({ version: 1, apps: [] }), 'revision'],
    [JSON.stringify({ version: 1, revision: 'r' }), 'apps'],
    [text({ ...full, name: 'Shop' }), 'apps[0].name'],
    [text(full, full), 'apps: expected each name once'],
    [text({ ...full, apiKeys: [{ name: 'a', sha256: 'plain' }] }), 'apps[0].apiKeys[0].sha256'],
    [text({ ...full, authWebhook: { url: '' } }), 'apps[0].authWebhook.url'],
    [text({ ...full, quotas: { messagesPerSecond: -1 } }), 'apps[0].quotas.messagesPerSecond'],
    [text({ ...full, allowedTopics: [1] }), 'apps[0].allowedTopics[0]'],
  ];
  for (const [document, field] of wrong)
    test(`is refused whole, naming ${field}`, () => {
      assert.throws(
        () => parseAppsDocument(document),
        (error: unknown) => error instanceof InvalidDocumentError && error.message.startsWith(field),
      );
    });
});

test('a topic is allowed by its name or a prefix ending in *', () => {
  const allowed = ['news', 'chat.a', 'chat.'].map((topic) => isTopicAllowed(['news', 'chat.*'], topic));
  assert.deepEqual(allowed, [true, true, true]);
  assert.deepEqual(
    ['new', 'newsy', 'chat', 'x.chat.'].map((topic) => isTopicAllowed(['news', 'chat.*'], topic)),
    [false, false, false, false],
  );
});
