// The inbox: each message goes to the application once and in order for each stream, whatever connections repeat, reorder or leave out.
// It decides what is next, what is a duplicate, what is a gap, and what may be acked; delivery.ts empties it, client.ts feeds it.
//
// A stream has two places. `received`: accepted in order, waiting for the application. `held`: given to it and saved; acks and hellos
// name only this one. A message is next when its `prev` is not beyond `received` and its offset is.
import { laneOf } from '../protocol/streams.ts';
import type { MessageFrame, StreamState } from '../protocol/frames.ts';
import type { Epoch, MessageId } from '../protocol/ids.ts';
import type { Lane, NotRecoveredReason, Position, StreamName } from '../protocol/streams.ts';

export interface Place {
  readonly epoch: Epoch;
  readonly offset: number;
}
/** What waits for the application. `frame` null: only the position moves on. `place` null: a live message. */
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

interface Stream {
  received: Place | null;
  held: Place | null;
  /** Where earlier epochs ended for us, newest last. */
  past: Map<Epoch, number>;
  /** Up to here something came that could not be taken: it is awaited again, and not reported twice. Null: nothing is missing. */
  missedTo: number | null;
}

const PAST_EPOCHS_MAX = 4;
const RANKS = 4;

export class Inbox {
  readonly #streams = new Map<StreamName, Stream>();
  readonly #epochs = new Map<number, Map<StreamName, Epoch>>();
  readonly #ready: InboxItem[][] = Array.from({ length: RANKS }, () => []);
  readonly #seen: SeenIds;
  readonly #queueMax: number;
  #ackAgain = new Set<StreamName>();
  #newest = 0;
  #waiting = 0;
  #queued = 0;
  #duplicates = 0;
  #gaps = 0;
  #overflowed = 0;

  constructor(options: {
    positions: readonly Position[];
    seen: readonly { stream: StreamName; id: MessageId }[];
    /** Ids remembered, over all streams. */
    seenIdsMax: number;
    /** Messages that may wait for the application. */
    queueMax: number;
  }) {
    this.#seen = new SeenIds(options.seenIdsMax);
    this.#queueMax = options.queueMax;
    for (const { stream, id } of options.seen) this.#seen.add(stream, id);
    for (const { stream, epoch, offset } of options.positions) {
      this.#streams.set(stream, { ...freshStream(), received: { epoch, offset }, held: { epoch, offset } });
    }
  }

