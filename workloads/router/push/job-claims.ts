// How many jobs of a queue a router claims when. Never more than it may run at once. A poll or a poke fills up; between them every job that
// is done lets another one in, a few together, so that a long queue goes at full speed. A job that was only put off lets none in: where
// nothing can be done now (a webhook that is busy), the store is not asked in circles.
import type { Job } from '../../store/port.ts';

export interface JobClaimsOptions {
  /** Jobs at once. */
  readonly most: number;
  /** Jobs that must be done before others are let in: a claim asks sixteen buckets. */
  readonly together: number;
  readonly claim: (limit: number) => Promise<readonly Job[]>;
  readonly onJobs: (jobs: readonly Job[], claims: JobClaims) => void;
  readonly onFailure: (error: unknown) => void;
}

export class JobClaims {
  readonly #options: JobClaimsOptions;
  #running = 0;
  /** Jobs that may be claimed now. */
  #allowed = 0;
  #claiming: Promise<void> | null = null;
  /** A poke came that no claim has heard yet. */
  #poked = false;
  /** The last claim got all it asked for: there may be more. */
  #more = false;
  #stopped = false;

  constructor(options: JobClaimsOptions) {
    this.#options = options;
  }

  /** There may be something to run now. */
  poke(): void {
    this.#allowed = this.#options.most;
    this.#poked = true;
    this.#next();
  }

  /** A job ended; `wasDone` false: it was put off, or failed. */
  ended(wasDone: boolean): void {
    this.#running--;
    if (wasDone) this.#allowed++;
    if (this.#more && (this.#allowed >= this.#options.together || this.#running === 0)) this.#next();
  }

  /** Resolves when no claim is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#claiming;
  }

  #next(): void {
    if (this.#stopped || this.#claiming !== null) return;
    this.#claiming = this.#claim()
      .catch((error: unknown) => this.#options.onFailure(error))
      .finally(() => {
        this.#claiming = null;
        if (this.#poked) this.#next(); // it came when the claim had ended, and nobody had been told yet
      });
  }

  async #claim(): Promise<void> {
    for (;;) {
      this.#poked = false;
      const limit = Math.min(this.#allowed, this.#options.most - this.#running);
      if (limit <= 0) {
        this.#more = true;
        return;
      }
      this.#allowed = 0; // what is allowed while this is under way is asked for after it
      const jobs = await this.#options.claim(limit);
      this.#more = jobs.length === limit;
      this.#running += jobs.length;
      this.#options.onJobs(jobs, this);
      if (this.#stopped || this.#allowed === 0) return;
    }
  }
}
