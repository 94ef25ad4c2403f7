import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, test } from 'node:test';
import { RefusedError } from '../protocol/codes.ts';
import type { ErrorCode } from '../protocol/codes.ts';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_IN_FLIGHT_MAX, openWebhook } from './webhook.ts';

const QUESTION = { app: 'legacy', account: 'ada', device: 'phone-1', credential: { session: 'abc' } };
const closers: (() => void)[] = [];
after(() => closers.forEach((close) => close()));

/** A webhook of an app, on a port of its own. */
async function anApp(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/auth`;
}
function answering(body: string, status = 200): RequestListener {
  return (_request, response) => response.writeHead(status, { location: 'http://127.0.0.1:9/' }).end(body);
}
function aWebhook(clock = aManualClock()) {
  return openWebhook({ fetch, clock });
}
function isRefused(code: ErrorCode, part = '') {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RefusedError);
    assert.equal(error.code, code, error.message);
    return error.message.includes(part);
  };
}

describe('auth webhook', () => {
  test('is posted the question as JSON', async () => {
    let seen: unknown;
    const url = await anApp((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        seen = [request.method, request.headers['content-type'], JSON.parse(text)];
        response.end('{"allow":true}');
      });
    });
    assert.deepEqual(await aWebhook().ask({ url, timeoutMs: 1000 }, QUESTION, silentLog), { topics: null });
    assert.deepEqual(seen, ['POST', 'application/json', QUESTION]);
  });

  test('may narrow topics', async () => {
    const url = await anApp(answering('{"allow":true,"topics":["news"]}'));
    assert.deepEqual(await aWebhook().ask({ url, timeoutMs: 1000 }, QUESTION, silentLog), { topics: ['news'] });
  });

  const filled = (bytes: number): string => `{"allow":true}${' '.repeat(bytes - 14)}`;
  test('may answer as many bytes as the limit', async () => {
    const url = await anApp(answering(filled(WEBHOOK_ANSWER_BYTES_MAX)));
    assert.ok(await aWebhook().ask({ url, timeoutMs: 1000 }, QUESTION, silentLog));
  });

  const refusals: readonly [title: string, listener: RequestListener, code: ErrorCode, part: string][] = [
    ['saying no refuses', answering('{"allow":false,"reason":"blocked"}'), 'unauthenticated', 'blocked'],
    ['answering 401 refuses', answering('', 401), 'unauthenticated', ''],
    ['answering 403 refuses', answering('', 403), 'unauthenticated', ''],
    ['answering 500 fails', answering('{"allow":true}', 500), 'auth-webhook-failed', ''],
    ['answering 204 fails', answering('', 204), 'auth-webhook-failed', ''],
    ['answering a redirect fails', answering('', 307), 'auth-webhook-failed', ''],
    ['answering no JSON fails', answering('yes'), 'auth-webhook-failed', ''],
    ['answering without allow fails', answering('{}'), 'auth-webhook-failed', ''],
    ['answering allow as text fails', answering('{"allow":"true"}'), 'auth-webhook-failed', ''],
    ['answering wrong topics fails', answering('{"allow":true,"topics":["$all"]}'), 'auth-webhook-failed', ''],
    ['answering one byte too many fails', answering(filled(WEBHOOK_ANSWER_BYTES_MAX + 1)), 'auth-webhook-failed', ''],
    ['cutting the connection fails', (request) => request.socket.destroy(), 'auth-webhook-failed', ''],
  ];
  for (const [title, listener, code, part] of refusals)
    test(title, async () => {
      const url = await anApp(listener);
      await assert.rejects(aWebhook().ask({ url, timeoutMs: 1000 }, QUESTION, silentLog), isRefused(code, part));
    });

  test('that is not there fails', async () => {
    const ask = aWebhook().ask({ url: 'http://127.0.0.1:1/', timeoutMs: 1000 }, QUESTION, silentLog);
    await assert.rejects(ask, isRefused('auth-webhook-failed'));
  });

  test('that does not answer in time fails then, not before', async () => {
    const clock = aManualClock();
    let reached = (): void => {};
    const asked = new Promise<void>((resolve) => (reached = resolve));
    const url = await anApp(() => reached());
    const ask = aWebhook(clock).ask({ url, timeoutMs: 1500 }, QUESTION, silentLog);
    await asked;
    clock.advance(1499);
    assert.equal(clock.pending(), 1);
    clock.advance(1);
    await assert.rejects(ask, isRefused('auth-webhook-failed'));
    assert.equal(clock.pending(), 0);
  });

  test('of one app is asked a bounded number of questions at once, others are not held up', async () => {
    const answers: (() => void)[] = [];
    const slow = ((): Promise<Response> =>
      new Promise((resolve) => answers.push(() => resolve(new Response('{"allow":true}'))))) as typeof fetch;
    const webhook = openWebhook({ fetch: slow, clock: aManualClock() });
    const where = { url: 'http://x/', timeoutMs: 1000 };
    const asked = Array.from({ length: WEBHOOK_IN_FLIGHT_MAX }, () => webhook.ask(where, QUESTION, silentLog));
    await assert.rejects(webhook.ask(where, QUESTION, silentLog), isRefused('overloaded'));
    asked.push(webhook.ask(where, { ...QUESTION, app: 'other' }, silentLog));
    answers.forEach((answer) => answer());
    await Promise.all(asked);
    const later = webhook.ask(where, QUESTION, silentLog);
    answers.at(-1)!();
    assert.ok(await later);
  });
});
