import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { SignJWT, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose';
import { KEY_FILES } from '../protocol/credentials.ts';
import type { TicketClaims, TokenClaims } from '../protocol/credentials.ts';
import type { AccountId, AppId, DeviceId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import { aManualClock } from './clock.ts';
import {
  InvalidKeysError,
  NoSigningKeyError,
  generateKeyFiles,
  openKeys,
  signTicket,
  signToken,
  verifyTicket,
  verifyToken,
} from './credentials.ts';
import type { KeyRing, Keys } from './credentials.ts';
import { silentLog } from './log.ts';

const NOW_MS = 1_800_000_000_000;
const NOW = NOW_MS / 1000;
const folders: string[] = [];
after(() => folders.forEach((dir) => rmSync(dir, { recursive: true, force: true })));

function aFolder(files: Readonly<Record<string, string>> = generateKeyFiles('2027-01-15T08:00:00Z')): string {
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-keys-'));
  folders.push(dir);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return dir;
}
function opened(files?: Readonly<Record<string, string>>): Keys {
  return openKeys(aFolder(files), aManualClock(), silentLog);
}
function aRing(): KeyRing {
  return opened().current();
}
function aToken(over: Partial<TokenClaims> = {}): TokenClaims {
  const ids = { app: 'shop' as AppId, account: 'ada' as AccountId, device: 'phone-1' as DeviceId };
  return { iss: 'demo', ...ids, topics: ['news', 'chat.*'], jti: 't1', iat: NOW, exp: NOW + 60, ...over };
}
function aTicket(over: Partial<TicketClaims> = {}): TicketClaims {
  const ids = { app: 'shop' as AppId, account: 'ada' as AccountId, device: 'phone-1' as DeviceId };
  return { ...ids, topics: ['news'], generation: 7, targets: ['gateway-1'], iat: NOW, exp: NOW + 900, ...over };
}
const at = (keys: KeyRing, nowMs = NOW_MS, cluster = 'demo') => ({ keys, cluster, nowMs });
const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('token', () => {
  test('says what was signed', () => {
    const keys = aRing();
    assert.deepEqual(verifyToken(signToken(aToken(), keys), at(keys)), { kind: 'valid', claims: aToken() });
  });

  test('is a JWT that other libraries check with the public JWK', async () => {
    const keys = aRing();
    const key = await importJWK(keys.tokenPublic[0]!.publicJwk, 'EdDSA');
    const checked = await jwtVerify(signToken(aToken({ exp: Math.floor(Date.now() / 1000) + 60 }), keys), key);
    assert.equal(checked.payload['device'], 'phone-1');
    assert.equal(checked.protectedHeader.kid, keys.tokenPublic[0]!.kid);
  });

  const times: readonly { title: string; iat: number; exp: number; kind: string }[] = [
    { title: 'is valid in its last moment', iat: NOW - 60, exp: NOW + 0.001, kind: 'valid' },
    { title: 'is expired at its expiry', iat: NOW - 60, exp: NOW, kind: 'expired' },
    { title: 'is valid when issued 30 s ahead of this clock', iat: NOW + 30, exp: NOW + 90, kind: 'valid' },
    { title: 'is invalid when issued more than 30 s ahead', iat: NOW + 31, exp: NOW + 90, kind: 'invalid' },
  ];
  for (const { title, iat, exp, kind } of times)
    test(title, () => {
      const keys = aRing();
      assert.equal(verifyToken(signToken(aToken({ iat, exp }), keys), at(keys)).kind, kind);
    });

  const forged: readonly { title: string; reason: string; make: (keys: KeyRing) => string }[] = [
    { title: 'without three segments', reason: 'not a compact JWS', make: () => 'a.b' },
    { title: 'with four segments', reason: 'not a compact JWS', make: (k) => `${signToken(aToken(), k)}.x` },
    { title: 'with padding', reason: 'not base64url', make: (k) => `${signToken(aToken(), k)}==` },
    {
      title: 'with alg none',
      reason: 'expected alg EdDSA',
      make: (k) => `${segment({ alg: 'none', kid: k.tokenPublic[0]!.kid })}.${segment(aToken())}.AA`,
    },
    {
      title: 'signed by HMAC with the public key as secret',
      reason: 'expected alg EdDSA',
      make(k) {
        const signed = `${segment({ alg: 'HS256', kid: k.tokenPublic[0]!.kid })}.${segment(aToken())}`;
        return `${signed}.${createHmac('sha256', String(k.tokenPublic[0]!.publicJwk['x'])).update(signed).digest('base64url')}`;
      },
    },
    { title: 'of an unknown key', reason: 'unknown key', make: () => signToken(aToken(), aRing()) },
    {
      title: 'of an unknown key under a known kid',
      reason: 'wrong signature',
      make(k) {
        const other = aRing();
        return signToken(aToken(), {
          ...other,
          tokenPrivate: [{ ...other.tokenPrivate[0]!, kid: k.tokenPublic[0]!.kid }],
        });
      },
    },
    {
      title: 'with changed claims',
      reason: 'wrong signature',
      make(k) {
        const [head, , signature] = signToken(aToken(), k).split('.');
        return `${head}.${segment(aToken({ account: 'eve' as AccountId }))}.${signature}`;
      },
    },
    {
      title: 'of another cluster',
      reason: 'issued by another cluster',
      make: (k) => signToken(aToken({ iss: 'other' }), k),
    },
    {
      title: 'with a name that breaks the grammar',
      reason: 'claims are not of the expected form',
      make: (k) => signToken(aToken({ device: '{x}' as DeviceId }), k),
    },
    {
      title: 'of null claims',
      reason: 'claims are not of the expected form',
      make: (k) => signToken(null as never, k),
    },
    {
      title: 'one character past the limit',
      reason: 'too long',
      make: () => 'a'.repeat(LIMITS.credentialCharsMax + 1),
    },
  ];
  for (const { title, reason, make } of forged)
    test(`is invalid ${title}`, () => {
      const keys = aRing();
      assert.deepEqual(verifyToken(make(keys), at(keys)), { kind: 'invalid', reason });
    });

  test('that is forged and expired is called invalid, not expired', () => {
    const keys = aRing();
    assert.equal(verifyToken(signToken(aToken({ exp: NOW - 1 }), aRing()), at(keys)).kind, 'invalid');
  });

  test('of the most topic patterns and the longest names fits, and a longer one is not signed', () => {
    const keys = aRing();
    const name = 'a'.repeat(128);
    const topics = Array.from({ length: LIMITS.topicPatternsMax }, () => `${name}*`);
    const full = aToken({ topics, account: name as AccountId, device: name as DeviceId });
    assert.equal(verifyToken(signToken(full, keys), at(keys)).kind, 'valid');
    assert.throws(() => signToken({ ...full, topics: [...topics, ...topics] }, keys), RangeError);
  });

  test('of another library with an extra claim is valid, so that a newer registry may add some', async () => {
    const keys = aRing();
    const key = await importJWK(keys.tokenPrivate[0]!.privateJwk!, 'EdDSA');
    const token = await new SignJWT({ ...aToken(), later: 1 })
      .setProtectedHeader({ alg: 'EdDSA', kid: keys.tokenPublic[0]!.kid })
      .sign(key);
    assert.deepEqual(verifyToken(token, at(keys)), { kind: 'valid', claims: aToken() });
  });

  test('cannot be signed without a private key', () => {
    assert.throws(() => signToken(aToken(), { ...aRing(), tokenPrivate: [] }), NoSigningKeyError);
  });
});

describe('ticket', () => {
  test('says what was signed', () => {
    const keys = aRing();
    const verdict = verifyTicket(signTicket(aTicket(), keys), { keys, nowMs: NOW_MS });
    assert.deepEqual(verdict, { kind: 'valid', claims: aTicket() });
    const told = aTicket({ presence: true });
    assert.deepEqual(verifyTicket(signTicket(told, keys), { keys, nowMs: NOW_MS }), { kind: 'valid', claims: told });
  });

  test('made with the older key is valid as long as that key is in the list, and the newest signs', () => {
    const [older, newer] = [aRing(), aRing()];
    const ticket = signTicket(aTicket(), older);
    const both = { ...older, ticket: [...newer.ticket, ...older.ticket] };
    assert.equal(verifyTicket(ticket, { keys: both, nowMs: NOW_MS }).kind, 'valid');
    assert.deepEqual(verifyTicket(ticket, { keys: newer, nowMs: NOW_MS }), { kind: 'invalid', reason: 'unknown key' });
    assert.ok(signTicket(aTicket(), both).startsWith(`${newer.ticket[0]!.kid}.`));
  });

  test('is expired at its expiry, and invalid first when its MAC is wrong', () => {
    const keys = aRing();
    const ticket = signTicket(aTicket({ exp: NOW }), keys);
    assert.equal(verifyTicket(ticket, { keys, nowMs: NOW_MS }).kind, 'expired');
    const [kid, , mac] = ticket.split('.');
    const forged = `${kid}.${segment(aTicket({ exp: NOW - 1 }))}.${mac}`;
    assert.deepEqual(verifyTicket(forged, { keys, nowMs: NOW_MS }), { kind: 'invalid', reason: 'wrong signature' });
  });

  test('is invalid with any one character of its MAC changed', () => {
    const keys = aRing();
    const ticket = signTicket(aTicket(), keys);
    for (let i = ticket.length - 43; i < ticket.length - 1; i++) {
      const changed = ticket.slice(0, i) + (ticket[i] === 'A' ? 'B' : 'A') + ticket.slice(i + 1);
      assert.equal(verifyTicket(changed, { keys, nowMs: NOW_MS }).kind, 'invalid', `character ${i}`);
    }
  });

  for (const text of ['', '.', '..', 'a.b.c', 'a.b', 'a'.repeat(LIMITS.credentialCharsMax + 1), 'é.é.é', '\0.\0.\0'])
    test(`is invalid as ${JSON.stringify(text.slice(0, 12))} (${text.length} characters)`, () => {
      assert.equal(verifyTicket(text, { keys: aRing(), nowMs: NOW_MS }).kind, 'invalid');
    });

  test('of half a generation is invalid though its MAC holds', () => {
    const keys = aRing();
    assert.equal(verifyTicket(signTicket(aTicket({ generation: 0.5 }), keys), { keys, nowMs: NOW_MS }).kind, 'invalid');
  });
});

describe('keys folder', () => {
  test('files that are not there give empty lists', () => {
    const files = generateKeyFiles('2027-01-15T08:00:00Z');
    const keys = opened({ [KEY_FILES.ticket]: files[KEY_FILES.ticket]! }).current();
    assert.equal(keys.ticket.length, 1);
    assert.deepEqual([keys.tokenPublic, keys.tokenPrivate, keys.link, keys.admin], [[], [], [], []]);
  });

  test('the public file of a generated set holds no private part', () => {
    assert.ok(!generateKeyFiles('x')[KEY_FILES.tokenPublic]!.includes('"d"'));
  });

  test('a folder that is not there is refused', () => {
    assert.throws(() => openKeys(join(tmpdir(), 'pushcluster-no-such'), aManualClock(), silentLog), InvalidKeysError);
  });

  const aPrivateList = generateKeyFiles('x')[KEY_FILES.tokenPrivate]!;
  const secret = Buffer.alloc(31, 1).toString('base64url');
  const wrong: readonly { title: string; file: string; text: string }[] = [
    { title: 'no JSON', file: KEY_FILES.link, text: '[{"secret":"hush' },
    { title: 'no list', file: KEY_FILES.link, text: '{"secret":"hush"}' },
    { title: 'a row without kid', file: KEY_FILES.admin, text: '[{"secret":"hush"}]' },
    {
      title: 'a secret of 31 bytes',
      file: KEY_FILES.ticket,
      text: JSON.stringify([{ kid: 'k', secret, createdAt: 'x' }]),
    },
    { title: 'private parts in the public list', file: KEY_FILES.tokenPublic, text: aPrivateList },
    {
      title: 'a private key that is none',
      file: KEY_FILES.tokenPrivate,
      text: JSON.stringify([{ kid: 'k', createdAt: 'x', publicJwk: {}, privateJwk: { d: 'hush' } }]),
    },
  ];
  for (const { title, file, text } of wrong)
    test(`${title} is refused by file name without quoting it`, () => {
      assert.throws(
        () => opened({ [file]: text }),
        (error: unknown) =>
          error instanceof InvalidKeysError && error.message.startsWith(file) && !error.message.includes('hush'),
      );
    });

  test('an elliptic key is refused where Ed25519 is expected', async () => {
    const publicJwk = await exportJWK((await generateKeyPair('ES256', { extractable: true })).publicKey);
    const text = JSON.stringify([{ kid: 'k', createdAt: 'x', publicJwk }]);
    assert.throws(() => opened({ [KEY_FILES.tokenPublic]: text }), InvalidKeysError);
  });

  test('a changed file is read within 5 s; one that cannot be read leaves the keys before it', () => {
    const dir = aFolder();
    const clock = aManualClock();
    const keys = openKeys(dir, clock, silentLog);
    const first = keys.current();
    clock.advance(5000);
    assert.equal(keys.current(), first);

    const second = generateKeyFiles('2027-02-01T00:00:00Z')[KEY_FILES.ticket]!;
    const rotated = JSON.stringify([JSON.parse(second)[0], first.ticket[0]]);
    writeFileSync(join(dir, KEY_FILES.ticket), rotated);
    clock.advance(5000);
    assert.equal(keys.current().ticket.length, 2);
    assert.equal(verifyTicket(signTicket(aTicket(), first), { keys: keys.current(), nowMs: NOW_MS }).kind, 'valid');

    writeFileSync(join(dir, KEY_FILES.ticket), 'not json');
    clock.advance(5000);
    assert.equal(keys.current().ticket.length, 2);
    rmSync(join(dir, KEY_FILES.ticket));
    clock.advance(5000);
    assert.equal(keys.current().ticket.length, 2, 'a file that vanishes is not an order to forget the keys');

    writeFileSync(join(dir, KEY_FILES.ticket), second);
    utimesSync(join(dir, KEY_FILES.ticket), NOW, NOW);
    clock.advance(5000);
    assert.equal(keys.current().ticket.length, 1);
    keys.stop();
    assert.equal(clock.pending(), 0);
  });
});
