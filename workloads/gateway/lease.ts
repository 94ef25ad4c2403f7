// The lease: this life's announcement in the store, renewed at a third of its length. Clients are taken once the first renewal was
// confirmed. A store that is away changes nothing for those who are connected; a newer life of the same name ends this one.
import type { Gateway } from './gateway.ts';

export class Lease {
  readonly #gateway: Gateway;
  readonly #linkAddress: string;
  readonly #startedAtMs: number;
  readonly #onVoid: () => void;
  #cancel: (() => void) | null = null;
  #renewing = false;

  constructor(gateway: Gateway, options: { linkAddress: string; onVoid: () => void }) {
    this.#gateway = gateway;
    this.#linkAddress = options.linkAddress;
    this.#onVoid = options.onVoid;
    this.#startedAtMs = gateway.clock.nowMs();
  }

  /** Renews now, then for good; resolves after the first try, whatever came of it. */
  async start(): Promise<void> {
    const { clock, settings } = this.#gateway;
    this.#cancel = clock.every(Math.max(50, Math.floor(settings.leaseMs / 3)), () => void this.#renew());
    await this.#renew();
  }
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
  /** The graceful end: routes of this life are void from now on. */
  async drop(): Promise<void> {
    this.stop();
    try {
      await this.#gateway.store.dropLease(this.#gateway.name, this.#gateway.bootId);
    } catch (error) {
      this.#gateway.log.warn({ problem: String(error) }, 'lease not dropped, it runs out');
    }
  }

  async #renew(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    const { store, name, bootId, directory, settings, state, log } = this.#gateway;
    try {
      const lease = {
        gateway: name,
        bootId,
        linkAddress: this.#linkAddress,
        connections: directory.connections.length,
        startedAtMs: this.#startedAtMs,
      };
      const outcome = await store.renewLease(lease, settings.leaseMs);
      state.storeReachable = true;
      if (outcome === 'void') this.#end();
      else this.#confirm();
    } catch (error) {
      if (state.storeReachable) log.warn({ problem: String(error) }, 'lease not renewed');
      state.storeReachable = false;
    } finally {
      this.#renewing = false;
    }
  }

  #confirm(): void {
    const { state, admission, log, clock } = this.#gateway;
    if (state.life !== 'starting') return;
    state.life = 'active';
    admission.start(clock.nowMs());
    log.info({}, 'lease confirmed, clients are taken');
  }

  #end(): void {
    this.#gateway.log.error({}, 'lease void: a newer life holds the name');
    this.stop();
    this.#onVoid();
  }
}
