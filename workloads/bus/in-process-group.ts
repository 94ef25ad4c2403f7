// One consumer group on one topic, in memory: its members share the partitions, each partition has one batch under way, and a
// batch counts as settled after its handler returned. A handler that throws gets the batch again after a bounded backoff.
import { batchFrom } from './in-process-topic.ts';
import type { Partition } from './in-process-topic.ts';
import type { BusConsume } from './port.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';

interface GroupOptions {
  readonly topic: string;
  readonly group: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly batchMax: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}
/** What a member wants and does. */
export type MemberWork = Pick<BusConsume, 'handler' | 'accepts'>;
export interface Member extends MemberWork {
  /** Batches that its handler has now. */
  readonly underWay: Set<Promise<void>>;
}
interface Progress {
  settled: number;
  busy: boolean;
  failures: number;
  cancelWait: (() => void) | null;
}

export class InProcessGroup {
  readonly #options: GroupOptions;
  readonly #partitions: readonly Partition[];
  readonly #progress: readonly Progress[];
  readonly #onSettled: () => void;
  readonly #members: Member[] = [];
  #scheduled: NodeJS.Immediate | null = null;

  /** A group that is new starts at the oldest record held, or behind the newest. */
  constructor(
    options: GroupOptions,
    partitions: readonly Partition[],
    { from, onSettled }: { from: 'oldest' | 'newest'; onSettled: () => void },
  ) {
    this.#options = options;
    this.#partitions = partitions;
    this.#onSettled = onSettled;
    this.#progress = partitions.map(({ start, end }) => ({
      settled: from === 'oldest' ? start : end,
      busy: false,
      failures: 0,
      cancelWait: null,
    }));
  }

  /** Members now. */
  get size(): number {
    return this.#members.length;
  }

  settled(partition: number): number {
    return this.#progress[partition]!.settled;
  }

  join(work: MemberWork): Member {
    const member = { ...work, underWay: new Set<Promise<void>>() };
    this.#members.push(member);
    this.wake();
    return member;
  }

  /** Hands it nothing more; resolves when its handler has returned. */
  async leave(member: Member): Promise<void> {
    const at = this.#members.indexOf(member);
    if (at >= 0) this.#members.splice(at, 1);
    await Promise.all(member.underWay);
    this.wake();
  }

  async close(): Promise<void> {
    if (this.#scheduled !== null) clearImmediate(this.#scheduled);
    this.#scheduled = null;
    for (const progress of this.#progress) progress.cancelWait?.();
    await Promise.all(this.#members.splice(0).flatMap((member) => [...member.underWay]));
  }

  /** Looks for work at the end of this tick. */
  wake(): void {
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = null;
      this.#partitions.forEach((_, partition) => this.#hand(partition));
    });
  }

  #hand(index: number): void {
    const progress = this.#progress[index]!;
    const member = this.#members[index % Math.max(1, this.#members.length)];
    if (member === undefined || progress.busy || progress.cancelWait !== null) return;
    const batch = batchFrom(this.#partitions[index]!, progress.settled, this.#options.batchMax);
    if (batch.length === 0) return;
    progress.busy = true;
    const { accepts } = member;
    const wanted = accepts === undefined ? batch : batch.filter((record) => accepts(record.headers));
    const run = (async () => (wanted.length === 0 ? undefined : member.handler(wanted)))().then(
      () => this.#taken(progress, batch.length),
      (error: unknown) => this.#failed(progress, index, error),
    );
    member.underWay.add(run);
    void run.finally(() => member.underWay.delete(run));
  }

  #taken(progress: Progress, records: number): void {
    progress.busy = false;
    progress.failures = 0;
    progress.settled += records;
    this.#onSettled();
    this.wake();
  }

  #failed(progress: Progress, partition: number, error: unknown): void {
    const { backoffMinMs, backoffMaxMs, topic, group, clock, log } = this.#options;
    progress.busy = false;
    const waitMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(progress.failures, 30));
    progress.failures++;
    log.warn(
      { topic, group, partition, failures: progress.failures, waitMs, error: String(error) },
      'handler failed, batch comes again',
    );
    const cancel = clock.after(waitMs, () => {
      progress.cancelWait = null;
      this.wake();
    });
    progress.cancelWait = () => {
      cancel();
      progress.cancelWait = null;
    };
  }
}
