// Runs what the store keeps as jobs: lists to expand, scheduled messages, cancels, notices. Any router claims due ones by lease; a job
// whose router died is claimed by another one when the lease has run out, so every handler must be idempotent. A long job works in slices
// shorter than its lease and is then put back, progress kept: no lease needs renewing, and jobs take turns. job-claims.ts decides how many
// are claimed when.
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { JOB_QUEUES } from '../../store/job-queues.ts';
import type { Job, JobKind, JobQueue, Store } from '../../store/port.ts';
import type { RouterCounts } from '../counts.ts';
import { JobClaims } from './job-claims.ts';

export interface Slice {
  /** Whether it should stop at the next place where it can go on later. */
  isOver(): boolean;
}
/** `laterMs`: due again after that, with this payload if it is given. A rejection: tried again with backoff. */
export type JobOutcome = 'done' | { readonly laterMs: number; readonly payload?: Uint8Array };
export type JobHandler = (job: Job, slice: Slice) => Promise<JobOutcome>;
export type JobHandlers = { readonly [K in JobKind]?: JobHandler };

export interface Jobs {
  /** There may be something to run now. */
  poke(): void;
  /** Claims no more; jobs under way end at the end of a step and are put back. Resolves when the last has. */
  stop(): Promise<void>;
}

export interface JobsOptions {
  readonly store: Pick<Store, 'claimJobs' | 'delayJob' | 'finishJobs'>;
  readonly handlers: JobHandlers;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly counts: RouterCounts;
}

/** Due jobs are looked for this often on average; whoever puts one here pokes. */
export const JOB_POLL_MS = 1000;
export const JOB_LEASE_MS = 30_000;
/** A third of the lease: a slice may end late by two more before anyone else begins. */
export const JOB_SLICE_MS = 10_000;
/** At once of each kind in one router; an expansion holds some thousand rows. */
export const JOBS_AT_ONCE: Readonly<Record<JobKind, number>> = {
  expand: 8,
  span: 2,
  send: 64,
  cancel: 4,
  notice: 64,
  'dead-letters': 4,
};
/**
 * At once of each queue, and how many must be done before others are let in. Of spans a router claims no more than it works on, the next one
 * when one is done: the others are there for routers that have nothing to do.
 */
export const QUEUES: Readonly<Record<JobQueue, { readonly most: number; readonly together: number }>> = {
  work: { most: 64, together: 8 },
  notices: { most: 64, together: 8 },
  spans: { most: JOBS_AT_ONCE.span, together: 1 },
};
const BACKOFF_MS = 500;
const BACKOFF_MS_MAX = 60_000;

export function startJobs(options: JobsOptions): Jobs {
  return new RunningJobs(options);
}

class RunningJobs implements Jobs {
  readonly #options: JobsOptions;
  readonly #running = new Map<JobKind, number>();
  readonly #ends = new Set<Promise<void>>();
  readonly #queues: readonly JobClaims[];
  #stopped = false;
  #cancelPoll = (): void => {};

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#queues = JOB_QUEUES.map(
      (queue) =>
        new JobClaims({
          ...QUEUES[queue],
          claim: (limit) => options.store.claimJobs(limit, JOB_LEASE_MS, queue),
          onJobs: (jobs, claims) => jobs.forEach((job) => this.#start(job, claims)),
          onFailure: (error) => {
            options.counts.storeFailures++;
            options.log.debug({ problem: String(error) }, 'jobs not claimed');
          },
        }),
    );
    this.#poll();
  }

  poke(): void {
    if (!this.#stopped) for (const queue of this.#queues) queue.poke();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPoll();
    await Promise.all(this.#queues.map((queue) => queue.stop()));
    await Promise.all(this.#ends);
  }

  #poll(): void {
    const { clock, random } = this.#options;
    this.#cancelPoll = clock.after(JOB_POLL_MS * (0.5 + random()), () => {
      if (this.#stopped) return;
      this.poke();
      this.#poll();
    });
  }

  #start(job: Job, claims: JobClaims): void {
    this.#running.set(job.kind, (this.#running.get(job.kind) ?? 0) + 1);
    const end = this.#run(job).then((wasDone) => {
      this.#running.set(job.kind, (this.#running.get(job.kind) ?? 1) - 1);
      this.#ends.delete(end);
      claims.ended(wasDone);
    });
    this.#ends.add(end);
  }

  /** Never rejects. True: the job is done with. */
  async #run(job: Job): Promise<boolean> {
    const { store, clock, log, counts, handlers } = this.#options;
    const untilMs = clock.monotonicMs() + JOB_SLICE_MS;
    const slice = { isOver: () => this.#stopped || clock.monotonicMs() >= untilMs };
    try {
      const handler = handlers[job.kind];
      const full = (this.#running.get(job.kind) ?? 0) > JOBS_AT_ONCE[job.kind];
      const outcome = handler === undefined || full ? { laterMs: JOB_POLL_MS } : await handler(job, slice);
      if (outcome === 'done') await store.finishJobs([job]);
      else await store.delayJob(job, clock.nowMs() + outcome.laterMs, outcome.payload);
      countJob(counts, job.kind, outcome === 'done' ? 'done' : 'later');
      return outcome === 'done';
    } catch (error) {
      countJob(counts, job.kind, 'failed');
      log.warn({ job: job.id, kind: job.kind, claims: job.claims, err: error }, 'a job failed and is tried again');
      await this.#putBack(job);
      return false;
    }
  }

  async #putBack(job: Job): Promise<void> {
    const { store, clock, random, counts } = this.#options;
    const waitMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** Math.min(job.claims, 10));
    try {
      await store.delayJob(job, clock.nowMs() + waitMs * (0.5 + random() / 2));
    } catch {
      counts.storeFailures++; // its lease runs out, then it is claimed again
    }
  }
}

function countJob(counts: RouterCounts, kind: JobKind, outcome: 'done' | 'later' | 'failed'): void {
  const key = `${kind}/${outcome}`;
  counts.jobs.set(key, (counts.jobs.get(key) ?? 0) + 1);
}
