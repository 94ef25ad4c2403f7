// What a handler is. Each file here is one; open.ts makes those that the rules name. A handler has its effect at most once for each message
// (app, device and key), however often it is asked, and says what became of each; waiting, trying again and giving up are batch.ts's.
import type { UpstreamMessage } from '../message.ts';

export type Outcome =
  /** Its effect is durable. */
  | { readonly kind: 'handled' }
  /** It was handled before. */
  | { readonly kind: 'duplicate' }
  /** Not now; it counts as a failure. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** Never: it is a dead letter at once. */
  | { readonly kind: 'rejected'; readonly reason: string }
  /** What the handler needs is away, or asks to come later: not this message's fault. */
  | { readonly kind: 'unavailable'; readonly reason: string; readonly retryAfterMs?: number };

export interface UpstreamHandler {
  /** Messages that one call takes. */
  readonly batchMax: number;
  /** Calls under way. */
  readonly concurrency: number;
  /**
   * One outcome for each, in order. A call with several messages MUST NOT have handled one behind one that is to be tried again: it
   * handles all, or rejects some and handles the others, or throws. Throws HandlerUnavailableError for all of them; any other error counts as a failure of each.
   */
  handle(messages: readonly UpstreamMessage[]): Promise<readonly Outcome[]>;
  close(): Promise<void>;
}

/** What the handler needs cannot be reached. */
export class HandlerUnavailableError extends Error {
  readonly code = 'handler-unavailable';
}

export const HANDLED: Outcome = { kind: 'handled' };
export const DUPLICATE: Outcome = { kind: 'duplicate' };
