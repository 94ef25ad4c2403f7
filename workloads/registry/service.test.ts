import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { APPS_KEY } from '../protocol/apps.ts';
import { FIELD_CHARS_MAX, RefusedError } from '../protocol/codes.ts';
import type { ErrorCode } from '../protocol/codes.ts';
import { LIMITS } from '../protocol/limits.ts';
import { ROUTING_KEY } from '../protocol/routing.ts';
import { aManualClock } from '../runtime/clock.ts';
import { verifyToken } from '../runtime/credentials.ts';
import { silentLog } from '../runtime/log.ts';
import { openAdmission } from './admission.ts';
import { openApps } from './apps.ts';
import { openDirectory } from './directory.ts';
import { aConfig, aKeyRing, aRoutingDocument, aSigner, aStore } from './fixtures.ts';
import { openMetrics } from './metrics.ts';
import { openService } from './service.ts';

const ARRIVED = { app: 'shop', account: 'ada', device: 'phone-1' };
const TTL_MS = 3_600_000;

async function aService(
  over: { alg?: string; apps?: readonly unknown[]; registrationsPerSecond?: number; shop?: object } = {},
) {
  const clock = aManualClock();
  const signer = await aSigner(over.alg ?? 'EdDSA', { nowMs: clock.nowMs(), kid: 'k1' });
  const shop = {
    name: 'shop',
    publicKeys: [signer.jwk],
    allowedTopics: ['news', 'chat.*'],
    quotas: { devicesPerAccount: 2 },
    ...over.shop,
  };
  const { store, state, registered, tokens } = aStore(['a', 'b', 'c', 'd']);
  const config = aConfig({
    [ROUTING_KEY]: aRoutingDocument({ gateways: { a: 100, b: 100, c: 100, d: 100 } }),
    [APPS_KEY]: JSON.stringify({ version: 1, revision: 'r1', apps: over.apps ?? [shop] }),
  });
  const shared = { store, config, clock, log: silentLog, cluster: 'demo' };
  const directory = openDirectory({ ...shared, configMap: 'demo-routing', random: () => 0.5 });
  await directory.polled;
  const keys = aKeyRing(clock);
  const metrics = openMetrics(directory);
  const opened = openService({
    ...shared,
    tokenTtlMs: TTL_MS,
    heartbeatIntervalMs: 25_000,
    keys,
    directory,
    metrics,
    apps: openApps({ config, configMap: 'demo-apps', log: silentLog }),
    webhook: { ask: () => Promise.resolve({ topics: null }) },
    admission: openAdmission(over.registrationsPerSecond ?? 1000, clock),
  });
  const log = silentLog;
  const service = {
    register: (body: unknown) => opened.register({ body, bearer: null, log }),
    renew: (bearer: string | null, body: unknown) => opened.renew({ body, bearer, log }),
    assign: (bearer: string | null, body: unknown) => opened.assign({ body, bearer, log }),
    close: (bearer: string | null) => opened.close({ body: undefined, bearer, log }),
  };
  const claimsOf = (token: string) => {
    const verdict = verifyToken(token, { keys: keys.current(), cluster: 'demo', nowMs: clock.nowMs() });
    assert.equal(verdict.kind, 'valid');
    return verdict.kind === 'valid' ? verdict.claims : assert.fail();
  };
  const register = async (claims: object = {}, more: object = {}) =>
    service.register({
      ...ARRIVED,
      credential: { token: await signer.sign(claims as Record<string, unknown>) },
      ...more,
    });
  /** Lets the store fail until the leases have gone stale, so that it is not asked any more. */
  const loseStore = async (): Promise<void> => {
    state.down = true;
    for (let i = 0; i < 8; i++) {
      clock.advance(500);
      await turn();
    }
  };
  return { service, signer, clock, state, registered, tokens, keys, metrics, claimsOf, register, loseStore };
}

function isRefused(code: ErrorCode, part = '') {
  return (error: unknown): boolean => {
    if (!(error instanceof RefusedError)) throw error;
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.includes(part), error.message);
    return true;
  };
}

