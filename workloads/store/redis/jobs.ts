// Jobs in Redis: sixteen fixed buckets for each of the queues, so that whoever looks for due ones asks sixteen times and not 4096
// (scripts/jobs.ts). Called by redis-store.ts.
import { JOB_BUCKETS, jobKey, jobPlace } from './keys.ts';
import { CLAIM_JOBS, COUNT_DUE_JOBS, COUNT_JOBS, DELAY_JOB, FINISH_JOB, PUT_JOB } from './scripts/jobs.ts';
import { askAll, askOne } from './topology.ts';
import type { Asked, Topology } from './topology.ts';
import { bytesOf, listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import type { Argument } from './batch.ts';
import { JOB_QUEUES, queueOf } from '../job-queues.ts';
import type { Job, JobKind, JobName, JobQueue } from '../port.ts';
import type { AppId } from '../../protocol/ids.ts';

export const JOB_SCRIPTS = [CLAIM_JOBS, COUNT_DUE_JOBS, COUNT_JOBS, DELAY_JOB, FINISH_JOB, PUT_JOB] as const;

export async function putJobs(topology: Topology, jobs: readonly Job[]): Promise<void> {
  const asked = jobs.map((job) => askedOf(job, [job.kind, job.dueAtMs, job.claims, job.payload]));
  await askAll(topology, PUT_JOB, asked);
}

/** Shares of the limit by how many are due in each bucket; buckets in an order that differs each time, so that none is left behind. */
export async function claimJobs(
  topology: Topology,
  queue: JobQueue,
  { limit, leaseMs }: { readonly limit: number; readonly leaseMs: number },
): Promise<readonly Job[]> {
  const first = Math.floor(Math.random() * JOB_BUCKETS);
  const buckets = Array.from({ length: JOB_BUCKETS }, (_, i) => (first + i) % JOB_BUCKETS);
  const due = await askAll(
    topology,
    COUNT_DUE_JOBS,
    buckets.map((bucket) => inBucket(bucket, queue, [limit])),
  );
  const asked: Asked[] = [];
  let left = limit;
  buckets.forEach((bucket, i) => {
    const share = Math.min(numberOf(due[i]), left);
    left -= share;
    if (share > 0) asked.push(inBucket(bucket, queue, [share, leaseMs]));
  });
  return (await askAll(topology, CLAIM_JOBS, asked)).flatMap((reply) => listOf(reply).map(jobOf));
}

export async function delayJob(
  topology: Topology,
  job: JobName,
  { dueAtMs, payload }: { readonly dueAtMs: number; readonly payload: Uint8Array | undefined },
): Promise<void> {
  await askOne(topology, DELAY_JOB, askedOf(job, [dueAtMs, payload === undefined ? 0 : 1, payload ?? '']));
}

export async function finishJobs(topology: Topology, jobs: readonly JobName[]): Promise<void> {
  await askAll(
    topology,
    FINISH_JOB,
    jobs.map((job) => askedOf(job, [])),
  );
}

export async function countJobs(topology: Topology): Promise<number> {
  const asked = Array.from({ length: JOB_BUCKETS }, (_, bucket) =>
    JOB_QUEUES.map((queue) => inBucket(bucket, queue, [])),
  ).flat();
  return (await askAll(topology, COUNT_JOBS, asked)).reduce<number>((sum, reply) => sum + numberOf(reply), 0);
}

function inBucket(bucket: number, queue: JobQueue, args: readonly Argument[]): Asked {
  return { bucket, key: jobKey(bucket, queue), args };
}

function askedOf(job: JobName, args: readonly Argument[]): Asked {
  const { bucket, key, name } = jobPlace(job.app, job.id, queueOf(job.kind));
  return { bucket, key, args: [name, ...args] };
}

function jobOf(reply: Reply): Job {
  const [name, kind, dueAtMs, claims, payload] = listOf(reply);
  const text = textOf(name);
  const slash = text.indexOf('/');
  return {
    app: text.slice(0, slash) as AppId,
    id: text.slice(slash + 1),
    kind: textOf(kind) as JobKind,
    dueAtMs: numberOf(dueAtMs),
    claims: numberOf(claims),
    payload: bytesOf(payload),
  };
}
