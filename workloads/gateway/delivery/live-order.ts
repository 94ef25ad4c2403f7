// Which live message is newer: routers stamp them by their clocks, µs since 1970 (R11), and one of them owns each stream. channel.ts and
// deliver.ts ask, so that a message that came late by another path (a link that was down, the bus) is dropped instead of passed back in time.

/**
 * Stamps that differ by more are no matter of order: nothing is under way for so long (the bus's live records are dropped at a sixth of
 * it), so a router's clock went wrong and was put right. Without this bound such a clock would silence a topic until time caught up.
 */
export const LIVE_LATE_MAX_MS = 60_000;

/** Whether a live message with this stamp may follow one with `newest`. */
export function isNewerLive(stamp: number, newest: number): boolean {
  return stamp > newest || newest - stamp > LIVE_LATE_MAX_MS * 1000;
}
