// The calls of one handler: at most `concurrency` under way, each with up to `batchMax` messages, taken from everyone who waits. batch.ts
// offers runs of messages, each of one order key, so that what is in one call, or in several at once, never reorders a key.
import { HandlerUnavailableError } from './handlers/handler.ts';
import type { Outcome, UpstreamHandler } from './handlers/handler.ts';
import type { UpstreamMessage } from './message.ts';

interface Run {
  readonly messages: readonly UpstreamMessage[];
  readonly resolve: (outcomes: readonly Outcome[]) => void;
}

export class Lane {
  readonly #handler: UpstreamHandler;
  #waiting: Run[] = [];
  #calls = 0;
  #isArmed = false;

  constructor(handler: UpstreamHandler) {
    this.#handler = handler;
  }

  get batchMax(): number {
    return this.#handler.batchMax;
  }
  /** Calls under way. */
  get calls(): number {
    return this.#calls;
  }
  get waiting(): number {
    return this.#waiting.length;
  }

  /** One outcome for each message; never rejects. At most batchMax messages, all of one order key, and no other run of it waits. */
  offer(messages: readonly UpstreamMessage[]): Promise<readonly Outcome[]> {
    return new Promise((resolve) => {
      this.#waiting.push({ messages, resolve });
      if (this.#isArmed) return;
      this.#isArmed = true;
      setImmediate(() => {
        this.#isArmed = false;
        this.#start();
      });
    });
  }

  #start(): void {
    while (this.#waiting.length > 0 && this.#calls < this.#handler.concurrency) void this.#call(this.#take());
  }

  #take(): readonly Run[] {
    let messages = 0;
    let count = 0;
    while (count < this.#waiting.length) {
      messages += this.#waiting[count]!.messages.length;
      if (messages > this.#handler.batchMax && count > 0) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #call(runs: readonly Run[]): Promise<void> {
    this.#calls++;
    const messages = runs.flatMap((run) => run.messages);
    let outcomes: readonly Outcome[];
    try {
      outcomes = await this.#handler.handle(messages);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const kind = error instanceof HandlerUnavailableError ? 'unavailable' : 'failed';
      outcomes = messages.map(() => ({ kind, reason }));
    }
    this.#calls--;
    let at = 0;
    for (const run of runs) run.resolve(outcomes.slice(at, (at += run.messages.length)));
    this.#start();
  }

  close(): Promise<void> {
    return this.#handler.close();
  }
}
