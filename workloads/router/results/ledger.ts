// The ledger of an app (R12): deliveries accepted and what became of them. Waiting is what is left of accepted; a recount counts it from
// streams and cursors, apart from the counters, and says whether the two agree.
import type { AppId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Ledger, Store } from '../../store/port.ts';

export interface LedgerAnswer extends Ledger {
  readonly waiting: number;
  /** Only when a recount was asked for. Counted while messages move the two may differ by what is under way. */
  readonly recounted?: { readonly waiting: number; readonly agrees: boolean };
}

/** accepted = acked + waiting + expired + dead + cancelled + filtered. */
export function waitingOf(ledger: Ledger): number {
  const { accepted, acked, expired, dead, cancelled, filtered } = ledger;
  return accepted - acked - expired - dead - cancelled - filtered;
}

/** How long a quota works with a depth it has read. */
const WAITING_KEPT_MS = 1000;

interface Depth {
  readonly waiting: number;
  readonly atMs: number;
}

export class Ledgers {
  readonly #store: Pick<Store, 'ledger' | 'countWaiting'>;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #depths = new Map<AppId, Depth>();
  readonly #reading = new Map<AppId, Promise<number>>();
  readonly #recounts = new Map<AppId, Promise<LedgerAnswer>>();
  constructor(store: Pick<Store, 'ledger' | 'countWaiting'>, clock: Pick<Clock, 'monotonicMs'>) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Rejects as the store does. */
  async read(app: AppId): Promise<LedgerAnswer> {
    const ledger = await this.#store.ledger(app);
    const waiting = waitingOf(ledger);
    this.#depths.set(app, { waiting, atMs: this.#clock.monotonicMs() });
    return { ...ledger, waiting };
  }

  /** Counts what waits once more. One at a time for each app: who asks meanwhile gets the same answer. */
  async recount(app: AppId): Promise<LedgerAnswer> {
    const running = this.#recounts.get(app);
    if (running !== undefined) return await running;
    const recount = this.#recount(app).finally(() => this.#recounts.delete(app));
    this.#recounts.set(app, recount);
    return await recount;
  }
  async #recount(app: AppId): Promise<LedgerAnswer> {
    const waiting = await this.#store.countWaiting(app);
    const ledger = await this.read(app);
    return { ...ledger, recounted: { waiting, agrees: waiting === ledger.waiting } };
  }

  /** Deliveries that wait, as read at most a second ago. Rejects as the store does when nothing that fresh is known. */
  async waiting(app: AppId): Promise<number> {
    const depth = this.#depths.get(app);
    if (depth !== undefined && this.#clock.monotonicMs() - depth.atMs < WAITING_KEPT_MS) return depth.waiting;
    const reading =
      this.#reading.get(app) ??
      this.read(app)
        .then(({ waiting }) => waiting)
        .finally(() => this.#reading.delete(app));
    this.#reading.set(app, reading);
    return await reading;
  }

  /** What was accepted here since the depth was read, so that a second's worth of pushes cannot pass by unseen. */
  added(app: AppId, deliveries: number): void {
    const depth = this.#depths.get(app);
    if (depth !== undefined) this.#depths.set(app, { ...depth, waiting: depth.waiting + deliveries });
  }
}
