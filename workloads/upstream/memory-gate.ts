// Back-pressure by memory (B8): above the limit nothing new is taken from the bus, until a tenth is free again. The bus then holds its
// partitions back, so messages wait in Kafka. role.ts asks it before each batch.
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';

const LOOK_MS = 250;
/** Taking begins again at this share of the limit: without a gap it would flap. */
const RESUME_SHARE = 0.9;

export class MemoryGate {
  readonly #options: {
    readonly bytesMax: number;
    readonly bytes: () => number;
    readonly clock: Clock;
    readonly log: Log;
  };
  #opened: PromiseWithResolvers<void> | null = null;
  #cancel: () => void;
  /** Times it closed. */
  closings = 0;

  constructor(options: {
    readonly bytesMax: number;
    /** Memory in use now. */
    readonly bytes: () => number;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#options = options;
    this.#cancel = options.clock.every(LOOK_MS, () => this.#look());
  }

  get isClosed(): boolean {
    return this.#opened !== null;
  }

  /** Resolves when there is room. */
  async pass(): Promise<void> {
    this.#look();
    while (this.#opened !== null) await this.#opened.promise;
  }

  /** Opens it for good. */
  stop(): void {
    this.#cancel();
    this.#cancel = () => {};
    this.#open();
    this.#look = () => {};
  }

  #look = (): void => {
    const { bytesMax, bytes, log } = this.#options;
    const used = bytes();
    if (this.#opened === null && used > bytesMax) {
      this.#opened = Promise.withResolvers();
      this.closings++;
      log.warn({ bytes: used, bytesMax }, 'memory above its limit, nothing new is taken');
    } else if (this.#opened !== null && used <= bytesMax * RESUME_SHARE) {
      log.info({ bytes: used, bytesMax }, 'memory below its limit again');
      this.#open();
    }
  };

  #open(): void {
    const opened = this.#opened;
    this.#opened = null;
    opened?.resolve();
  }
}
