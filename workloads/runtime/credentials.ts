// The cluster's own credentials: the folder with keys, tokens (Ed25519, compact JWS) and tickets (HMAC-SHA256). The registry signs
// tokens, gateways check them and sign and check tickets, on every connect. Claims: protocol/credentials.ts.
// Nothing of a credential is parsed before its signature holds, except the header of a token, which names the key.
import { generateKeyPairSync, randomBytes, sign, timingSafeEqual, verify } from 'node:crypto';
import { KEY_FILES } from '../protocol/credentials.ts';
import type { SymmetricKey, TicketClaims, TokenClaims } from '../protocol/credentials.ts';
import { LIMITS } from '../protocol/limits.ts';
import { parseTicketClaims, parseTokenClaims } from './claims.ts';
import type { Clock } from './clock.ts';
import { macOf, privateKeyOf, publicKeyOf, readKeyRing, stampOfKeys } from './key-files.ts';
import type { KeyRing } from './key-files.ts';
import type { Log } from './log.ts';

export { InvalidKeysError } from './key-files.ts';
export type { KeyRing } from './key-files.ts';

export interface Keys {
  /** The keys as last read; ask again for each use, since they rotate. */
  current(): KeyRing;
  stop(): void;
}

/** Asked to sign, with no key to sign with: the role was started without that key file. */
export class NoSigningKeyError extends Error {
  readonly code = 'no-signing-key';
}

export type Verdict<T> =
  | { readonly kind: 'valid'; readonly claims: T }
  | { readonly kind: 'expired' | 'invalid'; readonly reason: string };

/** Clocks of two nodes differ by less than this; a credential from further in the future is refused. */
const SKEW_SECONDS = 30;
const POLL_MS = 5000;
const SEGMENT = /^[A-Za-z0-9_-]+$/;
const TICKET_MAC_CHARS = 43;

// ---- tokens

/** Signs with the newest private key. Cost: about 45 µs. Throws NoSigningKeyError. */
export function signToken(claims: TokenClaims, keys: KeyRing): string {
  const key = keys.tokenPrivate[0];
  if (key === undefined) throw new NoSigningKeyError(`expected a private key in ${KEY_FILES.tokenPrivate}, got none`);
  const signed = `${encode({ alg: 'EdDSA', kid: key.kid, typ: 'JWT' })}.${encode(claims)}`;
  const token = `${signed}.${sign(null, Buffer.from(signed), privateKeyOf(key)).toString('base64url')}`;
  return assertFits(token);
}

/**
 * Checks a token by the public keys alone: no store, no network.
 * Cost: about 110 µs (one Ed25519 verification); what is malformed, too long or of an unknown key is refused before that.
 * @param options.cluster the issuer that must be named: a token of another cluster is invalid
 */
export function verifyToken(
  token: string,
  options: { keys: KeyRing; cluster: string; nowMs: number },
): Verdict<TokenClaims> {
  if (token.length > LIMITS.credentialCharsMax) return invalid('too long');
  const [header, payload, signature, ...rest] = token.split('.');
  if (header === undefined || payload === undefined || signature === undefined || rest.length > 0)
    return invalid('not a compact JWS');
  if (!SEGMENT.test(header) || !SEGMENT.test(payload) || !SEGMENT.test(signature)) return invalid('not base64url');
  const head = decode(header) as { alg?: unknown; kid?: unknown } | null;
  if (head?.alg !== 'EdDSA') return invalid('expected alg EdDSA');
  const key = options.keys.tokenPublic.find((k) => k.kid === head.kid);
  if (key === undefined) return invalid('unknown key');
  const bytes = Buffer.from(signature, 'base64url');
  if (!verify(null, Buffer.from(`${header}.${payload}`), publicKeyOf(key), bytes)) return invalid('wrong signature');
  const claims = parseTokenClaims(decode(payload));
  if (claims === null) return invalid('claims are not of the expected form');
  if (claims.iss !== options.cluster) return invalid('issued by another cluster');
  return withinTime(claims, options.nowMs);
}

// ---- tickets: kid.base64url(JSON).base64url(HMAC over what precedes it)

/** Signs with the newest ticket key; synchronous. Cost: about 6 µs. Throws NoSigningKeyError. */
export function signTicket(claims: TicketClaims, keys: KeyRing): string {
  const key = keys.ticket[0];
  if (key === undefined) throw new NoSigningKeyError(`expected a key in ${KEY_FILES.ticket}, got none`);
  const signed = `${key.kid}.${encode(claims)}`;
  return assertFits(`${signed}.${macOf(signed, key).toString('base64url')}`);
}

