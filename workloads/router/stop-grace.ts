// How long a router that stops waits for the requests under way: role.ts tells its two doors.

/** More than what a publish to the bus has: the store fails first, and the answer goes out afterwards. */
const MORE_MS = 5000;
/** Pods are given 60 s: 3 s of them pass before (PUSHCLUSTER_STOP_DELAY_MS), some afterwards, until consumers, bus and store are closed. */
export const STOP_GRACE_MS_MAX = 40_000;

/** ms. A durable push may wait for the journal as long as a publish takes; cut before, nobody knows whether it was accepted. */
export function stopGraceMs(busTimeoutMs: number): number {
  return Math.min(busTimeoutMs + MORE_MS, STOP_GRACE_MS_MAX);
}
