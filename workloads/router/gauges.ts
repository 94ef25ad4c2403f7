// Figures of the store that metrics show: ledgers, dead letters, jobs. Read now and then, never on a request's path; while the store does
// not answer the last ones stay.
import type { AppDefinition } from '../protocol/apps.ts';
import type { AppId } from '../protocol/ids.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Store } from '../store/port.ts';
import type { RouterCounts } from './counts.ts';
import type { LedgerAnswer, Ledgers } from './results/ledger.ts';

export interface Gauges {
  readonly ledgers: ReadonlyMap<AppId, LedgerAnswer>;
  readonly deadLetters: ReadonlyMap<AppId, number>;
  /** Null before the first reading. */
  readonly jobs: number | null;
}

export const GAUGES_MS = 10_000;

export function watchGauges(options: {
  store: Pick<Store, 'countDeadLetters' | 'countJobs'>;
  ledgers: Ledgers;
  apps: () => readonly AppDefinition[];
  clock: Clock;
  log: Log;
  random: () => number;
  counts: RouterCounts;
}): { read(): Gauges; stop(): void } {
  const { store, ledgers, clock, log, counts } = options;
  let gauges: Gauges = { ledgers: new Map(), deadLetters: new Map(), jobs: null };
  let stopped = false;

  const readStore = async (): Promise<void> => {
    const names = options.apps().map(({ name }) => name);
    const rows = await Promise.all(
      names.map(async (app) => ({ app, ledger: await ledgers.read(app), dead: await store.countDeadLetters(app) })),
    );
    const jobs = await store.countJobs();
    gauges = {
      ledgers: new Map(rows.map(({ app, ledger }) => [app, ledger])),
      deadLetters: new Map(rows.map(({ app, dead }) => [app, dead])),
      jobs,
    };
  };
  let cancel = (): void => {};
  const next = (): void => {
    if (stopped) return;
    cancel = clock.after(GAUGES_MS * (0.5 + options.random()), () => {
      readStore()
        .catch((error: unknown) => {
          counts.storeFailures++;
          log.debug({ problem: String(error) }, 'figures of the store not read');
        })
        .finally(next);
    });
  };
  next();
  return {
    read: () => gauges,
    stop() {
      stopped = true;
      cancel();
    },
  };
}
