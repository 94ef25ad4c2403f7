// A consumer that a role wants for as long as it lives: a bus that does not let it in yet is asked again until it does. What happens to a
// consumer that stands is the bus's own part (port.ts).
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Bus, BusConsume, BusConsumer } from './port.ts';

const BACKOFF_START_MS = 500;
const BACKOFF_MAX_MS = 30_000;

export interface StandingConsumerOptions {
  readonly bus: Bus;
  readonly consume: BusConsume;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** What the log says of a bus that did not let it in, such as `the journal is not read`. */
  readonly refused: string;
}

export class StandingConsumer {
  readonly #options: StandingConsumerOptions;
  #consumer: BusConsumer | null = null;
  #cancelRetry = (): void => {};
  #failures = 0;
  #stopped = false;

  constructor(options: StandingConsumerOptions) {
    this.#options = options;
  }

  /** Whether the bus has let it in. */
  get isStanding(): boolean {
    return this.#consumer !== null;
  }

  /** Once. Never throws: a refusal is logged, and asked again below 0.5 s × 2ⁿ, at most 30 s. */
  start(): void {
    void this.#begin();
  }

  /** Takes no more; resolves when the batch under way is settled. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry();
    await this.#consumer?.stop();
  }

  async #begin(): Promise<void> {
    const { bus, consume, log, clock, random, refused } = this.#options;
    try {
      const consumer = await bus.consume(consume);
      if (this.#stopped) await consumer.stop();
      else this.#consumer = consumer;
    } catch (error) {
      if (this.#stopped) return;
      // Full jitter: roles that lost the bus together do not come back to it together.
      const waitMs = Math.ceil(
        random() * Math.min(BACKOFF_MAX_MS, BACKOFF_START_MS * 2 ** Math.min(this.#failures++, 10)),
      );
      log.warn({ waitMs, problem: String(error) }, `${refused}, again later`);
      this.#cancelRetry = clock.after(waitMs, () => void this.#begin());
    }
  }
}
