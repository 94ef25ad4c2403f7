// Expanding a list (R10): chunk by chunk its names become deliveries. Idempotent by (message, device), since appends are: whoever resumes
// begins at the first chunk that is not marked done, appends once more what may have been appended, and nobody gets it twice. Bounded
// memory: some waves of chunks at a time, no promise and no closure for each recipient. jobs.ts runs it.
import type { AppId, DeviceId, MessageId } from '../../protocol/ids.ts';
import type { DeliverManyRow } from '../../protocol/link.ts';
import type { Message, Store } from '../../store/port.ts';
import { cancelDeliveries } from '../results/cancel.ts';
import { devicesOfChunks } from './chunks.ts';
import type { RouterCounts } from '../counts.ts';
import type { Hints } from '../delivery/hints.ts';
import type { JobHandler, JobOutcome, Slice } from './jobs.ts';
import { isBodyLarge, outgoingOf, withoutBody } from './compose.ts';
import type { Outgoing } from './compose.ts';
import { appendOf } from './devices.ts';
import { messageOfJob } from './list.ts';
import type { Notices } from './notices.ts';

export interface ExpansionOptions {
  readonly store: Pick<
    Store,
    'messages' | 'changeMessage' | 'messageChunk' | 'append' | 'settleEntries' | 'accountDevices'
  >;
  readonly hints: Pick<Hints, 'tellMany'>;
  readonly notices: Notices;
  readonly counts: RouterCounts;
}

/** Chunks of one wave: 1,000 appends in a trip, some ten milliseconds of a store's time. */
export const WAVE_CHUNKS = 2;
/** Waves at once: the store appends one while another one's answers are read and a third is told to gateways. */
export const WAVES_MAX = 3;
/** So many chunks may hold entries without being marked done. */
export const UNMARKED_CHUNKS_MAX = WAVES_MAX * WAVE_CHUNKS;

/** Runs jobs of kind 'expand'. */
export function expandLists(options: ExpansionOptions): JobHandler {
  return async (job, slice) => {
    const id = messageOfJob(job);
    const row = await options.store.changeMessage(job.app, id, {
      state: 'expanding',
      expect: ['accepted', 'expanding'],
    });
    if (row === null) return await cancelStarted(options, job.app, id);
    const out = outgoingOf(row);
    if (out === null) return 'done';
    if (row.chunksDone === 0) options.counts.expansions.begun++;
    return await new Expansion(options, row, out).run(slice);
  };
}

/** A wave under way; `done` once its recipients are in their streams and told. */
interface Wave {
  readonly to: number;
  readonly done: Promise<void>;
}

/** One slice of the work. */
class Expansion {
  readonly #options: ExpansionOptions;
  readonly #row: Message;
  readonly #out: Outgoing;
  /** As streams hold it. */
  readonly #record: Uint8Array;
  #marked: number;
  #waves: Wave[] = [];

  constructor(options: ExpansionOptions, row: Message, out: Outgoing) {
    this.#options = options;
    this.#row = row;
    this.#out = out;
    this.#record = row.recipients > 1 && isBodyLarge(out.record) ? withoutBody(out.record) : out.record;
    this.#marked = row.chunksDone;
  }

  async run(slice: Slice): Promise<JobOutcome> {
    try {
      return await this.#run(slice);
    } finally {
      // Nothing goes on behind the back of whoever runs it next.
      await Promise.allSettled(this.#waves.map(({ done }) => done));
    }
  }

  async #run(slice: Slice): Promise<JobOutcome> {
    const { chunks } = this.#row;
    let from = this.#marked;
    while (from < chunks && !slice.isOver()) {
      const to = Math.min(chunks, from + WAVE_CHUNKS);
      this.#begin(from, to);
      from = to;
      if (this.#waves.length === WAVES_MAX && !(await this.#mark())) return await this.#cancelled(from);
    }
    while (this.#waves.length > 0) if (!(await this.#mark())) return await this.#cancelled(from);
    if (from < chunks) return { laterMs: 0 };
    if (chunks === 0) await this.#markAt(0);
    this.#options.counts.expansions.ended++;
    return 'done';
  }

  #begin(from: number, to: number): void {
    const done = this.#wave(from, to);
    done.catch(() => {}); // awaited when its turn comes to be marked: until then its rejection is not unhandled
    this.#waves.push({ to, done });
  }
  async #wave(from: number, to: number): Promise<void> {
    await this.#tell(await this.#append(await devicesOfChunks(this.#options.store, this.#row, from, to)));
  }

  /** The first wave ends and is marked done; false: the message was cancelled. */
  async #mark(): Promise<boolean> {
    const [{ to, done }] = this.#waves as [Wave];
    await done;
    this.#waves.shift();
    return await this.#markAt(to);
  }
  async #markAt(to: number): Promise<boolean> {
    const { app, id, chunks } = this.#row;
    const state = to === chunks ? 'expanded' : 'expanding';
    const kept = await this.#options.store.changeMessage(app, id, { state, chunksDone: to, expect: ['expanding'] });
    if (kept !== null) this.#marked = to;
    return kept !== null;
  }

  /** What this slice appended and did not mark ends; the job of the cancel sees to the rest. */
  async #cancelled(to: number): Promise<'done'> {
    await Promise.allSettled(this.#waves.map(({ done }) => done));
    const { store } = this.#options;
    await cancelDeliveries(store, this.#row, await devicesOfChunks(store, this.#row, this.#marked, to));
    return 'done';
  }

  /** Appends in one trip; answers what stands in streams now. */
  async #append(devices: readonly DeviceId[]): Promise<readonly DeliverManyRow[]> {
    const rows: DeliverManyRow[] = [];
    if (devices.length === 0) return rows;
    const { store, notices, counts } = this.#options;
    const { recipients } = counts.expansions;
    const record = this.#record;
    const appends = devices.map((device) => appendOf(this.#out, { device, record, overflow: 'dead-letter' }));
    const outcomes = await store.append(appends);
    const dead: DeviceId[] = [];
    outcomes.forEach((outcome, i) => {
      const device = devices[i]!;
      if (outcome.kind === 'appended') {
        recipients[outcome.duplicate ? 'again' : 'stored']++;
        rows.push({ device, epoch: outcome.epoch, offset: outcome.offset, prev: outcome.prev });
      } else if (outcome.kind === 'dead') {
        recipients.dead++;
        dead.push(device);
      } else recipients.unknown++;
    });
    await notices.dead(this.#out, dead);
    return rows;
  }

  async #tell(rows: readonly DeliverManyRow[]): Promise<void> {
    if (rows.length === 0) return;
    const { app, lane, record } = this.#out;
    const { offline } = await this.#options.hints.tellMany({ app, lane, record, rows });
    await this.#options.notices.waiting(this.#out, offline);
  }
}

/** Cancelled while a router was at it that died: what it may have appended and did not mark ends. */
async function cancelStarted({ store }: ExpansionOptions, app: AppId, id: MessageId): Promise<'done'> {
  const [row] = await store.messages(app, [id]);
  if (row?.state !== 'cancelled') return 'done';
  const to = Math.min(row.chunks, row.chunksDone + UNMARKED_CHUNKS_MAX);
  await cancelDeliveries(store, row, await devicesOfChunks(store, row, row.chunksDone, to));
  return 'done';
}
