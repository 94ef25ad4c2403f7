import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WEBHOOK_KEYS } from '../upstream/fixtures.ts';
import { systemClock } from './clock.ts';
import { PostError, openPoster } from './signed-post.ts';

const BODY = Buffer.from('{}');

// Tried again for ever, as a failure of ours would be, a notice to one of these would never end.
for (const url of ['http://[', 'https://', 'file:///etc/passwd', 'no url', 'ftp://example.com/'])
  test(`a URL that nobody can post to is refused for good: ${url}`, async () => {
    const post = openPoster({ keys: () => WEBHOOK_KEYS, allowPrivate: true, clock: systemClock });
    await assert.rejects(
      post({ url, body: BODY, timeoutMs: 1000 }),
      (error) => error instanceof PostError && error.code === 'address',
    );
  });

// However it is written, and whatever a name resolves to.
for (const host of [
  '2130706433',
  '0x7f.1',
  '127.0.0.1.',
  '[::ffff:7f00:1]',
  '[::1]',
  '0',
  'localhost',
  '[64:ff9b:1::1]',
])
  test(`no private address is reached by http://${host}/`, async () => {
    const post = openPoster({ keys: () => WEBHOOK_KEYS, allowPrivate: false, clock: systemClock });
    await assert.rejects(
      post({ url: `http://${host}:1/`, body: BODY, timeoutMs: 1000 }),
      (error) => error instanceof PostError && error.code === 'address',
    );
  });
