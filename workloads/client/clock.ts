// Time for a client in an application: like runtime/clock.ts, but its timers keep a Node process alive (a client that waits to reconnect
// is not done), and nothing of Node is used.
import type { Clock } from '../runtime/clock.ts';

export const applicationClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, fn) {
    const timer = setTimeout(fn, delayMs);
    return () => clearTimeout(timer);
  },
  every(intervalMs, fn) {
    const timer = setInterval(fn, intervalMs);
    return () => clearInterval(timer);
  },
};
