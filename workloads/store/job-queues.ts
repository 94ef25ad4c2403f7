// Which queue a job waits in, by its kind. The SQLite store numbers them as they stand in JOB_QUEUES.
import type { JobKind, JobQueue } from './port.ts';

export const JOB_QUEUES: readonly JobQueue[] = ['work', 'notices', 'spans'];

/** @param kind left out: one of work */
export function queueOf(kind?: JobKind): JobQueue {
  if (kind === 'notice') return 'notices';
  return kind === 'span' ? 'spans' : 'work';
}