describe('register', () => {
  test('gives a token for the device, three gateways, and when to beat and retry', async () => {
    const { register, claimsOf, registered, clock } = await aService();
    const answer = await register();
    assert.equal(answer.gateways.length, 3);
    assert.match(answer.gateways[0]!.url, /^ws:\/\/[a-d]\.test:8080\/$/);
    assert.equal(answer.expiresAt, new Date(clock.nowMs() + TTL_MS).toISOString());
    assert.deepEqual([answer.expiresInMs, answer.heartbeatIntervalMs], [TTL_MS, 25_000]);
    assert.deepEqual(answer.retry, { baseMs: 500, maxMs: 30_000, heartbeatRetries: 6 });
    const claims = claimsOf(answer.token!);
    assert.deepEqual([claims.app, claims.account, claims.device], ['shop', 'ada', 'phone-1']);
    assert.deepEqual(claims.topics, ['news', 'chat.*']);
    const tokenExpiresAtMs = clock.nowMs() + TTL_MS;
    assert.deepEqual(registered, [{ ...ARRIVED, tokenId: claims.jti, tokenExpiresAtMs, accountDevicesMax: 2 }]);
  });

  for (const alg of ['EdDSA', 'ES256', 'RS256'])
    test(`takes a credential signed with ${alg}`, async () => {
      const { register } = await aService({ alg });
      assert.ok((await register()).token);
    });

  const now = aManualClock().nowMs() / 1000;
  const credentials: readonly [title: string, claims: object, said: string | null][] = [
    ['bound to this device', { device: 'phone-1' }, null],
    ['bound to another device', { device: 'phone-2' }, 'claim device'],
    ['of another account', { sub: 'eve' }, 'claim sub'],
    ['of another app', { app: 'bank' }, 'claim app'],
    ['for another audience', { aud: 'elsewhere' }, 'claim aud'],
    ['for two audiences, one of them ours', { aud: ['elsewhere', 'pushcluster'] }, null],
    ['without audience', { aud: null }, 'claim aud'],
    ['without expiry', { exp: null }, 'claim exp'],
    ['expired for less than 5 s', { exp: now - 4 }, null],
    ['expired for 5 s', { exp: now - 5 }, 'ran out'],
    ['not valid before 10 s from now', { nbf: now + 10 }, 'claim nbf'],
    ['with topics that are no list', { topics: 'news' }, 'claim topics'],
    ['with 33 topics', { topics: Array.from({ length: 33 }, (_, i) => `chat.${i}`) }, 'claim topics'],
    ['with 32 topics', { topics: Array.from({ length: 32 }, (_, i) => `chat.${i}`) }, null],
  ];
  for (const [title, claims, said] of credentials)
    test(`${said === null ? 'takes' : 'refuses'} a credential ${title}`, async () => {
      const { register } = await aService();
      if (said === null) assert.ok((await register(claims)).token);
      else await assert.rejects(register(claims), isRefused('unauthenticated', said));
    });

  test('narrows topics to those of the credential that the app allows', async () => {
    const { register, claimsOf } = await aService();
    const { token } = await register({ topics: ['chat.team-1', 'sports', '*'] });
    assert.deepEqual(claimsOf(token!).topics, ['chat.team-1']);
  });

  test('says in the token whether the app wants to know when its devices come and go', async () => {
    const url = { url: 'https://shop.test/', timeoutMs: 1000 };
    for (const [webhook, said] of [
      [undefined, undefined],
      [{ ...url, events: ['waiting'] }, undefined],
      [{ ...url, events: ['presence'] }, true],
    ] as const) {
      const { register, claimsOf } = await aService({ shop: { webhook } });
      assert.equal(claimsOf((await register()).token!).presence, said);
    }
  });

  test('refuses what is not signed by a key of the app', async () => {
    const { service, signer } = await aService();
    const other = await aSigner('EdDSA', { nowMs: aManualClock().nowMs(), kid: 'k1' });
    const unnamed = await aSigner('EdDSA', { nowMs: aManualClock().nowMs(), kid: 'k2' });
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`;
    const hmac = `${Buffer.from('{"alg":"HS256","kid":"k1"}').toString('base64url')}.e30.AA`;
    const good = await signer.sign();
    const tries = [
      { token: await other.sign(), said: 'not signed by a key' },
      { token: await unnamed.sign(), said: 'no key of app shop' },
      { token: none, said: 'no key of app shop' },
      { token: hmac, said: 'no key of app shop' },
      { token: 'word', said: 'expected a JWT' },
      { token: `${good.slice(0, -4)}AAAA`, said: 'not signed by a key' },
      { token: 'a'.repeat(LIMITS.credentialCharsMax + 1), said: 'at most 8192' },
    ];
    for (const { token, said } of tries)
      await assert.rejects(service.register({ ...ARRIVED, credential: { token } }), isRefused('unauthenticated', said));
    await assert.rejects(service.register(ARRIVED), isRefused('unauthenticated', 'signed tokens'));
    const credential = { webhook: {} };
    await assert.rejects(service.register({ ...ARRIVED, credential }), isRefused('unauthenticated', 'signed tokens'));
  });

  test('an app with a webhook is asked instead, whichever form the credential has', async () => {
    const legacy = { name: 'legacy', authWebhook: { url: 'http://x/', timeoutMs: 1000 }, allowedTopics: ['news'] };
    const { service, claimsOf } = await aService({ apps: [legacy] });
    for (const credential of [{ webhook: { session: 1 } }, { token: 'opaque' }, null]) {
      const { token } = await service.register({ ...ARRIVED, app: 'legacy', credential });
      assert.deepEqual(claimsOf(token!).topics, ['news']);
    }
  });

  test('refuses an app that is not there, and a device past the account’s most', async () => {
    const { service, register, state } = await aService();
    await assert.rejects(service.register({ ...ARRIVED, app: 'bank' }), isRefused('app-unknown', 'bank'));
    state.accountFull = true;
    await assert.rejects(register(), isRefused('forbidden', 'at most 2 devices'));
  });

  test('sheds newcomers above its rate and still renews', async () => {
    const { register, service } = await aService({ registrationsPerSecond: 10 });
    let token = '';
    for (let i = 0; i < 8; i++) token = (await register()).token!;
    await assert.rejects(register(), isRefused('overloaded'));
    assert.ok((await service.renew(token, undefined)).token);
    assert.ok((await service.assign(token, undefined)).gateways.length > 0);
    await assert.rejects(service.assign(token, undefined), isRefused('overloaded'));
  });

  test('goes on when the store fails, and does not ask it any more once the polls have failed for long', async () => {
    const { register, state, loseStore, metrics, claimsOf } = await aService();
    state.down = true;
    claimsOf((await register()).token!);
    await loseStore();
    claimsOf((await register()).token!);
    const failures = await metrics.storeFailures.get();
    assert.deepEqual(
      failures.values.map(({ labels, value }) => [labels.operation, value]),
      [['registerDevice', 2]],
    );
  });
});

describe('renew', () => {
  test('gives a new token with the same rights for a valid one, which stays good', async () => {
    const { register, service, clock, claimsOf } = await aService();
    const first = await register({ topics: ['chat.a'] });
    clock.advance(1000);
    const second = await service.renew(first.token!, {});
    const [before, after] = [claimsOf(first.token!), claimsOf(second.token!)];
    assert.deepEqual([after.topics, after.exp - before.exp], [['chat.a'], 1]);
    assert.notEqual(after.jti, before.jti);
  });

  test('refuses an expired token with its own code, in its last millisecond not yet', async () => {
    const { register, service, clock } = await aService();
    const { token } = await register();
    clock.advance(TTL_MS - 1);
    assert.ok(await service.renew(token!, {}));
    clock.advance(1);
    await assert.rejects(service.renew(token!, {}), isRefused('token-expired', 'register again'));
  });

  test('refuses a forged token, and none', async () => {
    const { service } = await aService();
    await assert.rejects(service.renew('a.b.c', {}), isRefused('unauthenticated', 'invalid'));
    await assert.rejects(service.renew(null, {}), isRefused('unauthenticated', 'Bearer'));
  });

  test('does not bring back a device that was closed', async () => {
    const { register, service } = await aService();
    const { token } = await register();
    assert.deepEqual(await service.close(token!), { device: 'phone-1', closed: true });
    await assert.rejects(service.renew(token!, {}), isRefused('unauthenticated', 'register again'));
  });

  test('goes by the signature alone while the store is down', async () => {
    const { register, service, state, loseStore } = await aService();
    const { token } = await register();
    state.down = true;
    assert.ok((await service.renew(token!, {})).token);
    await loseStore();
    assert.ok((await service.renew(token!, {})).token);
  });
});

describe('assign', () => {
  test('gives gateways again and keeps the token', async () => {
    const { register, service } = await aService();
    const first = await register();
    const again = await service.assign(first.token!, {});
    assert.deepEqual(again.gateways, first.gateways, 'consistent hash: the same for the same device');
    assert.equal(again.token, undefined);
    assert.equal(again.expiresAt, first.expiresAt);
  });

  test('gives those that failed last', async () => {
    const { register, service } = await aService();
    const { token, gateways } = await register();
    const again = await service.assign(token!, { exclude: [gateways[0]!.name, gateways[1]!.name] });
    assert.equal(again.gateways[0]!.name, gateways[2]!.name);
    assert.equal(again.gateways[2]!.name, gateways[0]!.name);
  });

  const wrong: readonly [title: string, body: unknown, field: string][] = [
    ['17 excluded gateways', { exclude: Array.from({ length: 17 }, () => 'a') }, 'exclude'],
    ['a number as name', { exclude: [1] }, 'exclude[0]'],
    ['an unknown field', { excluded: [] }, 'excluded'],
    ['a list', [], 'body'],
  ];
  for (const [title, body, field] of wrong)
    test(`refuses ${title} by field`, async () => {
      const { register, service } = await aService();
      const { token } = await register();
      await assert.rejects(service.assign(token!, body), (error: unknown) => {
        assert.ok(error instanceof RefusedError);
        return error.code === 'invalid-request' && error.field === field;
      });
    });
});

describe('close', () => {
  test('says so when the device was closed before', async () => {
    const { register, service } = await aService();
    const { token } = await register();
    await service.close(token!);
    assert.deepEqual(await service.close(token!), { device: 'phone-1', closed: false });
  });

  test('needs the store', async () => {
    const { register, service, state } = await aService();
    const { token } = await register();
    state.down = true;
    await assert.rejects(service.close(token!), isRefused('store-unavailable'));
  });

  test('a token from before another account took the device closes nothing', async () => {
    const { register, service, tokens, claimsOf } = await aService();
    const { token } = await register();
    tokens.set(claimsOf(token!).jti, { account: 'eve' as never, device: 'phone-1' as never });
    assert.equal((await service.close(token!)).closed, false);
    assert.equal(tokens.size, 1);
  });
});

describe('a register request', () => {
  const wrong: readonly [title: string, body: unknown, field: string][] = [
    ['without body', undefined, 'body'],
    ['with a text for a body', 'x', 'body'],
    ['with a capital in the app', { ...ARRIVED, app: 'Shop' }, 'app'],
    ['without account', { app: 'shop', device: 'd' }, 'account'],
    ['with an account of 129 characters', { ...ARRIVED, account: 'a'.repeat(129) }, 'account'],
    ['with a brace in the device', { ...ARRIVED, device: 'd{1}' }, 'device'],
    ['with an unknown field', { ...ARRIVED, password: 'x' }, 'password'],
    ['with a text for a credential', { ...ARRIVED, credential: 'x' }, 'credential'],
    ['with both credentials', { ...ARRIVED, credential: { token: 'x', webhook: 1 } }, 'credential'],
    ['with neither', { ...ARRIVED, credential: {} }, 'credential'],
    ['with another credential', { ...ARRIVED, credential: { password: 'x' } }, 'credential.password'],
    ['with a number for a token', { ...ARRIVED, credential: { token: 7 } }, 'credential.token'],
  ];
  for (const [title, body, field] of wrong)
    test(`${title} is refused by field`, async () => {
      const { service } = await aService();
      await assert.rejects(service.register(body), (error: unknown) => {
        assert.ok(error instanceof RefusedError);
        assert.deepEqual([error.code, error.field], ['invalid-request', field]);
        return error.message.startsWith(field);
      });
    });

  test('an unknown field of 200 characters is named by its first 100', async () => {
    const { service } = await aService();
    const name = 'x'.repeat(FIELD_CHARS_MAX);
    await assert.rejects(service.register({ ...ARRIVED, [name + name]: 1 }), {
      field: `${name}…`,
      message: /^x{100}…: expected only app, account, device, credential, exclude, got an unknown field$/,
    });
  });
});
