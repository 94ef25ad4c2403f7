// What an application says of a message that it could not deal with, and how anything that it throws becomes that. delivery.ts calls it; the
// nack frame tells the gateway, so that the attempt counts at once and the next one does not wait for the ack timeout.
import { LIMITS } from '../protocol/limits.ts';

export interface NackOptions {
  /** Not before that; left out: as the gateway likes, at first at once. */
  readonly retryAfterMs?: number;
  /** No further try. `dead`: dead-lettered. `person`: dead-lettered and set aside for a person. */
  readonly final?: 'dead' | 'person';
}
export interface Nack extends NackOptions {
  readonly reason: string;
}

/** Thrown or returned by `onMessage`: the message was not dealt with. */
export class NackError extends Error {
  readonly code = 'nack';
  readonly retryAfterMs: number | undefined;
  readonly final: 'dead' | 'person' | undefined;
  constructor(reason: string, options: NackOptions = {}) {
    super(reason);
    this.retryAfterMs = options.retryAfterMs;
    this.final = options.final;
  }
}

/** `return nack('the database is locked', { retryAfterMs: 2000 })` says the same as throwing it. */
export function nack(reason: string, options: NackOptions = {}): NackError {
  return new NackError(reason, options);
}

/** Whatever was thrown → what the frame may carry: the reason cut to its limit, the time within its bounds. */
export function nackOf(thrown: unknown): Nack {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const reason = (text === '' ? 'the application failed' : text).slice(0, LIMITS.nackReasonCharsMax);
  if (!(thrown instanceof NackError)) return { reason };
  const { retryAfterMs, final } = thrown;
  return {
    reason,
    ...(retryAfterMs === undefined
      ? {}
      : { retryAfterMs: Math.min(Math.max(0, Math.round(retryAfterMs)), LIMITS.nackRetryAfterMs) }),
    ...(final === undefined ? {} : { final }),
  };
}
