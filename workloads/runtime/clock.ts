// The clock port: all that tells or waits for time. Roles take one as a parameter; tests pass aManualClock() and move it.

export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Milliseconds that never go back, for measuring. */
  monotonicMs(): number;
  /** Calls `fn` once after `delayMs`; the answer cancels. Timers never keep the process alive by themselves. */
  after(delayMs: number, fn: () => void): () => void;
  /** Calls `fn` every `intervalMs`; the answer cancels. */
  every(intervalMs: number, fn: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, fn) {
    const timer = setTimeout(fn, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  every(intervalMs, fn) {
    const timer = setInterval(fn, intervalMs);
    timer.unref();
    return () => clearInterval(timer);
  },
};

/** A clock that moves only when told; `advance` runs what is due, in order of time. */
export interface ManualClock extends Clock {
  advance(ms: number): void;
  /** Timers waiting. */
  pending(): number;
}

/** Builds a manual clock; starts at 1_800_000_000_000 ms unless told. */
export function aManualClock(startMs = 1_800_000_000_000): ManualClock {
  let now = startMs;
  let order = 0;
  const waiting = new Map<number, { at: number; every: number; fn: () => void }>();
  const add = (delayMs: number, every: number, fn: () => void): (() => void) => {
    const id = order++;
    waiting.set(id, { at: now + delayMs, every, fn });
    return () => waiting.delete(id);
  };
  return {
    nowMs: () => now,
    monotonicMs: () => now - startMs,
    after: (delayMs, fn) => add(delayMs, 0, fn),
    every: (intervalMs, fn) => add(intervalMs, intervalMs, fn),
    pending: () => waiting.size,
    advance(ms) {
      const end = now + ms;
      for (;;) {
        let next: number | null = null;
        for (const [id, timer] of waiting)
          if (timer.at <= end && (next === null || timer.at < waiting.get(next)!.at)) next = id;
        if (next === null) break;
        const timer = waiting.get(next)!;
        now = Math.max(now, timer.at);
        if (timer.every > 0) timer.at = now + timer.every;
        else waiting.delete(next);
        timer.fn();
      }
      now = end;
    },
  };
}
