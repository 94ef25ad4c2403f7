// Gives memory back after a storm: V8 collects only under pressure, so a gateway that took 18,000 connections keeps the garbage of
// their handshakes (some 5–10 KB each) for as long as nothing happens. When the process has been quiet for some
// looks and has grown, one full collection is asked for. gateway/main.ts starts it. The cost is a pause: about 100 ms for 18,000
// sessions, 0.5–1 s for a million subscriptions (it once fell into the first second of a load and made a p99 of 1.3 s).
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

/** Looked at this often. */
export const LOOK_MS = 3000;
/** Quiet: less than this share of one core since the last look. */
export const QUIET_CPU_SHARE = 0.05;
/** So many looks in a row: 720 pings a second of 18,000 idle clients take about 3 % of a core, a trickle of messages more. */
export const QUIET_LOOKS = 3;
/** Grown: by this much since the last collection. */
export const GROWN_BYTES = 48 * 1024 * 1024;

export interface TrimLook {
  readonly rssBytes: number;
  /** After the last collection, or at start. */
  readonly baseBytes: number;
  /** Share of one core since the look before, 0 and up. */
  readonly cpuShare: number;
  /** Quiet looks in a row before this one. */
  readonly quietLooks: number;
}

/** Whether now is the moment. Pure. */
export function isTrimDue({ rssBytes, baseBytes, cpuShare, quietLooks }: TrimLook): boolean {
  return cpuShare < QUIET_CPU_SHARE && quietLooks + 1 >= QUIET_LOOKS && rssBytes - baseBytes >= GROWN_BYTES;
}

/** Looks now and then until stopped. */
export function trimHeapWhenQuiet({ clock, log }: { clock: Clock; log: Log }): () => void {
  const collect = openCollector();
  let baseBytes = process.memoryUsage.rss();
  let cpu = process.cpuUsage();
  let atMs = clock.monotonicMs();
  let quietLooks = 0;
  return clock.every(LOOK_MS, () => {
    const spent = process.cpuUsage(cpu);
    const nowMs = clock.monotonicMs();
    const cpuShare = (spent.user + spent.system) / 1000 / Math.max(1, nowMs - atMs);
    cpu = process.cpuUsage();
    atMs = nowMs;
    const rssBytes = process.memoryUsage.rss();
    // What was given back otherwise counts as well.
    baseBytes = Math.min(baseBytes, rssBytes);
    const isDue = isTrimDue({ rssBytes, baseBytes, cpuShare, quietLooks });
    quietLooks = cpuShare < QUIET_CPU_SHARE ? quietLooks + 1 : 0;
    if (!isDue) return;
    collect();
    cpu = process.cpuUsage();
    baseBytes = process.memoryUsage.rss();
    log.info(
      { rssBytes, trimmedBytes: rssBytes - baseBytes, pauseMs: Math.round(clock.monotonicMs() - atMs) },
      'heap trimmed',
    );
    atMs = clock.monotonicMs();
  });
}

/** V8's own collector without a flag on the command line. */
function openCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;
  return () => gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
