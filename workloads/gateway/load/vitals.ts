// What the process tells of itself: the delay of its event loop and its memory. shedding.ts asks; tests hand in their own.
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface Vitals {
  /** Mean delay of the event loop since the last look, and resident memory. */
  look(): { readonly lagMs: number; readonly memoryBytes: number };
  stop(): void;
}

const RESOLUTION_MS = 20;

export function openVitals(): Vitals {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  return {
    look() {
      // The timer's own interval is part of what it measures.
      const meanMs = delay.mean / 1e6;
      delay.reset();
      const lagMs = Number.isFinite(meanMs) ? Math.max(0, meanMs - RESOLUTION_MS) : 0;
      return { lagMs, memoryBytes: process.memoryUsage.rss() };
    },
    stop: () => delay.disable(),
  };
}
