// Requests of gateways for pages of backlogs → reads of the store at the budget → pages over the link they came on. role.ts opens the
// links; feed-queue.ts decides whose turn it is. A store that is away costs a gateway a later try, never an entry.
import type { SendOutcome } from '../link/connection.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Feed, FeedRequest, LinkFrame } from '../protocol/link.ts';
import type { AppId, MessageId } from '../protocol/ids.ts';
import { isBodyElsewhere, recordMessageId, withBody } from '../protocol/record.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { ReadOutcome, Store, StreamEntry, StreamRead } from '../store/port.ts';
import type { Counts } from './counts.ts';
import { FeedQueue } from '../runtime/feed-queue.ts';
import type { Due } from '../runtime/feed-queue.ts';

/** Where the answer goes. */
export interface FeedPeer {
  send(frame: LinkFrame): SendOutcome;
}
interface Request {
  readonly peer: FeedPeer;
  readonly frame: FeedRequest;
}
export interface FeedsOptions {
  readonly store: Pick<Store, 'read' | 'bodies'>;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly counts: Counts;
  readonly budget: {
    readonly entriesPerSecond: number;
    readonly bytesPerSecond: number;
    readonly requestsMax: number;
    readonly waitMaxMs: number;
  };
  /** Told how long each page had waited when its turn came. */
  onTurn(waitedMs: number): void;
}

/** The budget is looked at this often: at 20,000 entries a second each look has 200 to give. */
const TICK_MS = 10;
/** 16 reads of at most 512 KiB, 4 calls: 32 MiB of entries at the very worst. */
const READS_PER_CALL = 16;
const CALLS_MAX = 4;
/** Bytes of one page with its bodies: half of what a link takes for a frame. */
export const FEED_BYTES_MAX = LIMITS.linkFrameBytesMax / 2;
const STORE_RETRY_MS = 1000;

export class Feeds {
  readonly #options: FeedsOptions;
  readonly #queue: FeedQueue<Request>;
  #cancel: (() => void) | null = null;
  #calls = 0;
  #armed = false;
  #ended = false;

  constructor(options: FeedsOptions) {
    this.#options = options;
    const { clock, random, budget } = options;
    this.#queue = new FeedQueue({ ...budget, nowMs: clock.monotonicMs(), random });
  }

  get queue(): Pick<FeedQueue<unknown>, 'waiting' | 'waitMs' | 'entriesPerSecond'> {
    return this.#queue;
  }

  start(): void {
    this.#cancel = this.#options.clock.every(TICK_MS, () => this.#pump());
  }
  stop(): void {
    this.#ended = true;
    this.#cancel?.();
  }
  /** The budget is shared by so many drainers. */
  share(drainers: number): void {
    this.#queue.share(drainers, this.#options.clock.monotonicMs());
  }

