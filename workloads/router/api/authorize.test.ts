import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import type { AppDefinition } from '../../protocol/apps.ts';
import type { AppId } from '../../protocol/ids.ts';
import { aManualClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { openAuthorizer } from './authorize.ts';
import { API_KEY, SHOP, aWatchedText, anApp, appsText } from '../fixtures.ts';

const clock = aManualClock();
const nowSeconds = clock.nowMs() / 1000;

async function aSigner(alg: string, kid?: string) {
  const pair = await generateKeyPair(alg, { extractable: true });
  const named = kid === undefined ? {} : { kid };
  return {
    jwk: { ...(await exportJWK(pair.publicKey)), ...named },
    sign(claims: Record<string, unknown> = {}): Promise<string> {
      const all = { iss: 'shop', aud: 'pushcluster', exp: nowSeconds + 60, ...claims };
      const present = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
      return new SignJWT(present).setProtectedHeader({ alg, ...named }).sign(pair.privateKey);
    },
  };
}
function anAuthorizer(apps: readonly AppDefinition[], at: Clock = clock) {
  const watched = aWatchedText(appsText(apps));
  const opened = openAuthorizer({ config: watched.source, configMap: 'apps', clock: at, log: silentLog });
  return {
    authorize: (header: string | undefined) => opened.authorize(header),
    set: (text: string) => watched.set(text),
  };
}
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

test('an API key names its app; each app has its own', async () => {
  const other = anApp({ name: 'other' as AppId, apiKeys: [{ name: 'k', sha256: sha256('other-key') }] });
  const { authorize } = anAuthorizer([anApp(), other]);
  assert.equal((await authorize(`Bearer ${API_KEY}`)).name, 'shop');
  assert.equal((await authorize('bearer  other-key')).name, 'other');
});

test('a key that two apps list names neither', async () => {
  const { authorize } = anAuthorizer([anApp(), anApp({ name: 'other' as AppId })]);
  await assert.rejects(authorize(`Bearer ${API_KEY}`), { code: 'unauthenticated' });
});

for (const alg of ['EdDSA', 'ES256', 'RS256'])
  test(`a token signed by a key of the app passes (${alg})`, async () => {
    const signer = await aSigner(alg);
    const { authorize } = anAuthorizer([anApp({ publicKeys: [signer.jwk] })]);
    assert.equal((await authorize(`Bearer ${await signer.sign()}`)).name, SHOP);
  });

test('of several keys without an id each is tried; with an id only the one named', async () => {
  const [one, two, named] = [await aSigner('EdDSA'), await aSigner('EdDSA'), await aSigner('EdDSA', 'k3')];
  const { authorize } = anAuthorizer([anApp({ publicKeys: [one.jwk, two.jwk, named.jwk] })]);
  for (const signer of [one, two, named]) assert.equal((await authorize(`Bearer ${await signer.sign()}`)).name, SHOP);
  const foreign = await aSigner('EdDSA', 'k3');
  await assert.rejects(authorize(`Bearer ${await foreign.sign()}`), { code: 'unauthenticated' });
});

describe('is refused as unauthenticated', () => {
  const cases: readonly [title: string, claims: Record<string, unknown>, message: RegExp][] = [
    ['a token that ran out', { exp: nowSeconds - 6 }, /ran out/],
    ['a token without exp', { exp: null }, /claim exp is missing/],
    ['a token for another audience', { aud: 'other' }, /claim aud/],
    ['a token of an unknown app', { iss: 'nobody' }, /no app of this cluster/],
    ['a token of another app', { iss: 'other' }, /no key of the app|not signed/],
    ['a token without iss', { iss: null }, /names no app/],
    ['the credential of a device', { app: 'shop', sub: 'ada' }, /device credential/],
    ['a token not valid yet', { nbf: nowSeconds + 60 }, /claim nbf/],
  ];
  for (const [title, claims, message] of cases)
    test(title, async () => {
      const [signer, stranger] = [await aSigner('EdDSA'), await aSigner('EdDSA')];
      const other = anApp({ name: 'other' as AppId, apiKeys: [], publicKeys: [stranger.jwk] });
      const { authorize } = anAuthorizer([anApp({ publicKeys: [signer.jwk] }), other]);
      await assert.rejects(authorize(`Bearer ${await signer.sign(claims)}`), { code: 'unauthenticated', message });
    });

  test('whatever is no bearer, an unknown key, or longer than 8 KiB', async () => {
    const { authorize } = anAuthorizer([anApp()]);
    for (const header of [
      undefined,
      '',
      'Bearer',
      'Bearer a b',
      'Basic abc',
      'Bearer x.y.z',
      `Bearer ${'x'.repeat(8193)}`,
    ])
      await assert.rejects(authorize(header), { code: 'unauthenticated', field: 'authorization' });
  });

  test('a token signed with a symmetric key or with none', async () => {
    const { authorize } = anAuthorizer([
      anApp({ publicKeys: [{ kty: 'oct', k: 'c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0' }] }),
    ]);
    const claims = { iss: 'shop', aud: 'pushcluster', exp: nowSeconds + 60 };
    const symmetric = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from('secretsecretsecretsecret'));
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    for (const token of [symmetric, `${encode({ alg: 'none' })}.${encode(claims)}.`])
      await assert.rejects(authorize(`Bearer ${token}`), { code: 'unauthenticated' });
  });
});

test('a verified token is remembered only until it runs out, and until the apps change', async () => {
  const manual = aManualClock();
  const signer = await aSigner('EdDSA');
  const { authorize, set } = anAuthorizer([anApp({ publicKeys: [signer.jwk] })], manual);
  const header = `Bearer ${await signer.sign()}`;
  for (let i = 0; i < 3; i++) await authorize(header);
  set(appsText([anApp()], 'r2'));
  await assert.rejects(authorize(header), { code: 'unauthenticated' });
  set(appsText([anApp({ publicKeys: [signer.jwk] })], 'r3'));
  await authorize(header);
  manual.advance(66_000);
  await assert.rejects(authorize(header), /ran out/);
});
