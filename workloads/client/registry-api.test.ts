import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RETRY_DEFAULT } from './backoff.ts';
import type { Ask } from './connection-state.ts';
import { askRegistry } from './registry-api.ts';
import type { RegistryOptions } from './registry-api.ts';

const NOW = 1_800_000_000_000;
const GOOD = { token: 't', expiresAt: '2027-01-15T09:00:00.000Z', gateways: [{ name: 'gw-0', url: 'ws://gw-0' }] };

function optionsThatAnswer(status: number, body: unknown, sent: unknown[] = []): RegistryOptions {
  return {
    url: 'http://registry/',
    app: 'shop',
    account: 'ada',
    device: 'phone-1',
    credential: () => 'signed',
    timeoutMs: 1000,
    nowMs: () => NOW,
    fetch: (url, init) => {
      sent.push({ url, headers: init.headers, body: JSON.parse(init.body) as unknown });
      return Promise.resolve({ status, json: () => Promise.resolve(body) });
    },
  };
}
const KNOWN = { token: 't0', exclude: ['gw-3'] };

test('register carries the credential, renew and assign the bearer token, each the gateways that failed', async () => {
  const sent: unknown[] = [];
  const options = optionsThatAnswer(200, GOOD, sent);
  const json = { 'content-type': 'application/json' };
  for (const ask of ['register', 'renew', 'assign'] as const) await askRegistry(ask, options, KNOWN);
  await askRegistry(
    'register',
    { ...options, credential: () => ({ webhook: { s: 1 } }) },
    { token: null, exclude: [] },
  );
  const who = { app: 'shop', account: 'ada', device: 'phone-1' };
  const bearer = { ...json, authorization: 'Bearer t0' };
  assert.deepEqual(sent, [
    {
      url: 'http://registry/v1/register',
      headers: json,
      body: { ...who, credential: { token: 'signed' }, exclude: ['gw-3'] },
    },
    { url: 'http://registry/v1/renew', headers: bearer, body: { exclude: ['gw-3'] } },
    { url: 'http://registry/v1/assign', headers: bearer, body: { exclude: ['gw-3'] } },
    { url: 'http://registry/v1/register', headers: json, body: { ...who, credential: { webhook: { s: 1 } } } },
  ]);
});

test('the time left counts for the expiry before the date, and assign keeps the token', async () => {
  const left = await askRegistry('register', optionsThatAnswer(200, { ...GOOD, expiresInMs: 500 }), KNOWN);
  assert.deepEqual(left.type === 'registry-answered' ? left.token : null, { value: 't', expiresAtMs: NOW + 500 });
  const { token: _, ...without } = GOOD;
  const kept = await askRegistry('assign', optionsThatAnswer(200, without), KNOWN);
  assert.deepEqual(kept.type === 'registry-answered' ? kept.token : null, {
    value: 't0',
    expiresAtMs: Date.parse(GOOD.expiresAt),
  });
});

test('bounds of the backoff come from the registry where they make sense', async () => {
  for (const [retry, expected] of [
    [
      { baseMs: 10, maxMs: 100 },
      { baseMs: 10, maxMs: 100 },
    ],
    [{ baseMs: 0, maxMs: 100 }, RETRY_DEFAULT],
    [{ baseMs: 200, maxMs: 100 }, RETRY_DEFAULT],
    [undefined, RETRY_DEFAULT],
  ] as const) {
    const answer = await askRegistry('register', optionsThatAnswer(200, { ...GOOD, retry }), KNOWN);
    assert.deepEqual(answer.type === 'registry-answered' ? answer.retry : null, expected);
  }
});

const FAILURES: readonly { ask: Ask; status: number; code: string; verdict: 'again' | 'token' | 'never' }[] = [
  { ask: 'register', status: 401, code: 'unauthenticated', verdict: 'again' },
  { ask: 'register', status: 404, code: 'app-unknown', verdict: 'again' },
  { ask: 'register', status: 403, code: 'forbidden', verdict: 'never' },
  { ask: 'register', status: 400, code: 'invalid-request', verdict: 'never' },
  { ask: 'register', status: 503, code: 'overloaded', verdict: 'again' },
  { ask: 'register', status: 502, code: 'auth-webhook-failed', verdict: 'again' },
  { ask: 'register', status: 429, code: 'rate-limited', verdict: 'again' },
  { ask: 'register', status: 500, code: 'something-new', verdict: 'again' },
  { ask: 'register', status: 418, code: 'something-new', verdict: 'never' },
  { ask: 'renew', status: 401, code: 'token-expired', verdict: 'token' },
  { ask: 'assign', status: 401, code: 'unauthenticated', verdict: 'token' },
  { ask: 'assign', status: 503, code: 'no-gateway', verdict: 'again' },
];
for (const { ask, status, code, verdict } of FAILURES) {
  test(`${ask} answered with ${status} ${code}: ${verdict}`, async () => {
    const body = { error: { code, message: 'why', retryAfterMs: 30 } };
    assert.deepEqual(await askRegistry(ask, optionsThatAnswer(status, body), KNOWN), {
      type: 'registry-failed',
      verdict,
      retryAfterMs: 30,
      reason: `${code}: why`,
    });
  });
}

test('no answer, a credential that cannot be had, and an answer of another form are tried again', async () => {
  const options = optionsThatAnswer(200, { token: 't' });
  const away = (): Promise<never> => Promise.reject(new Error('ECONNREFUSED'));
  for (const [changed, reason] of [
    [{ ...options, fetch: away }, 'ECONNREFUSED'],
    [{ ...options, credential: away }, 'ECONNREFUSED'],
    [options, 'the answer has no token, expiresAt or gateways'],
  ] as const) {
    const answer = await askRegistry('register', changed, KNOWN);
    assert.deepEqual(answer, { type: 'registry-failed', verdict: 'again', retryAfterMs: null, reason });
  }
});
