// The registry's request bodies: unknown to typed, refused by field. api.ts calls these first; nothing else sees raw bodies.
import { RefusedError } from '../protocol/codes.ts';
import { InvalidNameError, parseAccountId, parseAppId, parseDeviceId } from '../protocol/ids.ts';
import type { AccountId, AppId, DeviceId } from '../protocol/ids.ts';

export type Credential =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'webhook'; readonly value: unknown };

export interface RegisterRequest {
  readonly app: AppId;
  readonly account: AccountId;
  readonly device: DeviceId;
  /** Null: none was sent. */
  readonly credential: Credential | null;
  readonly exclude: ReadonlySet<string>;
}

/** Bytes of one request. The largest is a token of 8 KiB or a webhook's credential of about as much, twice over. */
export const REQUEST_BYTES_MAX = 16 * 1024;
/** Gateways a client may say have failed it. */
export const EXCLUDE_MAX = 16;
const NAME_CHARS_MAX = 253;

/** Body of POST /v1/register; throws RefusedError 'invalid-request' that names the field. */
export function parseRegisterRequest(body: unknown): RegisterRequest {
  const row = rowOf(body, ['app', 'account', 'device', 'credential', 'exclude']);
  return named(() => ({
    app: parseAppId(row['app'], 'app'),
    account: parseAccountId(row['account'], 'account'),
    device: parseDeviceId(row['device'], 'device'),
    credential: parseCredential(row['credential']),
    exclude: parseExclude(row['exclude']),
  }));
}

/** Body of POST /v1/renew and /v1/assign: `{exclude?}`, or nothing. */
export function parseAssignRequest(body: unknown): { readonly exclude: ReadonlySet<string> } {
  return {
    exclude: body === undefined || body === null ? new Set() : parseExclude(rowOf(body, ['exclude'])['exclude']),
  };
}

function parseCredential(value: unknown): Credential | null {
  if (value === undefined || value === null) return null;
  const row = rowOf(value, ['token', 'webhook'], 'credential');
  if (Object.keys(row).length !== 1)
    throw refused('credential', 'expected one of token and webhook', Object.keys(row).join(' and ') || 'neither');
  if ('webhook' in row) return { kind: 'webhook', value: row['webhook'] };
  if (typeof row['token'] !== 'string') throw refused('credential.token', 'expected a text', typeof row['token']);
  return { kind: 'token', token: row['token'] };
}

function parseExclude(value: unknown): ReadonlySet<string> {
  if (value === undefined) return new Set();
  if (!Array.isArray(value)) throw refused('exclude', 'expected a list of gateway names', typeof value);
  if (value.length > EXCLUDE_MAX) throw refused('exclude', `expected at most ${EXCLUDE_MAX} names`, `${value.length}`);
  for (const [i, name] of value.entries())
    if (typeof name !== 'string' || name.length > NAME_CHARS_MAX)
      throw refused(`exclude[${i}]`, `expected a text of at most ${NAME_CHARS_MAX} characters`, typeof name);
  return new Set(value as string[]);
}

function rowOf(value: unknown, known: readonly string[], at = ''): Record<string, unknown> {
  const field = at === '' ? 'body' : at;
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refused(
      field,
      'expected an object',
      value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value,
    );
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown === undefined) return value as Record<string, unknown>;
  throw refused(at === '' ? unknown : `${at}.${unknown}`, `expected only ${known.join(', ')}`, 'an unknown field');
}

function named<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof InvalidNameError)
      throw new RefusedError('invalid-request', error.message, { field: error.field, cause: error });
    throw error;
  }
}

function refused(field: string, expected: string, got: string): RefusedError {
  return new RefusedError('invalid-request', `${field}: ${expected}, got ${got}`, { field });
}
