// How many requests a second the registry takes, and when those it refuses shall come back. Clients with a token (renew, assign) go
// before newcomers: the last fifth of the bucket is theirs. service.ts asks before any signature is checked for a newcomer.
import { RefusedError } from '../protocol/codes.ts';
import type { Clock } from '../runtime/clock.ts';

export type Arrival = 'known' | 'newcomer';

export interface Bucket {
  readonly ratePerSecond: number;
  readonly tokens: number;
  readonly filledAtMs: number;
  /** When the last one refused of each kind was told to come back: a queue that holds no request. */
  readonly knownTurnMs: number;
  readonly newcomerTurnMs: number;
}
export type Admitted = { readonly kind: 'admitted' } | { readonly kind: 'refused'; readonly retryAfterMs: number };

/** Nobody is sent away for longer. */
export const RETRY_AFTER_MAX_MS = 60_000;
const RETRY_AFTER_MIN_MS = 100;

/** A full bucket, which holds one second's worth. */
export function aBucket(ratePerSecond: number, nowMs: number): Bucket {
  return { ratePerSecond, tokens: ratePerSecond, filledAtMs: nowMs, knownTurnMs: nowMs, newcomerTurnMs: nowMs };
}

/**
 * Takes one from the bucket or gives a time to come back. Those refused are given turns one after the other at the bucket's rate,
 * newcomers behind all clients with a token, so that they return spread out instead of together.
 */
export function admit(bucket: Bucket, arrival: Arrival, nowMs: number): { bucket: Bucket; outcome: Admitted } {
  const { ratePerSecond } = bucket;
  const gained = (Math.max(0, nowMs - bucket.filledAtMs) * ratePerSecond) / 1000;
  const tokens = Math.min(ratePerSecond, bucket.tokens + gained);
  const reserved = arrival === 'known' ? 0 : Math.floor(ratePerSecond / 5);
  const filled = { ...bucket, filledAtMs: nowMs };
  if (tokens >= reserved + 1) return { bucket: { ...filled, tokens: tokens - 1 }, outcome: { kind: 'admitted' } };

  const behind = arrival === 'known' ? bucket.knownTurnMs : Math.max(bucket.knownTurnMs, bucket.newcomerTurnMs);
  const turnMs = Math.min(Math.max(behind, nowMs) + 1000 / ratePerSecond, nowMs + RETRY_AFTER_MAX_MS);
  const turns = arrival === 'known' ? { knownTurnMs: turnMs } : { newcomerTurnMs: turnMs };
  const retryAfterMs = Math.max(RETRY_AFTER_MIN_MS, Math.ceil(turnMs - nowMs));
  return { bucket: { ...filled, tokens, ...turns }, outcome: { kind: 'refused', retryAfterMs } };
}

export interface Admission {
  /** Throws RefusedError 'overloaded' with retryAfterMs. */
  assertAdmitted(arrival: Arrival): void;
}

/** One bucket for this process: `spec.registry.replicas` of them share the load behind the Service. */
export function openAdmission(ratePerSecond: number, clock: Clock): Admission {
  let bucket = aBucket(ratePerSecond, clock.monotonicMs());
  return {
    assertAdmitted(arrival) {
      const taken = admit(bucket, arrival, clock.monotonicMs());
      bucket = taken.bucket;
      if (taken.outcome.kind === 'admitted') return;
      const { retryAfterMs } = taken.outcome;
      throw new RefusedError('overloaded', `expected at most ${ratePerSecond} requests a second`, { retryAfterMs });
    },
  };
}
