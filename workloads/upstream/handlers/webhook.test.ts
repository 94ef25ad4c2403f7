// The handler webhook against a real HTTP server.
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { openPoster } from '../../runtime/signed-post.ts';
import { openStore } from '../../store/open.ts';
import { Claims, nameOfMessage } from '../claims.ts';
import { aMessage, WEBHOOK_KEYS } from '../fixtures.ts';
import { HandlerUnavailableError } from './handler.ts';
import type { Outcome, UpstreamHandler } from './handler.ts';
import { openWebhook } from './webhook.ts';

interface Posted {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

async function aBusiness(t: TestContext, answer: (response: ServerResponse) => void) {
  const posted: Posted[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      posted.push({ headers: request.headers, text: Buffer.concat(chunks).toString() });
      answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { posted, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`, server };
}

async function aWebhook(t: TestContext, url: string, allowPrivate = true): Promise<UpstreamHandler> {
  const store = await openStore({
    url: `sqlite::memory:${Math.random()}`,
    password: '',
    timeoutMs: 1000,
    clock: systemClock,
    log: silentLog,
  });
  t.after(() => store.close());
  return openWebhook({
    url,
    post: openPoster({ keys: () => WEBHOOK_KEYS, allowPrivate, clock: systemClock }),
    claims: new Claims(store, systemClock),
    timeoutMs: 300,
    concurrency: 4,
  });
}

const answering =
  (status: number, headers: Readonly<Record<string, string>> = {}) =>
  (response: ServerResponse): void =>
    void response.writeHead(status, headers).end('{}');

describe('the handler webhook', () => {
  test('posts the message with a signature that the public key verifies', async (t) => {
    const { posted, url } = await aBusiness(t, answering(204));
    const message = aMessage({ body: { t: 'ä' } });
    assert.deepEqual(await (await aWebhook(t, url)).handle([message]), [{ kind: 'handled' }]);
    const { headers, text } = posted[0]!;
    const { app, account, device, kind, key, receivedAtMs } = message;
    assert.deepEqual(JSON.parse(text), { app, account, device, kind, key, receivedAtMs, body: { t: 'ä' } });
    assert.equal(headers['pushcluster-id'], nameOfMessage(message));
    const parts = /^t=(\d+),kid=([^,]+),v1=(.+)$/.exec(String(headers['pushcluster-signature']))!;
    assert.equal(parts[2], WEBHOOK_KEYS[0]!.kid);
    const key1 = createPublicKey({ key: WEBHOOK_KEYS[0]!.publicJwk, format: 'jwk' });
    const signed = Buffer.from(`${parts[1]}.${text}`);
    assert.ok(verify(null, signed, key1, Buffer.from(parts[3]!, 'base64url')));
  });

  test('posts a copy that the client sent again only once, and goes on with a record of its own after a crash', async (t) => {
    const { posted, url } = await aBusiness(t, answering(200));
    const handler = await aWebhook(t, url);
    const kinds: string[] = [];
    for (const offset of [5, 5, 6]) kinds.push((await handler.handle([aMessage({}, offset)]))[0]!.kind);
    assert.deepEqual(kinds, ['handled', 'handled', 'duplicate']);
    assert.equal(posted.length, 2);
  });

  const expected: readonly (readonly [number, Readonly<Record<string, string>>, Outcome])[] = [
    [400, {}, { kind: 'rejected', reason: 'webhook: answered 400' }],
    [302, { location: 'http://127.0.0.1:1/' }, { kind: 'rejected', reason: 'webhook: answered 302' }],
    [500, {}, { kind: 'failed', reason: 'webhook: answered 500' }],
    [503, {}, { kind: 'unavailable', reason: 'webhook: answered 503' }],
    [429, { 'retry-after': '7' }, { kind: 'unavailable', reason: 'webhook: answered 429', retryAfterMs: 7000 }],
  ];
  for (const [status, headers, outcome] of expected)
    test(`${status} is ${outcome.kind}`, async (t) => {
      const { url } = await aBusiness(t, answering(status, headers));
      assert.deepEqual(await (await aWebhook(t, url)).handle([aMessage()]), [outcome]);
    });

  test('no answer in time is a failure; nobody there is not the message’s fault', async (t) => {
    const silent = await aBusiness(t, () => {});
    const [outcome] = await (await aWebhook(t, silent.url)).handle([aMessage()]);
    assert.deepEqual(outcome, { kind: 'failed', reason: 'webhook: expected an answer within 300 ms' });
    await assert.rejects((await aWebhook(t, 'http://127.0.0.1:1/')).handle([aMessage()]), HandlerUnavailableError);
  });

  test('goes to no private address unless that is allowed, by number or by name', async (t) => {
    const { url, posted } = await aBusiness(t, answering(200));
    for (const to of [url, url.replace('127.0.0.1', 'localhost')])
      await assert.rejects((await aWebhook(t, to, false)).handle([aMessage()]), /expected a public address/);
    assert.equal(posted.length, 0);
  });
});
