import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { AppId, DeviceId, MessageId } from '../protocol/ids.ts';
import { noticeJob } from '../protocol/notices.ts';
import type { Notice } from '../protocol/notices.ts';
import { silentLog } from '../runtime/log.ts';
import { PostError, SIGNATURE_HEADER } from '../runtime/signed-post.ts';
import type { PostAnswer } from '../runtime/signed-post.ts';
import type { Job } from '../store/port.ts';
import { newRouterCounts } from './counts.ts';
import { SHOP, aDevice, aRouter, aStore, aWatchedText, anApp, appsText } from './fixtures.ts';
import type { JobOutcome } from './push/jobs.ts';
import { WEBHOOKS_AT_ONCE, WEBHOOK_GIVE_UP_MS, postNotices } from './webhooks.ts';
import type { WebhookOutcome } from './webhooks.ts';

const NOW_MS = 1_800_000_000_000;
const SLICE = { isOver: () => false };
const NOTICE: Notice = {
  event: 'waiting',
  device: 'phone-1' as DeviceId,
  messageId: '01J00000000000000000000000' as MessageId,
  stream: '@normal',
  atMs: NOW_MS,
};
const jobOf = (over: Partial<Job> = {}, notice: Notice = NOTICE): Job => ({ ...noticeJob(SHOP, notice), ...over });

function aHandler(answer: () => Promise<PostAnswer>, options: { nowMs?: number; url?: string } = {}) {
  const counts = newRouterCounts();
  const webhook = { url: options.url ?? 'https://shop.example/hook', timeoutMs: 1000, events: ['waiting'] as const };
  const handler = postNotices({
    post: answer,
    appOf: (app) => (app === SHOP ? anApp({ webhook }) : null),
    nowMs: () => options.nowMs ?? NOW_MS,
    random: () => 0,
    log: silentLog,
    counts,
  });
  return { handler, counts };
}
const answers =
  (status: number, retryAfterMs: number | null = null) =>
  async () => ({ status, retryAfterMs });
const fails = (code: PostError['code']) => () => Promise.reject(new PostError(code, 'told to fail'));

describe('a notice', () => {
  const cases: readonly [string, () => Promise<PostAnswer>, Partial<Job>, JobOutcome, WebhookOutcome][] = [
    ['that is taken is done', answers(204), {}, 'done', 'delivered'],
    ['that is refused for good is dropped', answers(410), {}, 'done', 'refused'],
    ['for an address that is not allowed is dropped', fails('address'), {}, 'done', 'refused'],
    ['that meets an error comes again after half a second at the least', answers(500), {}, { laterMs: 500 }, 'again'],
    ['that times out comes again', fails('timeout'), {}, { laterMs: 500 }, 'again'],
    ['waits twice as long each time', answers(503), { claims: 5 }, { laterMs: 16_000 }, 'again'],
    ['waits an hour at most', answers(503), { claims: 60 }, { laterMs: 1_800_000 }, 'again'],
    ['comes when the webhook says', answers(429, 7000), {}, { laterMs: 7000 }, 'again'],
    ['of an app that is gone is nobody’s', answers(200), { app: 'gone' as AppId }, 'done', 'unwanted'],
    ['that cannot be read is counted and gone', answers(200), { payload: Buffer.from('{') }, 'done', 'unreadable'],
  ];
  for (const [title, answer, job, outcome, counted] of cases)
    test(title, async () => {
      const { handler, counts } = aHandler(answer);
      assert.deepEqual(await handler(jobOf(job), SLICE), outcome);
      assert.equal(counts.webhooks[counted], 1);
    });

  test('that failed for a day is dropped and counted', async () => {
    const { handler, counts } = aHandler(answers(500), { nowMs: NOW_MS + WEBHOOK_GIVE_UP_MS - 499 });
    assert.equal(await handler(jobOf(), SLICE), 'done');
    assert.equal(counts.webhooks.dropped, 1);
    const before = aHandler(answers(500), { nowMs: NOW_MS + WEBHOOK_GIVE_UP_MS - 500 });
    assert.deepEqual(await before.handler(jobOf(), SLICE), { laterMs: 500 });
  });

  test('of an event that the app does not ask for is not posted', async () => {
    const { handler, counts } = aHandler(() => assert.fail('nothing is posted'));
    const dead: Notice = { ...NOTICE, event: 'dead-letter', reason: 'attempts', attempts: 5 };
    assert.equal(await handler(jobOf({}, dead), SLICE), 'done');
    assert.equal(counts.webhooks.unwanted, 1);
  });

  test('waits its turn where many of its app are under way', async () => {
    const ends: (() => void)[] = [];
    const { handler } = aHandler(
      () => new Promise((resolve) => ends.push(() => resolve({ status: 200, retryAfterMs: null }))),
    );
    const running = Array.from({ length: WEBHOOKS_AT_ONCE }, () => handler(jobOf(), SLICE));
    assert.deepEqual(await handler(jobOf(), SLICE), { laterMs: 250 });
    ends.forEach((end) => end());
    await Promise.all(running);
    const last = handler(jobOf(), SLICE);
    ends.at(-1)!();
    assert.equal(await last, 'done');
  });
});