/** Checks a ticket; whether it has been used is the store's compare-and-set of the generation. Cost: about 8 µs. */
export function verifyTicket(ticket: string, options: { keys: KeyRing; nowMs: number }): Verdict<TicketClaims> {
  if (ticket.length > LIMITS.credentialCharsMax) return invalid('too long');
  const [kid, payload, mac, ...rest] = ticket.split('.');
  if (kid === undefined || payload === undefined || mac === undefined || rest.length > 0)
    return invalid('not a ticket');
  if (mac.length !== TICKET_MAC_CHARS || !SEGMENT.test(mac)) return invalid('not a ticket');
  const key = options.keys.ticket.find((k) => k.kid === kid);
  if (key === undefined) return invalid('unknown key');
  const expected = macOf(`${kid}.${payload}`, key);
  if (!timingSafeEqual(expected, Buffer.from(mac, 'base64url'))) return invalid('wrong signature');
  const claims = parseTicketClaims(decode(payload));
  if (claims === null) return invalid('claims are not of the expected form');
  return withinTime(claims, options.nowMs);
}

function withinTime<T extends { iat: number; exp: number }>(claims: T, nowMs: number): Verdict<T> {
  if (claims.iat > nowMs / 1000 + SKEW_SECONDS) return invalid('issued in the future');
  if (claims.exp <= nowMs / 1000) return { kind: 'expired', reason: 'ran out' };
  return { kind: 'valid', claims };
}

function invalid(reason: string): { kind: 'invalid'; reason: string } {
  return { kind: 'invalid', reason };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(segment: string): unknown {
  try {
    return JSON.parse(Buffer.from(segment, 'base64url').toString());
  } catch {
    return null;
  }
}

function assertFits(credential: string): string {
  if (credential.length <= LIMITS.credentialCharsMax) return credential;
  throw new RangeError(`expected claims of at most ${LIMITS.credentialCharsMax} characters, got ${credential.length}`);
}

// ---- the keys folder

/**
 * Reads the key files now, then looks every 5 s whether one has changed. A change that cannot be read is logged and the keys
 * before it stay, since dropping them would lock everyone out.
 * @param dir a mounted Secret, or a folder written from generateKeyFiles; throws InvalidKeysError by file name
 */
export function openKeys(dir: string, clock: Clock, log: Log): Keys {
  let stamp = stampOfKeys(dir);
  let ring = readKeyRing(dir);
  const cancel = clock.every(POLL_MS, () => {
    try {
      const seen = stampOfKeys(dir);
      if (seen === stamp) return;
      ring = readKeyRing(dir, ring);
      stamp = seen;
      log.info({ token: kidsOf(ring.tokenPublic), ticket: kidsOf(ring.ticket) }, 'keys read again');
    } catch (error) {
      log.warn({ problem: error instanceof Error ? error.message : String(error) }, 'keys not read; kept those before');
    }
  });
  return { current: () => ring, stop: cancel };
}

/** A fresh set of keys: file name (KEY_FILES) → JSON. For the embedded process and tests; in a cluster the operator makes them. */
export function generateKeyFiles(nowIso: string): Readonly<Record<string, string>> {
  const kid = (): string => randomBytes(9).toString('base64url');
  const symmetric = (): SymmetricKey[] => [
    { kid: kid(), secret: randomBytes(32).toString('base64url'), createdAt: nowIso },
  ];
  const pairOfKeys = () => {
    const pair = generateKeyPairSync('ed25519');
    return {
      kid: kid(),
      publicJwk: pair.publicKey.export({ format: 'jwk' }),
      privateJwk: pair.privateKey.export({ format: 'jwk' }),
      createdAt: nowIso,
    };
  };
  const signing = pairOfKeys();
  const { privateJwk: _, ...open } = signing;
  return {
    [KEY_FILES.tokenPrivate]: JSON.stringify([signing]),
    [KEY_FILES.tokenPublic]: JSON.stringify([open]),
    [KEY_FILES.ticket]: JSON.stringify(symmetric()),
    [KEY_FILES.link]: JSON.stringify(symmetric()),
    [KEY_FILES.admin]: JSON.stringify(symmetric()),
    [KEY_FILES.webhook]: JSON.stringify([pairOfKeys()]),
  };
}

function kidsOf(keys: readonly { kid: string }[]): string[] {
  return keys.map((key) => key.kid);
}
