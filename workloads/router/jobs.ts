// Runs what the store keeps as jobs: lists to expand, scheduled messages, cancels, notices. Any router claims due ones by lease; a job
// whose router died is claimed by another one when the lease has run out, so every handler must be idempotent. A long job works in slices
// shorter than its lease and is then put back, progress kept: no lease needs renewing, and jobs take turns.
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Job, JobKind, Store } from '../store/port.ts';
import type { RouterCounts } from './counts.ts';

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
  send: 64,
  cancel: 4,
  notice: 64,
  'dead-letters': 4,
};
const CLAIM_MAX = 64;
const BACKOFF_MS = 500;
const BACKOFF_MS_MAX = 60_000;

export function startJobs(options: JobsOptions): Jobs {
  const { store, clock, log, counts } = options;
  const running = new Map<JobKind, number>();
  const ends = new Set<Promise<void>>();
  let claiming: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let cancelPoll = (): void => {};

  const run = async (job: Job): Promise<void> => {
    const untilMs = clock.monotonicMs() + JOB_SLICE_MS;
    const slice = { isOver: () => stopped || clock.monotonicMs() >= untilMs };
    try {
      const handler = options.handlers[job.kind];
      const full = (running.get(job.kind) ?? 0) > JOBS_AT_ONCE[job.kind];
      const outcome = handler === undefined || full ? { laterMs: JOB_POLL_MS } : await handler(job, slice);
      if (outcome === 'done') await store.finishJobs([job]);
      else await store.delayJob(job, clock.nowMs() + outcome.laterMs, outcome.payload);
      countJob(counts, job.kind, outcome === 'done' ? 'done' : 'later');
    } catch (error) {
      countJob(counts, job.kind, 'failed');
      log.warn({ job: job.id, kind: job.kind, claims: job.claims, err: error }, 'a job failed and is tried again');
      await putBack(job);
    }
  };
  const putBack = async (job: Job): Promise<void> => {
    const waitMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** Math.min(job.claims, 10));
    try {
      await store.delayJob(job, clock.nowMs() + waitMs * (0.5 + options.random() / 2));
    } catch {
      counts.storeFailures++; // its lease runs out, then it is claimed again
    }
  };
  const start = (job: Job): void => {
    running.set(job.kind, (running.get(job.kind) ?? 0) + 1);
    const end = run(job).finally(() => {
      running.set(job.kind, (running.get(job.kind) ?? 1) - 1);
      ends.delete(end);
    });
    ends.add(end);
  };
  const claim = async (): Promise<void> => {
    do {
      again = false;
      const jobs = await store.claimJobs(CLAIM_MAX, JOB_LEASE_MS);
      jobs.forEach(start);
      if (jobs.length === CLAIM_MAX) again = true;
    } while (again && !stopped);
  };
  const poke = (): void => {
    if (stopped) return;
    again = true;
    claiming ??= claim()
      .catch((error: unknown) => {
        counts.storeFailures++;
        log.debug({ problem: String(error) }, 'jobs not claimed');
      })
      .finally(() => (claiming = null));
  };
  const poll = (): void => {
    cancelPoll = clock.after(JOB_POLL_MS * (0.5 + options.random()), () => {
      poke();
      if (!stopped) poll();
    });
  };
  poll();
  return {
    poke,
    async stop() {
      stopped = true;
      cancelPoll();
      await claiming;
      await Promise.all(ends);
    },
  };
}

function countJob(counts: RouterCounts, kind: JobKind, outcome: 'done' | 'later' | 'failed'): void {
  const key = `${kind}/${outcome}`;
  counts.jobs.set(key, (counts.jobs.get(key) ?? 0) + 1);
}
