// Waiting for something to become true, with a bound and a message that says what was last seen.

import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  readonly timeoutMs: number;
  /** Time between two looks; 100 ms by default. */
  readonly intervalMs?: number;
  /** Ends the wait at once, with its own error, when it returns one: a daemon has died, say. */
  readonly giveUp?: () => Error | undefined;
}

/** What a wait that ran out says. */
export class WaitTimedOut extends Error {
  readonly code = 'WAIT_TIMED_OUT';

  constructor(label: string, timeoutMs: number, cause: unknown) {
    const seen = cause instanceof Error ? `; last: ${cause.message}` : '';
    super(`waited ${timeoutMs} ms for ${label}${seen}`, { cause });
    this.name = 'WaitTimedOut';
  }
}

/**
 * Calls `look` until it returns something other than undefined or false, and returns that. An error thrown by
 * `look` counts as "not yet" and is the timeout's cause.
 */
export async function waitFor<T>(
  label: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  options: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  let lastError: unknown;
  for (;;) {
    const reason = options.giveUp?.();
    if (reason !== undefined) throw reason;
    try {
      const seen = await look();
      if (seen !== undefined && seen !== false) return seen;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() >= deadline) throw new WaitTimedOut(label, options.timeoutMs, lastError);
    await sleep(options.intervalMs ?? 100);
  }
}
