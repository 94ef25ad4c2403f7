// Sessions that ended, on their way out of the route map: all of a tick in one call, by compare, so that an old life never deletes a
// newer route (R7). While the store is away they wait, bounded: routes that stay behind are void with this life's lease anyway.
import type { CloseSession } from '../../store/port.ts';
import type { Gateway } from '../gateway.ts';

const SESSIONS_PER_CALL = 512;
export const DEPARTURES_WAITING_MAX = 50_000;
const RETRY_MS = 1000;

export class Departures {
  readonly #gateway: Gateway;
  #waiting: CloseSession[] = [];
  #underWay: Promise<boolean> | null = null;
  #armed = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  add(session: CloseSession): void {
    if (this.#waiting.length >= DEPARTURES_WAITING_MAX) return;
    this.#waiting.push(session);
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(() => void this.#run());
  }

  /** Sends all that waits; resolves when it is done or the store failed. */
  async flush(): Promise<void> {
    if (this.#underWay !== null) await this.#underWay;
    await this.#sendAll();
  }

  async #run(): Promise<void> {
    if (this.#gateway.state.ended) return;
    const sent = await this.#sendAll();
    this.#armed = false;
    if (sent || this.#waiting.length === 0) return;
    this.#armed = true;
    this.#gateway.clock.after(RETRY_MS, () => void this.#run());
  }

  #sendAll(): Promise<boolean> {
    this.#underWay ??= this.#send().finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  async #send(): Promise<boolean> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, SESSIONS_PER_CALL);
      try {
        await this.#gateway.store.closeSessions(batch);
        this.#waiting = this.#waiting.slice(batch.length);
      } catch (error) {
        this.#gateway.log.warn({ sessions: batch.length, problem: String(error) }, 'routes not removed, again later');
        return false;
      }
    }
    return true;
  }
}
