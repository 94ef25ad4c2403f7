// Expanding a list (R10): chunk by chunk its names become deliveries. Idempotent by (message, device), since appends are: whoever resumes
// begins at the first chunk that is not marked done, appends once more what may have been appended, and nobody gets it twice. Bounded
// memory: two waves of chunks at a time, no promise and no closure for each recipient. jobs.ts runs it.
import type { AppId, DeviceId, MessageId } from '../protocol/ids.ts';
import type { DeliverManyRow } from '../protocol/link.ts';
import type { Message, Store } from '../store/port.ts';
import { cancelDeliveries } from './cancel.ts';
import { devicesOfChunks } from './chunks.ts';
import type { RouterCounts } from './counts.ts';
import type { Hints } from './hints.ts';
import type { JobHandler, JobOutcome, Slice } from './jobs.ts';
import { isBodyLarge, outgoingOf, withoutBody } from './push/compose.ts';
import type { Outgoing } from './push/compose.ts';
import { appendOf } from './push/devices.ts';
import { messageOfJob } from './push/list.ts';
import type { Notices } from './push/notices.ts';

export interface ExpansionOptions {
  readonly store: Pick<
    Store,
    'messages' | 'changeMessage' | 'messageChunk' | 'append' | 'settleEntries' | 'accountDevices'
  >;
  readonly hints: Pick<Hints, 'tellMany'>;
  readonly notices: Notices;
  readonly counts: RouterCounts;
}

/** Chunks of one wave: 2,000 appends in a trip. */
export const WAVE_CHUNKS = 4;
/** While one wave is told to gateways the next is appended: so many chunks may hold entries without being marked done. */
export const UNMARKED_CHUNKS_MAX = 2 * WAVE_CHUNKS;

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

/** One slice of the work. */
class Expansion {
  readonly #options: ExpansionOptions;
  readonly #row: Message;
  readonly #out: Outgoing;
  /** As streams hold it. */
  readonly #record: Uint8Array;
  #marked: number;
  /** The wave that is appended and being told to gateways. */
  #told: { readonly to: number; readonly done: Promise<void> } | null = null;

  constructor(options: ExpansionOptions, row: Message, out: Outgoing) {
    this.#options = options;
    this.#row = row;
    this.#out = out;
    this.#record = row.recipients > 1 && isBodyLarge(out.record) ? withoutBody(out.record) : out.record;
    this.#marked = row.chunksDone;
  }

  async run(slice: Slice): Promise<JobOutcome> {
    const { chunks, chunksDone } = this.#row;
    for (let from = chunksDone; from < chunks; from += WAVE_CHUNKS) {
      if (slice.isOver()) return (await this.#mark()) ? { laterMs: 0 } : 'done';
      const to = Math.min(chunks, from + WAVE_CHUNKS);
      const rows = await this.#append(await devicesOfChunks(this.#options.store, this.#row, from, to));
      if (!(await this.#mark())) return await this.#cancelled(to);
      const done = this.#tell(rows);
      done.catch(() => {}); // awaited by the next mark: until then its rejection is not unhandled
      this.#told = { to, done };
    }
    if (!(await this.#mark())) return await this.#cancelled(chunks);
    this.#options.counts.expansions.ended++;
    return 'done';
  }

  /** The wave that was told is done; false: the message was cancelled. */
  async #mark(): Promise<boolean> {
    const { app, id, chunks } = this.#row;
    if (this.#told === null && this.#marked < chunks) return true;
    const { to, done } = this.#told ?? { to: chunks, done: null };
    await done;
    this.#told = null;
    const state = to === chunks ? 'expanded' : 'expanding';
    const kept = await this.#options.store.changeMessage(app, id, { state, chunksDone: to, expect: ['expanding'] });
    if (kept !== null) this.#marked = to;
    return kept !== null;
  }

  /** What this slice appended and did not mark ends; the job of the cancel sees to the rest. */
  async #cancelled(to: number): Promise<'done'> {
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
