// The keyed work queue: each key is worked on by one worker at a time; adding a key that waits changes nothing, adding one that is
// being worked on has it done once more. Failures back off with jitter, by key. controller.ts feeds it; reconcile.ts is the work.
import type { Clock } from '../workloads/runtime/clock.ts';

export interface QueueOptions {
  readonly clock: Clock;
  readonly workersMax: number;
  /** A key is done again no sooner than this after it was done: a burst of changes is one look. */
  readonly pauseMs: number;
  /** The answer says after how long to do the key again; null: when it is added. A rejection backs off. */
  readonly work: (key: string) => Promise<number | null>;
  readonly onFailure: (key: string, error: unknown, retryMs: number) => void;
  /** 0 ≤ random() < 1 */
  readonly random: () => number;
}

export const BACKOFF_MIN_MS = 500;
export const BACKOFF_MAX_MS = 60_000;
/** An added key that is backing off waits no longer than this: whoever changed it may have put it right. */
const NUDGE_MS = 1000;

interface Entry {
  state: 'idle' | 'timed' | 'ready' | 'working';
  isAddedAgain: boolean;
  failures: number;
  dueMs: number;
  quietUntilMs: number;
  cancelTimer: (() => void) | null;
}

export class WorkQueue {
  readonly #options: QueueOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #ready: string[] = [];
  readonly #running = new Set<Promise<void>>();
  #isStopped = false;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.#ready.length;
  }

  /** Has a key done soon. */
  add(key: string): void {
    const entry = this.#entryOf(key);
    if (entry.state === 'working') entry.isAddedAgain = true;
    if (entry.state === 'working' || entry.state === 'ready') return;
    const nowMs = this.#options.clock.monotonicMs();
    const waitMs = entry.failures > 0 ? NUDGE_MS : Math.max(0, entry.quietUntilMs - nowMs);
    const left = entry.state === 'timed' ? Math.max(0, entry.dueMs - nowMs) : waitMs;
    if (waitMs === 0) this.#makeReady(key, entry);
    else if (entry.state === 'idle' || waitMs < left) this.#schedule(key, entry, waitMs);
  }

  /** Takes no more work; resolves when what is being worked on is done. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const entry of this.#entries.values()) entry.cancelTimer?.();
    this.#entries.clear();
    this.#ready.length = 0;
    await Promise.all(this.#running);
  }

  #entryOf(key: string): Entry {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const entry: Entry = {
      state: 'idle',
      isAddedAgain: false,
      failures: 0,
      dueMs: 0,
      quietUntilMs: 0,
      cancelTimer: null,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #makeReady(key: string, entry: Entry): void {
    if (this.#isStopped) return;
    entry.cancelTimer?.();
    entry.cancelTimer = null;
    entry.state = 'ready';
    this.#ready.push(key);
    this.#startWorkers();
  }

  #schedule(key: string, entry: Entry, delayMs: number): void {
    if (this.#isStopped) return;
    entry.cancelTimer?.();
    entry.state = 'timed';
    entry.dueMs = this.#options.clock.monotonicMs() + delayMs;
    entry.cancelTimer = this.#options.clock.after(delayMs, () => this.#makeReady(key, entry));
  }

  #startWorkers(): void {
    while (this.#running.size < this.#options.workersMax) {
      const key = this.#ready.shift();
      if (key === undefined) return;
      const run = this.#work(key, this.#entryOf(key));
      this.#running.add(run);
      void run.finally(() => {
        this.#running.delete(run);
        this.#startWorkers();
      });
    }
  }

  /** Never rejects. */
  async #work(key: string, entry: Entry): Promise<void> {
    entry.state = 'working';
    entry.isAddedAgain = false;
    let againMs: number | null;
    try {
      againMs = await this.#options.work(key);
      entry.failures = 0;
    } catch (error) {
      entry.failures += 1;
      const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** (entry.failures - 1));
      againMs = full / 2 + (full / 2) * this.#options.random();
      this.#options.onFailure(key, error, againMs);
    }
    if (this.#isStopped) return;
    const { pauseMs } = this.#options;
    const soonMs = entry.failures > 0 ? NUDGE_MS : pauseMs;
    if (entry.isAddedAgain) this.#schedule(key, entry, Math.min(againMs ?? soonMs, soonMs));
    else if (againMs !== null) this.#schedule(key, entry, againMs);
    else this.#entries.delete(key);
    entry.quietUntilMs = this.#options.clock.monotonicMs() + pauseMs;
  }
}
