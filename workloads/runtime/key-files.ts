// The files of the keys folder: what they hold, whether they changed, and key objects for node:crypto. credentials.ts reads them
// through here; a wrong file is refused by name and never quoted, since it holds secrets.
import { createHmac, createPrivateKey, createPublicKey, createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { KEY_FILES } from '../protocol/credentials.ts';
import type { SigningKey, SymmetricKey } from '../protocol/credentials.ts';

const KID = /^[A-Za-z0-9_-]+$/;

/** What the keys folder holds, each list newest first. A file that is not there gives an empty list. */
export interface KeyRing {
  readonly tokenPublic: readonly SigningKey[];
  readonly tokenPrivate: readonly SigningKey[];
  readonly ticket: readonly SymmetricKey[];
  readonly link: readonly SymmetricKey[];
  readonly admin: readonly SymmetricKey[];
  readonly webhook: readonly SigningKey[];
}
/** A key file that cannot be read or is not of its form. The message names the file and never quotes it. */
export class InvalidKeysError extends Error {
  readonly code = 'invalid-keys';
}
/** Changes when a file is written, swapped (mounted Secrets are symbolic links), added or removed. */
export function stampOfKeys(dir: string): string {
  return Object.values(KEY_FILES)
    .map((file) => {
      const stat = statSync(join(dir, file), { throwIfNoEntry: false });
      return stat === undefined ? '-' : `${stat.ino}:${stat.mtimeMs}:${stat.size}`;
    })
    .join(' ');
}

/**
 * Reads all key files; throws InvalidKeysError.
 * @param before what stays for a file that has vanished: that is no order to forget its keys (an empty list is)
 */
export function readKeyRing(dir: string, before?: KeyRing): KeyRing {
  let present: ReadonlySet<string>;
  try {
    present = new Set(readdirSync(dir));
  } catch (error) {
    throw new InvalidKeysError('keys folder: expected a readable folder', { cause: error });
  }
  const read = <T>(name: keyof KeyRing, parse: (row: Record<string, unknown>) => T | null): readonly T[] | null =>
    present.has(KEY_FILES[name]) ? readKeyFile(dir, KEY_FILES[name], parse) : null;
  return {
    tokenPublic: read('tokenPublic', (row) => parseSigningKey(row, false)) ?? before?.tokenPublic ?? [],
    tokenPrivate: read('tokenPrivate', (row) => parseSigningKey(row, true)) ?? before?.tokenPrivate ?? [],
    ticket: read('ticket', parseSymmetricKey) ?? before?.ticket ?? [],
    link: read('link', parseSymmetricKey) ?? before?.link ?? [],
    admin: read('admin', parseSymmetricKey) ?? before?.admin ?? [],
    webhook: read('webhook', (row) => parseSigningKey(row, true)) ?? before?.webhook ?? [],
  };
}

function readKeyFile<T>(dir: string, file: string, parse: (row: Record<string, unknown>) => T | null): readonly T[] {
  let rows: unknown;
  try {
    rows = JSON.parse(readFileSync(join(dir, file), 'utf8'));
  } catch {
    throw new InvalidKeysError(`${file}: expected a readable file with JSON`); // no cause: it could quote the secret
  }
  if (!Array.isArray(rows)) throw new InvalidKeysError(`${file}: expected a list`);
  return rows.map((row: unknown, i) => {
    const key = typeof row === 'object' && row !== null ? parse(row as Record<string, unknown>) : null;
    if (key === null) throw new InvalidKeysError(`${file}: [${i}] is not a key of the expected form`);
    return key;
  });
}

function parseSymmetricKey(row: Record<string, unknown>): SymmetricKey | null {
  const { kid, secret, createdAt } = row;
  if (typeof kid !== 'string' || !KID.test(kid) || typeof createdAt !== 'string') return null;
  if (typeof secret !== 'string' || !KID.test(secret)) return null;
  return Buffer.from(secret, 'base64url').length >= 32 ? { kid, secret, createdAt } : null;
}

function parseSigningKey(row: Record<string, unknown>, withPrivate: boolean): SigningKey | null {
  const { kid, createdAt } = row;
  if (typeof kid !== 'string' || !KID.test(kid) || typeof createdAt !== 'string') return null;
  const publicJwk = row['publicJwk'] as SigningKey['publicJwk'];
  const privateJwk = row['privateJwk'] as SigningKey['publicJwk'] | undefined;
  if (withPrivate !== (privateJwk !== undefined)) return null; // a gateway must not be handed private parts
  const key: SigningKey =
    privateJwk === undefined ? { kid, publicJwk, createdAt } : { kid, publicJwk, privateJwk, createdAt };
  try {
    const types = [publicKeyOf(key).asymmetricKeyType, withPrivate ? privateKeyOf(key).asymmetricKeyType : 'ed25519'];
    return types.every((type) => type === 'ed25519') ? key : null;
  } catch {
    return null;
  }
}

// ---- key objects, made once for each key and kept as long as the key is in a ring

const keyObjects = new WeakMap<
  SigningKey | SymmetricKey,
  { public?: KeyObject; private?: KeyObject; mac?: KeyObject }
>();

function objectsOf(key: SigningKey | SymmetricKey): { public?: KeyObject; private?: KeyObject; mac?: KeyObject } {
  let held = keyObjects.get(key);
  if (held === undefined) keyObjects.set(key, (held = {}));
  return held;
}
/** For checking tokens. */
export function publicKeyOf(key: SigningKey): KeyObject {
  return (objectsOf(key).public ??= createPublicKey({ key: { ...key.publicJwk }, format: 'jwk' }));
}
/** For signing tokens. */
export function privateKeyOf(key: SigningKey): KeyObject {
  return (objectsOf(key).private ??= createPrivateKey({ key: { ...key.privateJwk }, format: 'jwk' }));
}
/** HMAC-SHA256 of a text. */
export function macOf(text: string, key: SymmetricKey): Buffer {
  const secret = (objectsOf(key).mac ??= createSecretKey(key.secret, 'base64url'));
  return createHmac('sha256', secret).update(text).digest();
}
