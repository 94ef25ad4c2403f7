// The gateways that are alive, by their leases in the store, and something for each (a link, as a rule): made when a lease is first seen,
// ended when it is gone. Leases are read every pollMs and when asked; while the store does not answer, the ones known stay.
import type { BootId } from '../protocol/ids.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { GatewayLease, Store } from '../store/port.ts';

export interface LiveGatewaysOptions<T> {
  readonly store: Pick<Store, 'leases'>;
  readonly pollMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** A life was found. Throws when its lease is unusable: it is passed over, and tried again with the next reading. */
  open(lease: GatewayLease): T;
  /** That life is over, or the watch was stopped. */
  close(held: T, lease: GatewayLease): void;
}

export class LiveGateways<T> {
  readonly #options: LiveGatewaysOptions<T>;
  readonly #held = new Map<BootId, { readonly held: T; readonly lease: GatewayLease }>();
  #reading: Promise<void> | null = null;
  #cancel: (() => void) | null = null;
  #known = false;
  #stopped = false;

  constructor(options: LiveGatewaysOptions<T>) {
    this.#options = options;
  }

  /** Reads the leases once, then every pollMs. Resolves after the first reading, also when it failed. */
  async start(): Promise<void> {
    const { clock, pollMs } = this.#options;
    this.#cancel = clock.every(pollMs, () => void this.refresh());
    await this.refresh();
  }

  /** Whether the leases were ever read. */
  get isKnown(): boolean {
    return this.#known;
  }
  get size(): number {
    return this.#held.size;
  }
  *all(): Generator<T> {
    for (const { held } of this.#held.values()) yield held;
  }

  /** Reads the leases now; one reading at a time is shared. Never rejects. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => (this.#reading = null));
    return this.#reading;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    for (const { held, lease } of this.#held.values()) this.#options.close(held, lease);
    this.#held.clear();
  }

  async #read(): Promise<void> {
    const { store, log } = this.#options;
    let leases: readonly GatewayLease[];
    try {
      leases = await store.leases();
    } catch (error) {
      log.warn({ problem: String(error) }, 'leases not read; the gateways known stay');
      return;
    }
    if (this.#stopped) return;
    this.#known = true;
    const alive = new Set(leases.map(({ bootId }) => bootId));
    for (const [bootId, { held, lease }] of this.#held)
      if (!alive.has(bootId)) {
        this.#held.delete(bootId);
        log.info({ gateway: lease.gateway, bootId }, 'gateway gone');
        this.#options.close(held, lease);
      }
    for (const lease of leases) if (!this.#held.has(lease.bootId)) this.#add(lease);
  }

  #add(lease: GatewayLease): void {
    const { log } = this.#options;
    const { gateway, bootId, linkAddress } = lease;
    try {
      this.#held.set(bootId, { held: this.#options.open(lease), lease });
      log.info({ gateway, bootId, address: linkAddress }, 'gateway found');
    } catch (error) {
      log.error({ gateway, problem: String(error) }, 'lease of a gateway is unusable');
    }
  }
}
