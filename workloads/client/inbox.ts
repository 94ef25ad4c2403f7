// The inbox: each message goes to the application once and in order for each stream, whatever connections repeat, reorder or leave out.
// It decides what is next, what is a duplicate, what is a gap, and what may be acked; delivery.ts empties it, client.ts feeds it.
//
// A message is next in its stream (inbox-stream.ts) when its `prev` is not beyond what was received and its offset is.
import { laneOf } from '../protocol/streams.ts';
import type { MessageFrame, StreamState } from '../protocol/frames.ts';
import type { Epoch, MessageId } from '../protocol/ids.ts';
import type { NotRecoveredReason, Position, StreamName } from '../protocol/streams.ts';
import { InboxStream } from './inbox-stream.ts';
import type { Place } from './inbox-stream.ts';
import { ReadyQueue } from './ready-queue.ts';
import { SeenIds } from './seen-ids.ts';

export type { Place } from './inbox-stream.ts';
/** What waits for the application. `frame` null: only the position moves on. `place` null: it has none (yet). */
export interface InboxItem {
  readonly stream: StreamName;
  readonly place: Place | null;
  readonly frame: MessageFrame | null;
}
/** The stream could not be continued; entries between the two places may be lost to this client. */
export interface Gap {
  readonly stream: StreamName;
  readonly reason: NotRecoveredReason | null;
  readonly from: Place;
  readonly to: Place;
}
/** `queued`; `duplicate`; `gap`: connect anew with positions; `dropped`: comes again by itself. */
export type Arrival = 'queued' | 'duplicate' | 'gap' | 'dropped';

export interface InboxCounters {
  readonly queued: number;
  readonly duplicates: number;
  readonly gaps: number;
  /** Live messages dropped because the application was too slow. */
  readonly overflowed: number;
}

/** An entry whose ack by id was lost. */
export interface IdAck {
  readonly stream: StreamName;
  readonly id: MessageId;
}
export interface AcksAgain {
  readonly streams: ReadonlySet<StreamName>;
  readonly ids: readonly IdAck[];
}

/** More of one stream settled above one that is not than any gateway lets happen: it has ended that one without our knowing. */
const SETTLED_ABOVE_MAX = 500;
const EVERYTHING = (): boolean => true;

export class Inbox {
  readonly #streams = new Map<StreamName, InboxStream>();
  readonly #epochs = new Map<number, Map<StreamName, Epoch>>();
  readonly #ready = new ReadyQueue();
  readonly #seen: SeenIds;
  readonly #seenLive: SeenIds;
  readonly #queueMax: number;
  #ackAgain = new Set<StreamName>();
  #ackIdsAgain: IdAck[] = [];
  #newest = 0;
  #queued = 0;
  #duplicates = 0;
  #gaps = 0;
  #overflowed = 0;

  constructor(options: {
    positions: readonly Position[];
    seen: readonly { stream: StreamName; id: MessageId }[];
    /** Ids remembered, over all streams; as many again of live messages. */
    seenIdsMax: number;
    /** Messages that may wait for the application. */
    queueMax: number;
  }) {
    this.#seen = new SeenIds(options.seenIdsMax);
    this.#seenLive = new SeenIds(options.seenIdsMax);
    this.#queueMax = options.queueMax;
    for (const { stream, id } of options.seen) this.#seen.add(stream, id);
    for (const { stream, epoch, offset } of options.positions) {
      const known = this.#streamOf(stream);
      known.received = known.held = { epoch, offset };
    }
  }

