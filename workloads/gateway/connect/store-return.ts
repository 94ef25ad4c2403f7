// What a gateway does when the store answers again: sessions that came meanwhile are opened there (provisional.ts), and the routes of all
// others are confirmed at a pace instead of at their next round, since a lease that ran out voids them (R7). With them the positions: who was
// pushed to before this gateway had its lease again counted as offline, and no hint came. role.ts ticks.
import type { Connection } from './connection.ts';
import type { Gateway } from '../gateway.ts';
import type { Channel } from '../delivery/channel.ts';
import type { PositionCheck } from '../delivery/position-check.ts';

/** With a tick of 50 ms: 2,000 sessions and channels a second. */
const PER_TICK = 100;

export class StoreReturn {
  readonly #gateway: Gateway;
  readonly #positions: Pick<PositionCheck, 'checkChannels' | 'checkSessions'>;
  /** A gateway that starts with the store there has nothing to make up for. */
  #wasReachable = true;
  /** Where the walk over the connections is, from the end; 0: nothing to confirm. */
  #at = 0;
  /** To be compared. */
  #channels: Channel[] = [];
  #checking = false;

  constructor(gateway: Gateway, positions: Pick<PositionCheck, 'checkChannels' | 'checkSessions'>) {
    this.#gateway = gateway;
    this.#positions = positions;
  }

  tick(nowMs: number): void {
    const { state, provisional, directory } = this.#gateway;
    const isBack = state.storeReachable && !this.#wasReachable;
    this.#wasReachable = state.storeReachable;
    if (isBack) {
      provisional.storeIsBack(nowMs);
      this.#at = directory.connections.length;
      this.#channels = [...directory.channels()];
    }
    provisional.tick(nowMs);
    if (this.#at + this.#channels.length > 0 && state.storeReachable && !this.#checking) void this.#confirmSome();
  }

  async #confirmSome(): Promise<void> {
    const { connections } = this.#gateway.directory;
    const to = Math.min(this.#at, connections.length);
    const from = Math.max(0, to - PER_TICK);
    const channels = this.#channels.slice(0, PER_TICK);
    this.#checking = true;
    try {
      await this.#positions.checkSessions(connections.slice(from, to).filter(isConfirmable));
      this.#at = from;
      await this.#positions.checkChannels(channels);
      this.#channels = this.#channels.slice(channels.length);
    } catch (error) {
      this.#gateway.log.warn({ problem: String(error) }, 'routes and positions not confirmed, again later');
    } finally {
      this.#checking = false;
    }
  }
}

function isConfirmable({ phase }: Connection): boolean {
  return phase === 'live';
}