  counters(): InboxCounters {
    return { queued: this.#queued, duplicates: this.#duplicates, gaps: this.#gaps, overflowed: this.#overflowed };
  }

  /** Items that wait for the application. */
  get waiting(): number {
    return this.#waiting;
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
    if (conn === this.#newest && stream !== undefined && stream.missedTo !== null && isBeyond(state, stream.received)) {
      this.#epochs.get(conn)?.set(state.stream, state.epoch);
      return 'resync';
    }
    return this.#goOn(conn, state);
  }

  #goOn(conn: number, state: StreamState): Gap | null {
    this.#epochs.get(conn)?.set(state.stream, state.epoch);
    if (conn !== this.#newest) return null;
    const stream = this.#streamOf(state.stream);
    stream.missedTo = null;
    const from = stream.received;
    const ended = from?.epoch === state.epoch ? from.offset : stream.past.get(state.epoch);
    const to = { epoch: state.epoch, offset: Math.max(state.offset, ended ?? 0) };
    if (from !== null && from.epoch === to.epoch && from.offset === to.offset) return null;
    if (from !== null && from.epoch !== to.epoch) remember(stream.past, from);
    stream.received = to;
    if (ended === undefined || to.offset > ended) this.#push({ stream: state.stream, place: to, frame: null });
    if (state.recovered || from === null) return null;
    this.#gaps++;
    return { stream: state.stream, reason: state.reason ?? null, from, to };
  }

  message(conn: number, frame: MessageFrame): Arrival {
    if (frame.offset === undefined) return this.#live(frame);
    const epoch = this.#epochs.get(conn)?.get(frame.stream);
    const stream = this.#streamOf(frame.stream);
    const { received } = stream;
    if (epoch === undefined || received?.epoch !== epoch) return this.#unplaced(conn, stream, Infinity);
    if (frame.offset <= received.offset) {
      this.#duplicates++;
      if (stream.held?.epoch === epoch && frame.offset <= stream.held.offset) this.#ackAgain.add(frame.stream);
      return 'duplicate';
    }
    if ((frame.prev ?? frame.offset - 1) > received.offset) return this.#unplaced(conn, stream, frame.offset);
    if (this.#waiting >= this.#queueMax) {
      miss(stream, frame.offset); // not acked, so the gateway sends it again
      return 'dropped';
    }
    if (stream.missedTo !== null && stream.missedTo <= frame.offset) stream.missedTo = null;
    const place = { epoch, offset: frame.offset };
    stream.received = place;
    const repeated = !this.#seen.add(frame.stream, frame.id);
    if (repeated) this.#duplicates++;
    else this.#queued++;
    this.#push({ stream: frame.stream, place, frame: repeated ? null : frame });
    return repeated ? 'duplicate' : 'queued';
  }

  /** Takes what waits: higher lanes first, then topics, then `@low`; in order within each stream. */
  take(limit: number): InboxItem[] {
    const out: InboxItem[] = [];
    for (let rank = 0; rank < RANKS && out.length < limit; rank++) {
      const ready = this.#ready[rank]!;
      if (ready.length === 0) continue;
      const some = ready.splice(0, limit - out.length);
      for (const item of some) out.push(item);
    }
    this.#waiting -= out.length;
    return out;
  }

  /** These were given to the application and saved. */
  settle(items: readonly InboxItem[]): void {
    for (const { stream, place } of items) if (place !== null) this.#streamOf(stream).held = place;
  }

  /**
   * The application failed at `items[0]`: these, and the durable ones behind them in that stream, are awaited again. They stay unacked,
   * so the gateway sends them again, bounded in attempts. Settle what went well before calling this.
   * @returns true when the stream has moved to another epoch meanwhile: then only connecting anew with positions brings them back
   */
  giveBack(items: readonly InboxItem[]): boolean {
    const name = items[0]?.stream;
    if (name === undefined) return false;
    const ready = this.#ready[rankOf(name)]!;
    const isBack = (item: InboxItem): boolean => item.stream === name && item.place !== null;
    const waiting = ready.filter(isBack);
    this.#ready[rankOf(name)] = ready.filter((item) => !isBack(item));
    this.#waiting -= waiting.length;
    for (const { frame } of [...items, ...waiting]) if (frame !== null) this.#seen.delete(name, frame.id);
    const stream = this.#streamOf(name);
    const sameEpoch = stream.held !== null && stream.held.epoch === stream.received?.epoch;
    miss(stream, sameEpoch ? stream.received!.offset : Infinity);
    stream.received = stream.held;
    stream.past.clear();
    return !sameEpoch;
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

  /** Streams of which a duplicate came although it is held, so that an ack was lost; each is told once. */
  takeAcksAgain(): ReadonlySet<StreamName> {
    const out = this.#ackAgain;
    this.#ackAgain = new Set();
    return out;
  }

  #live(frame: MessageFrame): Arrival {
    if (!this.#seen.add(frame.stream, frame.id)) {
      this.#duplicates++;
      return 'duplicate';
    }
    if (this.#waiting >= this.#queueMax) {
      this.#overflowed++;
      return 'dropped';
    }
    this.#queued++;
    this.#push({ stream: frame.stream, place: null, frame });
    return 'queued';
  }

  /** It does not continue what we have. On an older connection the newer one brings it; on the newest, ask again, once. */
  #unplaced(conn: number, stream: Stream, offset: number): Arrival {
    if (conn !== this.#newest) return 'dropped';
    const known = stream.missedTo !== null;
    miss(stream, offset);
    if (known) return 'dropped';
    this.#gaps++;
    return 'gap';
  }

  #push(item: InboxItem): void {
    this.#ready[rankOf(item.stream)]!.push(item);
    this.#waiting++;
  }

  #streamOf(name: StreamName): Stream {
    let stream = this.#streams.get(name);
    if (stream === undefined) this.#streams.set(name, (stream = freshStream()));
    return stream;
  }
}

function freshStream(): Stream {
  return { received: null, held: null, past: new Map(), missedTo: null };
}

function miss(stream: Stream, offset: number): void {
  stream.missedTo = Math.max(stream.missedTo ?? 0, offset);
}

function isBeyond(state: StreamState, received: Place | null): boolean {
  return received === null || state.epoch !== received.epoch || state.offset > received.offset;
}

function remember(past: Map<Epoch, number>, place: Place): void {
  past.delete(place.epoch);
  past.set(place.epoch, place.offset);
  for (const oldest of past.keys()) {
    if (past.size <= PAST_EPOCHS_MAX) return;
    past.delete(oldest);
  }
}

const RANK_OF_LANE: Readonly<Record<Lane, number>> = { high: 0, normal: 1, low: 3 };
const RANK_OF_TOPIC = 2;

function rankOf(stream: StreamName): number {
  const lane = laneOf(stream);
  return lane === null ? RANK_OF_TOPIC : RANK_OF_LANE[lane];
}

/** A bounded window of (stream, id), oldest out first. */
class SeenIds {
  readonly #max: number;
  readonly #ids = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }
  /** False: it was there. */
  add(stream: StreamName, id: MessageId): boolean {
    const key = `${id} ${stream}`;
    if (this.#ids.has(key)) return false;
    this.#ids.add(key);
    if (this.#ids.size > this.#max) this.#ids.delete(this.#ids.values().next().value!);
    return true;
  }
  delete(stream: StreamName, id: MessageId): void {
    this.#ids.delete(`${id} ${stream}`);
  }
}
