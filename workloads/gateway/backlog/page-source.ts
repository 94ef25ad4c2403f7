// Where pages of backlogs come from: a drainer, over the link that it opened here, or the store itself at a small budget of this gateway
// while no drainer is linked. Lanes go to a drainer picked by the device, and to another one when it fails; topics, whose reads many
// sessions share, are read here. backlog.ts asks; link-frames.ts hands over what drainers answer; role.ts ticks.
import type { AppId, DeviceId } from '../../protocol/ids.ts';
import type { Feed, FeedLater } from '../../protocol/link.ts';
import { FeedQueue } from '../../runtime/feed-queue.ts';
import type { Due } from '../../runtime/feed-queue.ts';
import { hashText } from '../../runtime/ring.ts';
import type { LinkPeer } from '../../link/server.ts';
import type { ReadOutcome, StreamRead } from '../../store/port.ts';
import type { Gateway } from '../gateway.ts';

export interface PageAsk {
  readonly app: AppId;
  readonly device: DeviceId;
  readonly read: StreamRead;
}
export type PageAnswer =
  | { readonly kind: 'page'; readonly outcome: ReadOutcome }
  /** Not now: ask again after that. */
  | { readonly kind: 'later'; readonly retryAfterMs: number };

interface Asked {
  readonly peer: LinkPeer;
  readonly atMs: number;
  /** Null: no answer will come over this link. */
  readonly answer: PromiseWithResolvers<PageAnswer | null>;
}
interface OwnAsk {
  readonly ask: PageAsk;
  readonly answer: PromiseWithResolvers<PageAnswer>;
}

/** A drainer that has not answered by then is thought to be stuck; pages wait there for at most 9 s. */
export const FEED_TIMEOUT_MS = 10_000;
/** Own reads: what is thought to be a message's size, for the budget of bytes. */
const ENTRY_BYTES = 4096;
const OWN_WAIT_MAX_MS = 5000;
const OWN_READS_PER_TICK = 64;
const STORE_RETRY_MS = 1000;

export class PageSource {
  readonly #gateway: Gateway;
  readonly #asked = new Map<number, Asked>();
  readonly #own: FeedQueue<OwnAsk>;
  #seq = 0;
  #armed = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    const { settings, clock, random } = gateway;
    this.#own = new FeedQueue({
      entriesPerSecond: settings.backlogEntriesPerSecond,
      bytesPerSecond: settings.backlogEntriesPerSecond * ENTRY_BYTES,
      requestsMax: settings.connectionsMax,
      waitMaxMs: OWN_WAIT_MAX_MS,
      nowMs: clock.monotonicMs(),
      random,
    });
  }

  /** Pages asked for and not answered. */
  get waiting(): number {
    return this.#asked.size + this.#own.waiting;
  }

  /** Asks for a page. Never rejects: a store that is away is a later try. */
  async ask(ask: PageAsk): Promise<PageAnswer> {
    if (ask.read.stream.kind === 'device') {
      const drainers = this.#gateway.state.peers('drainer');
      const first = drainers.length === 0 ? 0 : hashText(ask.device) % drainers.length;
      for (let i = 0; i < drainers.length; i++) {
        const answer = await this.#askDrainer(drainers[(first + i) % drainers.length]!, ask);
        if (answer !== null) return answer;
      }
    }
    return this.#askStore(ask);
  }

  /** A drainer answers. */
  take(frame: Feed | FeedLater): void {
    const asked = this.#asked.get(frame.seq);
    if (asked === undefined) return; // too late
    this.#asked.delete(frame.seq);
    if (frame.kind === 'feed-later') asked.answer.resolve({ kind: 'later', retryAfterMs: frame.retryAfterMs });
    else asked.answer.resolve({ kind: 'page', outcome: outcomeOf(frame) });
  }

  /** A link fell: what was asked over it is asked elsewhere. */
  forget(peer: LinkPeer): void {
    for (const [seq, asked] of this.#asked) if (asked.peer === peer) this.#giveUp(seq, asked);
  }

  /** Reads what the own budget has room for, and gives up on drainers that are stuck. */
  tick(): void {
    const { clock } = this.#gateway;
    const nowMs = clock.monotonicMs();
    for (const [seq, asked] of this.#asked) {
      if (nowMs - asked.atMs < FEED_TIMEOUT_MS) break; // in the order they were asked
      this.#giveUp(seq, asked);
    }
    this.#readSome();
  }

  #readSome(): void {
    const nowMs = this.#gateway.clock.monotonicMs();
    for (const due of this.#own.take(nowMs, OWN_READS_PER_TICK)) void this.#readOwn(due);
  }

  /** What is asked within one tick is read together. */
  #soon(): void {
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      if (!this.#gateway.state.ended) this.#readSome();
    });
  }

  #askDrainer(peer: LinkPeer, { app, device, read }: PageAsk): Promise<PageAnswer | null> {
    if (read.stream.kind !== 'device') return Promise.resolve(null);
    const seq = ++this.#seq;
    const { after, entriesMax } = read;
    const place = { epoch: after?.epoch ?? null, offset: after?.offset ?? 0 };
    const sent = peer.send({
      kind: 'feed-request',
      seq,
      app,
      device,
      lane: read.stream.lane,
      ...place,
      entriesMax,
    });
    if (sent !== 'queued') return Promise.resolve(null);
    const answer = Promise.withResolvers<PageAnswer | null>();
    this.#asked.set(seq, { peer, atMs: this.#gateway.clock.monotonicMs(), answer });
    return answer.promise;
  }

  #giveUp(seq: number, { answer }: Asked): void {
    this.#asked.delete(seq);
    answer.resolve(null);
  }

  #askStore(ask: PageAsk): Promise<PageAnswer> {
    const { clock } = this.#gateway;
    const answer = Promise.withResolvers<PageAnswer>();
    const retryAfterMs = this.#own.offer({
      device: `${ask.app} ${ask.device}`,
      entriesMax: ask.read.entriesMax,
      askedAtMs: clock.monotonicMs(),
      request: { ask, answer },
    });
    if (retryAfterMs === null) this.#soon();
    else answer.resolve({ kind: 'later', retryAfterMs });
    return answer.promise;
  }

  async #readOwn(due: Due<OwnAsk>): Promise<void> {
    const { ask, answer } = due.request;
    const { reads, random } = this.#gateway;
    try {
      const outcome = await reads.read(ask.read);
      const bytes = outcome.entries.reduce((sum, { record }) => sum + record.length, 0);
      this.#own.spend(due, { entries: outcome.entries.length, bytes });
      answer.resolve({ kind: 'page', outcome });
    } catch (error) {
      this.#gateway.log.warn({ problem: String(error) }, 'backlog not read, again later');
      this.#own.spend(due, { entries: 0, bytes: 0 });
      answer.resolve({ kind: 'later', retryAfterMs: Math.ceil(STORE_RETRY_MS * (1 + random())) });
    }
  }
}

function outcomeOf(feed: Feed): ReadOutcome {
  const { epoch, notRecovered, from, entries, head, complete } = feed;
  return { epoch, notRecovered: notRecovered === '' ? null : notRecovered, from, entries, head, complete };
}
