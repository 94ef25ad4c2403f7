// A drainer's announcement in the store, renewed at a third of its length; each renewal also finds how many drainers there are, which is
// how they share one budget. role.ts starts it. While the store is away the share stays: there is nothing to read then either.
import type { BootId } from '../protocol/ids.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Store } from '../store/port.ts';

export interface LeaseOptions {
  readonly store: Pick<Store, 'renewRoleLease' | 'roleLeases' | 'dropRoleLease'>;
  readonly name: string;
  readonly bootId: BootId;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** After each renewal. */
  onDrainers(count: number): void;
}

export class Lease {
  readonly #options: LeaseOptions;
  #cancel: (() => void) | null = null;
  #renewing = false;
  #stopped = false;
  /** As the last renewal found it. */
  storeReachable = false;
  drainers = 1;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Renews now, then for good; resolves after the first try, whatever came of it. */
  async start(): Promise<void> {
    const { clock, leaseMs } = this.#options;
    this.#cancel = clock.every(Math.max(50, Math.floor(leaseMs / 3)), () => void this.#renew());
    await this.#renew();
  }
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }
  /** The graceful end: the others take this one's share at once. */
  async drop(): Promise<void> {
    this.stop();
    try {
      await this.#options.store.dropRoleLease('drainer', this.#options.bootId);
    } catch (error) {
      this.#options.log.warn({ problem: String(error) }, 'lease not dropped, it runs out');
    }
  }

  async #renew(): Promise<void> {
    if (this.#renewing || this.#stopped) return;
    this.#renewing = true;
    const { store, name, bootId, leaseMs, log } = this.#options;
    try {
      // Nobody connects to a drainer: it opens the links.
      await store.renewRoleLease({ role: 'drainer', name, bootId, linkAddress: '' }, leaseMs);
      this.drainers = Math.max(1, (await store.roleLeases('drainer')).length);
      this.storeReachable = true;
      this.#options.onDrainers(this.drainers);
    } catch (error) {
      if (this.storeReachable) log.warn({ problem: String(error) }, 'lease not renewed');
      this.storeReachable = false;
    } finally {
      this.#renewing = false;
    }
  }
}
