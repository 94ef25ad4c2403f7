// What a gateway does when the store answers again: sessions that came meanwhile are opened there (provisional.ts), and the routes of all
// others are confirmed at a pace instead of at their next round, since a lease that ran out voids them (R7). role.ts ticks.
import type { Connection } from './connection.ts';
import type { Gateway } from '../gateway.ts';
import { checkRoutes } from './route-check.ts';

/** With a tick of 50 ms: 2,000 sessions a second. */
const SESSIONS_PER_TICK = 100;

export class StoreReturn {
  readonly #gateway: Gateway;
  #wasReachable = false;
  /** Where the walk over the connections is, from the end; 0: nothing to confirm. */
  #at = 0;
  #checking = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  tick(nowMs: number): void {
    const { state, provisional, directory } = this.#gateway;
    const isBack = state.storeReachable && !this.#wasReachable;
    this.#wasReachable = state.storeReachable;
    if (isBack) {
      provisional.storeIsBack(nowMs);
      this.#at = directory.connections.length;
    }
    provisional.tick(nowMs);
    if (this.#at > 0 && state.storeReachable && !this.#checking) void this.#confirmSome();
  }

  async #confirmSome(): Promise<void> {
    const { connections } = this.#gateway.directory;
    const to = Math.min(this.#at, connections.length);
    const from = Math.max(0, to - SESSIONS_PER_TICK);
    this.#checking = true;
    try {
      await checkRoutes(this.#gateway, connections.slice(from, to).filter(isConfirmable));
      this.#at = from;
    } catch (error) {
      this.#gateway.log.warn({ problem: String(error) }, 'routes not confirmed, again later');
    } finally {
      this.#checking = false;
    }
  }
}

function isConfirmable({ phase }: Connection): boolean {
  return phase === 'live';
}
