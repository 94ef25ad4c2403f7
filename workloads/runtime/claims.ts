// The form of a token's and a ticket's claims: unknown to typed. credentials.ts calls it once the signature holds, so what fails
// here was signed by us in another version, not forged. Unknown fields are ignored.
import { parseAccountId, parseAppId, parseDeviceId } from '../protocol/ids.ts';
import type { TicketClaims, TokenClaims } from '../protocol/credentials.ts';

/** Claims of a token; null when one is missing or of the wrong form. */
export function parseTokenClaims(value: unknown): TokenClaims | null {
  const row = rowOf(value);
  if (row === null || typeof row['iss'] !== 'string' || typeof row['jti'] !== 'string') return null;
  const shared = sharedClaims(row);
  return shared === null ? null : { iss: row['iss'], jti: row['jti'], ...shared };
}

/** Claims of a ticket; null when one is missing or of the wrong form. */
export function parseTicketClaims(value: unknown): TicketClaims | null {
  const row = rowOf(value);
  if (row === null || !isCount(row['generation']) || !isTexts(row['targets'])) return null;
  const shared = sharedClaims(row);
  return shared === null ? null : { generation: row['generation'], targets: row['targets'], ...shared };
}

type SharedClaims = Pick<TicketClaims, 'app' | 'account' | 'device' | 'topics' | 'presence' | 'iat' | 'exp'>;

function sharedClaims(row: Record<string, unknown>): SharedClaims | null {
  const { topics, iat, exp } = row;
  if (!isTexts(topics) || !isSeconds(iat) || !isSeconds(exp)) return null;
  try {
    return {
      app: parseAppId(row['app']),
      account: parseAccountId(row['account']),
      device: parseDeviceId(row['device']),
      topics,
      ...(row['presence'] === true ? { presence: true } : {}),
      iat,
      exp,
    };
  } catch {
    return null;
  }
}

function rowOf(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
}
function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
