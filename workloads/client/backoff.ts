// How long to wait before the next attempt: full jitter between nothing and a doubling bound. connection.ts calls it and carries the
// generator's state along, so that the same seed gives the same waits. Base and bound come from the registry.

export interface Retry {
  /** Bound of the first wait. */
  readonly baseMs: number;
  /** Bound of every wait. */
  readonly maxMs: number;
}

export const RETRY_DEFAULT: Retry = { baseMs: 500, maxMs: 30_000 };

/** Next number of a mulberry32 generator, 0 … 1, and the generator's next state. */
export function nextRandom(seed: number): { readonly value: number; readonly seed: number } {
  const next = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(next ^ (next >>> 15), 1 | next);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return { value: ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296, seed: next };
}

/**
 * Full jitter: anything from 0 to min(maxMs, baseMs · 2^failures).
 * @param failures failed attempts since a connection was last stable
 * @param random 0 … 1
 */
export function backoffMs(retry: Retry, failures: number, random: number): number {
  return Math.round(random * Math.min(retry.maxMs, retry.baseMs * 2 ** Math.min(failures, 30)));
}