  /** A gateway asks for a page. */
  take(peer: FeedPeer, frame: FeedRequest): void {
    const { counts, clock } = this.#options;
    counts.requests++;
    const retryAfterMs = this.#queue.offer({
      device: `${frame.app} ${frame.device}`,
      entriesMax: Math.max(1, Math.min(frame.entriesMax, LIMITS.readEntriesMax)),
      askedAtMs: clock.monotonicMs(),
      request: { peer, frame },
    });
    if (retryAfterMs === null) return this.#soon();
    counts.refused++;
    peer.send({ kind: 'feed-later', seq: frame.seq, retryAfterMs });
  }

  /** A link fell: what came over it is asked again elsewhere. */
  forget(peer: FeedPeer): void {
    this.#options.counts.dropped += this.#queue.drop((request) => request.peer === peer);
  }

  /** What is asked within one tick is read together. */
  #soon(): void {
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (!this.#ended && this.#calls < CALLS_MAX) {
      const nowMs = this.#options.clock.monotonicMs();
      const due = this.#queue.take(nowMs, READS_PER_CALL);
      if (due.length === 0) return;
      for (const { askedAtMs } of due) this.#options.onTurn(nowMs - askedAtMs);
      this.#calls++;
      void this.#read(due);
    }
  }

  async #read(due: readonly Due<Request>[]): Promise<void> {
    const { store, counts, log, random } = this.#options;
    try {
      const outcomes = await store.read(due.map(readOf));
      const pages = await fillBodies(store, due, outcomes);
      due.forEach((asked, i) => this.#answer(asked, pages[i]!));
    } catch (error) {
      counts.storeFailures++;
      log.warn({ pages: due.length, problem: String(error) }, 'backlogs not read');
      for (const asked of due) {
        this.#queue.spend(asked, { entries: 0, bytes: 0 });
        const retryAfterMs = Math.ceil(STORE_RETRY_MS * (1 + random()));
        asked.request.peer.send({ kind: 'feed-later', seq: asked.request.frame.seq, retryAfterMs });
      }
    } finally {
      this.#calls--;
      this.#pump();
    }
  }

  #answer(asked: Due<Request>, outcome: ReadOutcome): void {
    const { counts } = this.#options;
    const { peer, frame } = asked.request;
    const { feed, bytes } = feedOf(frame.seq, outcome);
    this.#queue.spend(asked, { entries: feed.entries.length, bytes });
    counts.pages++;
    counts.entries += feed.entries.length;
    counts.bytes += bytes;
    if (peer.send(feed) !== 'queued') counts.dropped++; // the gateway asks again
  }
}

function readOf({ entriesMax, request: { frame } }: Due<Request>): StreamRead {
  const { app, device, lane, epoch, offset } = frame;
  return {
    stream: { app, kind: 'device', device, lane },
    after: epoch === null ? null : { epoch, offset },
    entriesMax,
  };
}

/** One trip for each app whose entries have their body elsewhere. One that is gone stays without: the gateway knows what to do. */
async function fillBodies(
  store: Pick<Store, 'bodies'>,
  due: readonly Due<Request>[],
  outcomes: readonly ReadOutcome[],
): Promise<readonly ReadOutcome[]> {
  const wanted = new Map<AppId, Set<MessageId>>();
  outcomes.forEach(({ entries }, i) => {
    const { app } = due[i]!.request.frame;
    for (const { record } of entries) {
      if (!isBodyElsewhere(record)) continue;
      const ids = wanted.get(app) ?? new Set();
      wanted.set(app, ids.add(recordMessageId(record)));
    }
  });
  if (wanted.size === 0) return outcomes;
  const bodies = new Map<string, Uint8Array>();
  await Promise.all(
    [...wanted].map(async ([app, set]) => {
      const ids = [...set];
      const records = await store.bodies(app, ids);
      ids.forEach((id, i) => {
        if (records[i]) bodies.set(`${app} ${id}`, records[i]);
      });
    }),
  );
  return outcomes.map((outcome, i) => {
    const { app } = due[i]!.request.frame;
    const fill = (entry: StreamEntry): StreamEntry => {
      const whole = isBodyElsewhere(entry.record) ? bodies.get(`${app} ${recordMessageId(entry.record)}`) : undefined;
      return whole === undefined ? entry : { ...entry, record: withBody(entry.record, whole) };
    };
    return { ...outcome, entries: outcome.entries.map(fill) };
  });
}

/** A page as it goes over the link, cut where it grows too large with its bodies; what is cut off is asked for next. */
export function feedOf(seq: number, outcome: ReadOutcome): { readonly feed: Feed; readonly bytes: number } {
  const { epoch, notRecovered, from, head, entries } = outcome;
  let bytes = 0;
  let count = 0;
  for (const { record } of entries) {
    if (count > 0 && bytes + record.length > FEED_BYTES_MAX) break;
    bytes += record.length;
    count++;
  }
  const complete = outcome.complete && count === entries.length;
  const feed: Feed = {
    kind: 'feed',
    seq,
    epoch,
    notRecovered: notRecovered ?? '',
    from,
    head,
    complete,
    entries: entries.slice(0, count),
  };
  return { feed, bytes };
}