  counters(): InboxCounters {
    return { queued: this.#queued, duplicates: this.#duplicates, gaps: this.#gaps, overflowed: this.#overflowed };
  }

  /** Items that wait for the application. */
  get waiting(): number {
    return this.#ready.size;
  }

  /** What a hello names: only what is held. */
  positions(): Position[] {
    const out: Position[] = [];
    for (const [stream, { held }] of this.#streams) if (held !== null) out.push({ stream, ...held });
    return out;
  }
  position(stream: StreamName): Place | null {
    return this.#streams.get(stream)?.held ?? null;
  }

  /** A connection got its welcome: from now on its word counts. Answers the gaps to report. */
  welcome(conn: number, states: readonly StreamState[]): Gap[] {
    this.#newest = Math.max(this.#newest, conn);
    this.#epochs.set(conn, new Map());
    return this.begin(conn, states);
  }

  /** How streams begin on a connection, in answer to positions that are held. Answers the gaps to report. */
  begin(conn: number, states: readonly StreamState[]): Gap[] {
    return states.flatMap((state) => this.#goOn(conn, state) ?? []);
  }

  drop(conn: number): void {
    this.#epochs.delete(conn);
  }

  /**
   * A stream goes on elsewhere while connected. Answers the gap to report, or `resync` where what came before it on this connection is not
   * all here: following would skip it.
   */
  streamState(conn: number, state: StreamState): Gap | 'resync' | null {
    const stream = this.#streams.get(state.stream);
    if (conn === this.#newest && stream !== undefined && isMissing(stream, state)) {
      this.#epochs.get(conn)?.set(state.stream, state.epoch);
      return 'resync';
    }
    return this.#goOn(conn, state);
  }

  #goOn(conn: number, state: StreamState): Gap | null {
    this.#epochs.get(conn)?.set(state.stream, state.epoch);
    if (conn !== this.#newest) return null;
    const stream = this.#streamOf(state.stream);
    stream.caughtUp();
    for (const place of stream.takeEnded(state)) this.#ready.push({ stream: state.stream, place, frame: null });
    const from = stream.received;
    const ended = from?.epoch === state.epoch ? from.offset : stream.past.get(state.epoch);
    const to = { epoch: state.epoch, offset: Math.max(state.offset, ended ?? 0) };
    if (from !== null && from.epoch === to.epoch && from.offset === to.offset) return null;
    if (from !== null && from.epoch !== to.epoch) stream.remember(from);
    if (ended === undefined || to.offset > ended) this.#receive(state.stream, to, null);
    else stream.received = to;
    if (state.recovered || from === null) return null;
    this.#gaps++;
    return { stream: state.stream, reason: state.reason ?? null, from, to };
  }

  message(conn: number, frame: MessageFrame): Arrival {
    if (frame.offset === undefined) return this.#withoutPlace(frame);
    const epoch = this.#epochs.get(conn)?.get(frame.stream);
    const stream = this.#streamOf(frame.stream);
    const { received } = stream;
    if (epoch === undefined || received?.epoch !== epoch) return this.#unplaced(conn, stream, Infinity);
    const place = { epoch, offset: frame.offset };
    if (frame.offset <= received.offset) return this.#again(stream, place, frame);
    if ((frame.prev ?? frame.offset - 1) > received.offset) return this.#unplaced(conn, stream, frame.offset);
    if (this.waiting >= this.#queueMax) {
      stream.overflow(frame.offset); // not acked, so the gateway sends it again
      return 'dropped';
    }
    if (stream.missedTo !== null && stream.missedTo <= frame.offset) stream.caughtUp();
    const repeated = !this.#seen.add(frame.stream, frame.id);
    if (repeated) this.#duplicates++;
    else this.#queued++;
    this.#receive(frame.stream, place, repeated ? null : frame);
    return repeated ? 'duplicate' : 'queued';
  }

  /** Takes what waits: higher lanes first, then topics, then `@low`; in order within each stream. */
  take(limit: number, mayGo: (item: InboxItem) => boolean = EVERYTHING): InboxItem[] {
    return this.#ready.take(limit, mayGo);
  }

  /** The positions that will be held once these are settled: what must be saved before. Streams that stay where they are are left out. */
  heldWith(items: readonly InboxItem[]): Position[] {
    const places = new Set<Place>();
    for (const { place } of items) if (place !== null) places.add(place);
    const out: Position[] = [];
    for (const name of new Set(items.map(({ stream }) => stream))) {
      const stream = this.#streamOf(name);
      const held = stream.heldWith(places);
      if (held !== null && held !== stream.held) out.push({ stream: name, ...held });
    }
    return out;
  }

  /**
   * These were given to the application and saved.
   * @returns true when the gateway must have ended one that is awaited: only connecting anew tells
   */
  settle(items: readonly InboxItem[]): boolean {
    let isLost = false;
    for (const { stream: name, place } of items) {
      if (place === null) continue;
      const stream = this.#streamOf(name);
      stream.settle(place);
      if (stream.awaits && stream.settledAbove > 0 && stream.settledAbove % SETTLED_ABOVE_MAX === 0) isLost = true;
    }
    return isLost;
  }

  /**
   * The application failed at `items[0]`: these, and the durable ones behind them in that stream, are awaited again. They stay unacked,
   * so the gateway sends them again, bounded in attempts. Settle what went well before calling this.
   * @returns true when the stream has moved to another epoch meanwhile: then only connecting anew with positions brings them back
   */
  giveBack(items: readonly InboxItem[]): boolean {
    const name = items[0]?.stream;
    if (name === undefined) return false;
    for (const { frame } of [...items, ...this.#ready.remove(name)])
      if (frame !== null) this.#seen.delete(name, frame.id);
    const stream = this.#streamOf(name);
    const isElsewhere = stream.held === null || stream.held.epoch !== stream.received?.epoch;
    stream.rewind();
    return isElsewhere;
  }

  /** The application failed at this one alone, of messages that it settles one by one. @returns as giveBack */
  giveBackOne({ stream: name, place, frame }: InboxItem): boolean {
    if (frame !== null) this.#seen.delete(name, frame.id);
    if (place === null) return false;
    const stream = this.#streamOf(name);
    stream.awaitAgain(place);
    return place.epoch !== stream.received?.epoch;
  }

  /** Whether a connection speaks the epoch of a place. */
  speaks(conn: number, stream: StreamName, { epoch }: Place): boolean {
    return this.#epochs.get(conn)?.get(stream) === epoch;
  }

  /** The acks that a connection may carry for these streams: only those of the epoch it speaks. */
  acks(conn: number, streams: Iterable<StreamName>): Position[] {
    const epochs = this.#epochs.get(conn);
    const out: Position[] = [];
    for (const name of streams) {
      const held = this.#streams.get(name)?.held;
      if (held !== undefined && held !== null && held.offset > 0 && epochs?.get(name) === held.epoch)
        out.push({ stream: name, ...held });
    }
    return out;
  }

  /** The acks by id for these: lanes' messages that are settled although one before them is not. */
  idAcks(conn: number, items: readonly InboxItem[]): IdAck[] {
    return items.flatMap(({ stream, place, frame }) => {
      if (frame === null || place === null || laneOf(stream) === null || !this.speaks(conn, stream, place)) return [];
      return this.#streamOf(stream).isSettledAbove(place) ? [{ stream, id: frame.id }] : [];
    });
  }

  /** What came again although it is settled, so that an ack was lost; each is told once. */
  takeAcksAgain(): AcksAgain {
    const out = { streams: this.#ackAgain, ids: this.#ackIdsAgain };
    this.#ackAgain = new Set();
    this.#ackIdsAgain = [];
    return out;
  }

  /** Live, or durable and on its way to a place while the store is away: then it is remembered as durable ones are. */
  #withoutPlace(frame: MessageFrame): Arrival {
    const { stream, id } = frame;
    const seen = frame.later === true ? this.#seen : this.#seenLive;
    if (this.#seen.has(stream, id) || this.#seenLive.has(stream, id)) {
      this.#duplicates++;
      return 'duplicate';
    }
    if (this.waiting >= this.#queueMax) {
      if (frame.later !== true) this.#overflowed++;
      return 'dropped';
    }
    seen.add(stream, id);
    this.#queued++;
    this.#ready.push({ stream, place: null, frame });
    return 'queued';
  }

  /** Within what was received: awaited again after all, or a duplicate. */
  #again(stream: InboxStream, place: Place, frame: MessageFrame): Arrival {
    const awaited = this.waiting < this.#queueMax ? stream.takeAwaited(place) : null;
    if (awaited !== null) {
      this.#seen.add(frame.stream, frame.id);
      this.#queued++;
      this.#ready.push({ stream: frame.stream, place: awaited, frame });
      return 'queued';
    }
    this.#duplicates++;
    const { held } = stream;
    if (held?.epoch === place.epoch && place.offset <= held.offset) this.#ackAgain.add(frame.stream);
    else if (laneOf(frame.stream) !== null && stream.isSettledAbove(place))
      this.#ackIdsAgain.push({ stream: frame.stream, id: frame.id });
    return 'duplicate';
  }

  /** It does not continue what we have. On an older connection the newer one brings it; on the newest, ask again, once. */
  #unplaced(conn: number, stream: InboxStream, offset: number): Arrival {
    if (conn !== this.#newest) return 'dropped';
    const known = stream.missedTo !== null;
    stream.miss(offset);
    const isStuck = offset !== Infinity && stream.isStuckAt(offset);
    if (known && !isStuck) return 'dropped';
    this.#gaps++;
    return 'gap';
  }

  #receive(name: StreamName, place: Place, frame: MessageFrame | null): void {
    this.#streamOf(name).receive(place);
    this.#ready.push({ stream: name, place, frame });
  }

  #streamOf(name: StreamName): InboxStream {
    let stream = this.#streams.get(name);
    if (stream === undefined) this.#streams.set(name, (stream = new InboxStream()));
    return stream;
  }
}

/** What came before `state` on its connection is not all here: following would skip it. */
function isMissing(stream: InboxStream, state: StreamState): boolean {
  return (
    (stream.missedTo !== null && stream.isBefore(state)) || (stream.awaits && stream.received?.epoch !== state.epoch)
  );
}
