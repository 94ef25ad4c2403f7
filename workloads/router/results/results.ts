// What became of a message: GET /v1/messages/{id} and …/deliveries. Nothing is written for it: each recipient's stream remembers how its
// delivery ended, and is asked page by page. Topics have no such streams: their deliveries are counted in the ledger.
import { RefusedError } from '../../protocol/codes.ts';
import type { AccountId, AppId, DeviceId, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { isChunkDone } from '../../store/chunk-marks.ts';
import type { DeliveryState, EndState, Message, Store } from '../../store/port.ts';
import { namesOf } from '../push/chunks.ts';

export type ResultsStore = Pick<Store, 'messages' | 'messageChunk' | 'accountDevices' | 'deliveryStates'>;

/** `pending`: not in its stream yet. `unknown`: it never registered, or its stream has forgotten. */
export type ResultState = EndState | 'waiting' | 'pending' | 'unknown';
export interface Result {
  readonly device: DeviceId;
  readonly account?: AccountId;
  readonly state: ResultState;
  readonly delivery: Exclude<DeliveryState, { state: 'unknown' }> | null;
}
export interface ResultsPage {
  readonly results: readonly Result[];
  readonly next: string | null;
}
export type ResultCounts = Readonly<Record<ResultState, number>>;

/** Recipients (names) of one page. */
export const RESULTS_PAGE_MAX = 500;
/** Counts of a list are kept this long: whoever polls does not make the store walk 100,000 streams each time. */
export const COUNTS_KEPT_MS = 1000;
const COUNTS_KEPT_MAX = 100;

export class Results {
  readonly #store: ResultsStore;
  readonly #nowMs: () => number;
  /** By app, id and state; the oldest go first. */
  readonly #counts = new Map<string, { readonly counts: Promise<ResultCounts>; readonly atMs: number }>();
  constructor(store: ResultsStore, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  /** Rejects with RefusedError 'message-unknown'. */
  async message(app: AppId, id: MessageId): Promise<Message> {
    const [row = null] = await this.#store.messages(app, [id]);
    if (row !== null && row.target.kind !== 'dead-letters') return row;
    throw new RefusedError('message-unknown', `id: no message ${id}, or its record ran out`, { field: 'id' });
  }

  /** Deliveries by state; null for a topic's message. Cost: one look at each recipient's stream, 500 at a time. */
  async counts(row: Message): Promise<ResultCounts | null> {
    if (row.target.kind === 'topic') return null;
    if (row.chunks <= 1) return await this.#count(row);
    const key = `${row.app}/${row.id}/${row.state}`; // what it came to counts afresh
    const kept = this.#counts.get(key);
    if (kept !== undefined && this.#nowMs() - kept.atMs < COUNTS_KEPT_MS) return await kept.counts;
    const counts = this.#count(row);
    this.#keep(key, counts);
    return await counts;
  }

  #keep(key: string, counts: Promise<ResultCounts>): void {
    this.#counts.delete(key);
    const [oldest] = this.#counts.keys();
    if (this.#counts.size >= COUNTS_KEPT_MAX && oldest !== undefined) this.#counts.delete(oldest);
    this.#counts.set(key, { counts, atMs: this.#nowMs() });
    counts.catch(() => this.#counts.delete(key)); // the caller has the rejection
  }

  async #count(row: Message): Promise<ResultCounts> {
    const counts = { ...NO_RESULTS };
    if (row.state === 'scheduled') return { ...counts, pending: row.recipients };
    for (let cursor: string | null = FIRST; cursor !== null;) {
      const page: ResultsPage = await this.page(row, { cursor, limit: RESULTS_PAGE_MAX });
      for (const { state } of page.results) counts[state]++;
      cursor = page.next;
    }
    return counts;
  }

  /** A page of what became of it for each recipient. Of a topic: nothing. Throws RefusedError for a cursor that is not ours. */
  async page(row: Message, page: { readonly cursor: string | null; readonly limit: number }): Promise<ResultsPage> {
    if (row.target.kind === 'topic') return { results: [], next: null };
    if (row.chunks === 0) return { results: await this.#few(row), next: null };
    const { chunk, from } = parseCursor(page.cursor ?? FIRST);
    const names = await namesOf(this.#store, row, chunk, Math.min(chunk + 1, row.chunks));
    const to = Math.min(names.length, from + page.limit);
    const done = row.state === 'expanded' || isChunkDone(row, chunk);
    const results = await this.#named(row, names.slice(from, to), done);
    if (to < names.length) return { results, next: `${chunk}.${to}` };
    return { results, next: chunk + 1 < row.chunks ? `${chunk + 1}.0` : null };
  }

  /** What became of it for one device, whether or not it was among the recipients. */
  async deviceOf(row: Message, device: DeviceId): Promise<readonly Result[]> {
    return row.target.kind === 'topic' ? [] : await this.#states(row, [{ device }], row.state !== 'scheduled');
  }

  async #few(row: Message): Promise<readonly Result[]> {
    const { target } = row;
    // Taken back before it was due, it never was in a stream.
    const done = row.state !== 'scheduled' && !(row.state === 'cancelled' && row.dueAtMs > 0);
    if (target.kind === 'device') return await this.#states(row, [{ device: target.device }], done);
    return target.kind === 'account' ? await this.#named(row, [target.account], done) : [];
  }

  /** Of accounts only devices whose stream knows of it: others came later, or there is nothing to tell yet. */
  async #named(row: Message, names: readonly string[], done: boolean): Promise<readonly Result[]> {
    const { app, target } = row;
    if (target.kind === 'devices')
      return await this.#states(
        row,
        names.map((device) => ({ device: device as DeviceId })),
        done,
      );
    const accounts = names as readonly AccountId[];
    const devices = await Promise.all(accounts.map((account) => this.#store.accountDevices(app, account)));
    const all = accounts.flatMap((account, i) => devices[i]!.map((device) => ({ device, account })));
    const results = await this.#states(row, all, done);
    return done ? results.filter(({ state }) => state !== 'unknown') : results;
  }

  async #states(
    row: Message,
    of: readonly { readonly device: DeviceId; readonly account?: AccountId }[],
    done: boolean,
  ): Promise<readonly Result[]> {
    const { app, id: messageId, lane } = row;
    const results: Result[] = [];
    for (let from = 0; from < of.length; from += LIMITS.chunkRecipientsMax) {
      const part = of.slice(from, from + LIMITS.chunkRecipientsMax);
      const states = await this.#store.deliveryStates(
        app,
        part.map(({ device }) => ({ device, lane, messageId })),
      );
      part.forEach((recipient, i) => {
        const delivery = states[i]!;
        if (delivery.state !== 'unknown') results.push({ ...recipient, state: delivery.state, delivery });
        else results.push({ ...recipient, state: unknownAs(row, done), delivery: null });
      });
    }
    return results;
  }
}

/** What it means that a stream knows nothing of the message. */
function unknownAs(row: Message, done: boolean): ResultState {
  if (done) return 'unknown';
  return row.state === 'cancelled' ? 'cancelled' : 'pending';
}

const FIRST = '0.0';
const NO_RESULTS: ResultCounts = {
  waiting: 0,
  pending: 0,
  acked: 0,
  dead: 0,
  expired: 0,
  cancelled: 0,
  satisfied: 0,
  filtered: 0,
  unknown: 0,
};
export const RESULT_STATES = Object.keys(NO_RESULTS) as readonly ResultState[];

/** `chunk.place` of the next name. */
function parseCursor(cursor: string): { chunk: number; from: number } {
  const match = /^(\d{1,6})\.(\d{1,6})$/.exec(cursor);
  if (match !== null) return { chunk: Number(match[1]), from: Number(match[2]) };
  throw new RefusedError('invalid-request', 'cursor: expected the next of an earlier page', { field: 'cursor' });
}
