// Expanding a list (R10), or a span of it: chunk by chunk its names become deliveries. Idempotent by (message, device), since appends are:
// whoever resumes begins at the first chunk that is not marked done, appends once more what may have been appended, and nobody gets it twice.
// Bounded memory: some waves of chunks at a time, no promise and no closure for each recipient. jobs.ts runs it.
import type { DeviceId } from '../../protocol/ids.ts';
import type { DeliverManyRow } from '../../protocol/link.ts';
import { firstChunkToDo } from '../../store/chunk-marks.ts';
import type { ChunkRange, Job, Message, Store } from '../../store/port.ts';
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
import { rangeOfJob, spanJobs, spansOf } from './spans.ts';

export interface ExpansionOptions {
  readonly store: Pick<
    Store,
    'messages' | 'changeMessage' | 'messageChunk' | 'append' | 'settleEntries' | 'accountDevices' | 'putJobs'
  >;
  readonly hints: Pick<Hints, 'tellMany'>;
  readonly notices: Notices;
  readonly counts: RouterCounts;
  /** Jobs are there to be run now. */
  readonly onJob: () => void;
}

/** Chunks of one wave: 1,000 appends in a trip, some ten milliseconds of a store's time. */
export const WAVE_CHUNKS = 2;
/** Waves at once: the store appends one while another one's answers are read and a third is told to gateways. */
export const WAVES_MAX = 3;
/** So many chunks of a span may hold entries without being marked done: those behind the marked ones. */
const UNMARKED_CHUNKS_MAX = WAVES_MAX * WAVE_CHUNKS;

/** Runs jobs of kind 'expand': a list is split into spans, or expanded if it is short. */
export function expandLists(options: ExpansionOptions): JobHandler {
  const { store, counts, onJob } = options;
  return async (job, slice) => {
    const row = await begin(options, job);
    if (row === null) return await cancelStarted(options, job);
    if (row.chunksDone === 0) counts.expansions.begun++;
    const spans = spansOf(row);
    if (spans === null) return await expand(options, row, { range: { from: 0, to: row.chunks }, slice });
    await store.putJobs(spanJobs(row, spans));
    onJob();
    return 'done';
  };
}

/** Runs jobs of kind 'span'. */
export function expandSpans(options: ExpansionOptions): JobHandler {
  return async (job, slice) => {
    const row = await begin(options, job);
    if (row === null) return await cancelStarted(options, job);
    return await expand(options, row, { range: rangeOfJob(job), slice });
  };
}

/** Null: it is expanded, cancelled or gone. */
async function begin({ store }: ExpansionOptions, job: Job): Promise<Message | null> {
  return await store.changeMessage(job.app, messageOfJob(job), {
    state: 'expanding',
    expect: ['accepted', 'expanding'],
  });
}

async function expand(
  options: ExpansionOptions,
  row: Message,
  { range, slice }: { readonly range: ChunkRange; readonly slice: Slice },
): Promise<JobOutcome> {
  const out = outgoingOf(row);
  return out === null ? 'done' : await new Expansion(options, { row, out, range }).run(slice);
}

/** A wave under way; `done` once its recipients are in their streams and told. */
interface Wave extends ChunkRange {
  readonly done: Promise<void>;
}

/** One slice of the work. */
class Expansion {
  readonly #options: ExpansionOptions;
  readonly #row: Message;
  readonly #range: ChunkRange;
  readonly #out: Outgoing;
  /** As streams hold it. */
  readonly #record: Uint8Array;
  /** All chunks of the range before this one are marked; those from there to `#begun` are in waves. */
  #marked: number;
  #begun: number;
  #waves: Wave[] = [];

  constructor(
    options: ExpansionOptions,
    { row, out, range }: { readonly row: Message; readonly out: Outgoing; readonly range: ChunkRange },
  ) {
    this.#options = options;
    this.#row = row;
    this.#range = range;
    this.#out = out;
    this.#record = row.recipients > 1 && isBodyLarge(out.record) ? withoutBody(out.record) : out.record;
    this.#marked = firstChunkToDo(row, range);
    this.#begun = this.#marked;
  }

  async run(slice: Slice): Promise<JobOutcome> {
    try {
      return await this.#run(slice);
    } catch (error) {
      // Not left to the next run: if its lease ran out meanwhile, that one was, and did not see what came later.
      if (await this.#endIfCancelled()) return 'done';
      throw error;
    }
  }

  async #run(slice: Slice): Promise<JobOutcome> {
    const end = this.#range.to;
    let isOn = true;
    while (isOn && this.#begun < end && !slice.isOver()) {
      this.#begin(Math.min(end, this.#begun + WAVE_CHUNKS));
      if (this.#waves.length === WAVES_MAX) isOn = await this.#mark();
    }
    while (isOn && this.#waves.length > 0) isOn = await this.#mark();
    if (isOn && this.#row.chunks === 0) isOn = await this.#markDone({ from: 0, to: 0 });
    // If it is not cancelled, its lease ran out and others have expanded the list: what stands in streams stands there rightly.
    if (!isOn) await this.#endIfCancelled();
    return isOn && this.#begun < end ? { laterMs: 0 } : 'done';
  }

  #begin(to: number): void {
    const from = this.#begun;
    this.#begun = to;
    const done = this.#wave(from, to);
    done.catch(() => {}); // awaited when its turn comes to be marked: until then its rejection is not unhandled
    this.#waves.push({ from, to, done });
  }
  async #wave(from: number, to: number): Promise<void> {
    await this.#tell(await this.#append(await devicesOfChunks(this.#options.store, this.#row, from, to)));
  }

  /** The first wave ends and is marked done; false: the list is expanding no more. */
  async #mark(): Promise<boolean> {
    const [{ from, to, done }] = this.#waves as [Wave];
    await done;
    this.#waves.shift();
    return await this.#markDone({ from, to });
  }
  async #markDone(range: ChunkRange): Promise<boolean> {
    const { app, id } = this.#row;
    const { store, counts } = this.#options;
    const kept = await store.changeMessage(app, id, { done: range, expect: ['expanding'] });
    if (kept === null) return false;
    this.#marked = range.to;
    if (kept.state === 'expanded') counts.expansions.ended++;
    return true;
  }

  /** Once no wave is under way. Cancelled: what this slice appended and did not mark ends; the job of the cancel sees to the rest. */
  async #endIfCancelled(): Promise<boolean> {
    await Promise.allSettled(this.#waves.map(({ done }) => done));
    const { store } = this.#options;
    const [now] = await store.messages(this.#row.app, [this.#row.id]);
    if (now?.state !== 'cancelled') return false;
    await cancelDeliveries(store, this.#row, await devicesOfChunks(store, this.#row, this.#marked, this.#begun));
    return true;
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
async function cancelStarted({ store }: ExpansionOptions, job: Job): Promise<'done'> {
  const [row] = await store.messages(job.app, [messageOfJob(job)]);
  if (row?.state !== 'cancelled') return 'done';
  const range = job.kind === 'span' ? rangeOfJob(job) : { from: 0, to: row.chunks };
  const from = firstChunkToDo(row, range);
  const to = Math.min(range.to, from + UNMARKED_CHUNKS_MAX);
  await cancelDeliveries(store, row, await devicesOfChunks(store, row, from, to));
  return 'done';
}
