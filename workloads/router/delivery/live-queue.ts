// Live topic messages on their way to every gateway, in the order they came. Each waits until all gateways have room, so that senders
// feel the pace of the slowest; one that stays behind for longer than STALL_MS is passed over, counted, until it has caught up.
import { RefusedError } from '../../protocol/codes.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Delivery } from './gateway-link.ts';
import type { GatewayPath } from './gateway-path.ts';

export const STALL_MS = 2000;
/** Messages waiting for room; more are refused with a wait. */
export const LIVE_WAITING_MAX = 10_000;
/** Whom a gateway keeps waiting comes back after this. */
export const BUSY_RETRY_MS = 200;

export interface LiveQueueOptions {
  readonly clock: Clock;
  readonly gateways: () => Iterable<Pick<GatewayPath, 'stalled' | 'isReachable' | 'hasLiveRoom' | 'offerLive'>>;
  /** A gateway did not get a message that others got. */
  onMissed(): void;
}

interface Waiting {
  readonly delivery: Delivery;
  readonly resolve: (gateways: number) => void;
}

export class LiveQueue {
  readonly #options: LiveQueueOptions;
  #waiting: Waiting[] = [];
  #head = 0;
  #cancelStall: (() => void) | null = null;

  constructor(options: LiveQueueOptions) {
    this.#options = options;
  }

  get length(): number {
    return this.#waiting.length - this.#head;
  }

  /** Resolves with the gateways it was sent to. Throws RefusedError 'overloaded' when too many wait. */
  send(delivery: Delivery): Promise<number> {
    if (this.length >= LIVE_WAITING_MAX)
      throw new RefusedError('overloaded', `expected at most ${LIVE_WAITING_MAX} live messages waiting for gateways`, {
        retryAfterMs: BUSY_RETRY_MS,
      });
    if (this.length === 0 && this.#isClear()) return Promise.resolve(this.#sendNow(delivery));
    return new Promise((resolve) => {
      this.#waiting.push({ delivery, resolve });
      this.#armStall();
    });
  }

  /** A gateway answered, came or went. */
  roomChanged(): void {
    while (this.#head < this.#waiting.length && this.#isClear()) {
      const { delivery, resolve } = this.#waiting[this.#head++]!;
      resolve(this.#sendNow(delivery));
      this.#disarmStall();
    }
    if (this.length > 0) return this.#armStall();
    this.#waiting = [];
    this.#head = 0;
  }

  stop(): void {
    this.#disarmStall();
    for (const { resolve } of this.#waiting.slice(this.#head)) resolve(0);
    this.#waiting = [];
    this.#head = 0;
  }

  /** No gateway that is waited for is behind. A link that is down is not waited for: its clients are gone or resuming. */
  #isClear(): boolean {
    for (const link of this.#options.gateways()) {
      if (link.stalled && link.hasLiveRoom) link.stalled = false;
      if (link.isReachable && !link.stalled && !link.hasLiveRoom) return false;
    }
    return true;
  }

  #sendNow(delivery: Delivery): number {
    let sent = 0;
    for (const link of this.#options.gateways()) {
      if (!link.stalled && link.offerLive(delivery)) sent++;
      else this.#options.onMissed();
    }
    return sent;
  }

  /** The head has waited since now; when it waits too long, whoever has no room is passed over. */
  #armStall(): void {
    this.#cancelStall ??= this.#options.clock.after(STALL_MS, () => {
      this.#cancelStall = null;
      for (const link of this.#options.gateways()) if (link.isReachable && !link.hasLiveRoom) link.stalled = true;
      this.roomChanged();
    });
  }
  #disarmStall(): void {
    this.#cancelStall?.();
    this.#cancelStall = null;
  }
}