/** A business with a webhook. */
async function aBusiness(t: TestContext, answer: (response: ServerResponse) => void) {
  const posted: { headers: IncomingHttpHeaders; text: string }[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      posted.push({ headers: request.headers, text });
      answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { posted, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

test('a push to an offline device is told to the app, signed by a key of GET /v1/keys, again until it is taken', async (t) => {
  let status = 500;
  const { posted, url } = await aBusiness(t, (response) => response.writeHead(status).end());
  const { store } = await aStore(t);
  await aDevice(store, 'phone-1');
  const webhook = { url, timeoutMs: 1000, events: ['waiting'] as const };
  const apps = aWatchedText(appsText([anApp({ webhook })]));
  const { push, ask, metric } = await aRouter(t, { store, apps, settings: { webhookPrivate: 'true' } });
  const { body } = await push({ target: { device: 'phone-1' }, text: 'hi' });
  while (posted.length < 1) await new Promise(setImmediate);
  status = 200;
  while (posted.length < 2) await new Promise(setImmediate);
  const [first, second] = posted as [(typeof posted)[0], (typeof posted)[0]];
  assert.equal(second.headers['pushcluster-id'], first.headers['pushcluster-id']);
  const { event, device, messageId, app } = JSON.parse(second.text) as Record<string, unknown>;
  assert.deepEqual([event, device, messageId, app], ['waiting', 'phone-1', body['id'], 'shop']);
  const signature = new Map(
    String(second.headers[SIGNATURE_HEADER])
      .split(',')
      .map((part) => part.split(/=(.*)/s) as [string, string]),
  );
  const { keys } = (await ask('/v1/keys')).body as unknown as { keys: { kid: string }[] };
  const jwk = keys.find(({ kid }) => kid === signature.get('kid'))!;
  assert.deepEqual(Object.keys(jwk).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'], 'nothing private is served');
  const signed = Buffer.from(`${signature.get('t')}.${second.text}`);
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  assert.ok(verify(null, signed, key, Buffer.from(signature.get('v1')!, 'base64url')));
  while ((await metric('pushcluster_router_webhooks_total{outcome="delivered"}')) < 1) await new Promise(setImmediate);
});

test('a webhook at a private address is not called unless that is allowed', async (t) => {
  const { posted, url } = await aBusiness(t, (response) => response.end());
  const { store } = await aStore(t);
  await aDevice(store, 'phone-1');
  const webhook = { url: url.replace('127.0.0.1', 'localhost'), timeoutMs: 1000, events: ['waiting'] as const };
  const { push, metric } = await aRouter(t, { store, apps: aWatchedText(appsText([anApp({ webhook })])) });
  await push({ target: { device: 'phone-1' }, text: 'hi' });
  while ((await metric('pushcluster_router_webhooks_total{outcome="refused"}')) < 1) await new Promise(setImmediate);
  assert.equal(posted.length, 0);
});

test('the keys may be cached, and are not sent again while they are the same', async (t) => {
  const { store } = await aStore(t);
  const { url } = await aRouter(t, { store });
  const first = await fetch(`${url}/v1/keys`);
  const etag = first.headers.get('etag')!;
  assert.equal(first.headers.get('cache-control'), 'public, max-age=300');
  assert.equal((await fetch(`${url}/v1/keys`, { headers: { 'if-none-match': etag } })).status, 304);
});
