// What a close code asks of this client, by the table in protocol/codes.ts. connection.ts acts on it.
import { CLOSE, ERRORS, mayReconnect } from '../protocol/codes.ts';
import type { ErrorCode } from '../protocol/codes.ts';

export type Verdict =
  /** Never reconnect by itself. */
  | { readonly kind: 'leave' }
  /** Connect at once with the token; the ticket is of no use any more. */
  | { readonly kind: 'by-token' }
  /** The token ran out: the registry gives another for the credential of the app. */
  | { readonly kind: 'register' }
  /** Not before `retryAfterMs`, and better elsewhere. */
  | { readonly kind: 'later'; readonly retryAfterMs: number }
  /** Reconnect with backoff, by ticket where there is one. */
  | { readonly kind: 'again' };

/** Where an `overloaded` names no time. */
const RETRY_AFTER_DEFAULT_MS = 1000;
const RETRY_AFTER_MAX_MS = 300_000;

/**
 * Close code and text → what to do. Codes below 4000 are the network's: again.
 * @param reason the text sent with the code; `overloaded` carries `retry-after=<ms>`
 */
export function verdictOf(code: number, reason: string): Verdict {
  if (!mayReconnect(code)) return { kind: 'leave' };
  switch (code) {
    case CLOSE.ticketStale.code:
      return { kind: 'by-token' };
    case CLOSE.tokenExpired.code:
      return { kind: 'register' };
    case CLOSE.overloaded.code:
      return { kind: 'later', retryAfterMs: retryAfterOf(reason) };
    default:
      return { kind: 'again' };
  }
}

function retryAfterOf(reason: string): number {
  const found = /(\d+)/.exec(reason);
  return found === null ? RETRY_AFTER_DEFAULT_MS : Math.min(Number(found[1]), RETRY_AFTER_MAX_MS);
}

/** Whether an error passes by itself: the same question may be asked again later. */
export function isPassing(code: ErrorCode): boolean {
  const status = Object.hasOwn(ERRORS, code) ? ERRORS[code].status : 500;
  return status >= 500 || status === 429;
}
