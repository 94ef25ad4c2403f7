// What someone must do now and then for the store: expired entries go, routes of lives that are over go, routes are counted. Each router
// does it at times of its own (jitter), so that rarely two do it together; each step is bounded and idempotent.
import type { BootId } from '../protocol/ids.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Store } from '../store/port.ts';
import type { RouterCounts } from './counts.ts';

export const SWEEP_MS = 5000;
export const COUNT_MS = 30_000;
/** Steps of one go, and of how many rows: 10 × 500 rows hold a Redis for some milliseconds each. */
const STEP_ROWS = 500;
const STEPS_MAX = 10;

export interface Upkeep {
  /** Routes by boot id as last counted in the store (A8); null before the first count. */
  routes(): ReadonlyMap<BootId, number> | null;
  stop(): void;
}

export function startUpkeep(options: {
  store: Pick<Store, 'sweepExpired' | 'sweepRoutes' | 'countRoutes'>;
  clock: Clock;
  log: Log;
  random: () => number;
  counts: RouterCounts;
}): Upkeep {
  const { store, clock, log, counts } = options;
  let counted: ReadonlyMap<BootId, number> | null = null;
  const loops = [
    repeat(options, SWEEP_MS, async () => {
      counts.sweptEntries += await sweep((rows) => store.sweepExpired(rows));
      counts.sweptRoutes += await sweep((rows) => store.sweepRoutes(rows));
    }),
    repeat(options, COUNT_MS, async () => {
      counted = await store.countRoutes();
    }),
  ];

  function repeat(_: unknown, intervalMs: number, work: () => Promise<void>): () => void {
    let stopped = false;
    let cancel = (): void => {};
    const next = (): void => {
      cancel = clock.after(intervalMs * (0.5 + options.random()), () => {
        work()
          .catch((error: unknown) => {
            counts.storeFailures++;
            log.debug({ problem: String(error) }, 'upkeep of the store put off');
          })
          .finally(() => {
            if (!stopped) next();
          });
      });
    };
    next();
    return () => {
      stopped = true;
      cancel();
    };
  }
  return { routes: () => counted, stop: () => loops.forEach((stop) => stop()) };
}

async function sweep(step: (rows: number) => Promise<number>): Promise<number> {
  let swept = 0;
  for (let i = 0; i < STEPS_MAX; i++) {
    const rows = await step(STEP_ROWS);
    swept += rows;
    if (rows < STEP_ROWS) break;
  }
  return swept;
}
