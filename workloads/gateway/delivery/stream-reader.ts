// Reads what a live session is missing: after a gap between hints, a lost hint, an ack that made room, a socket that drained, or an ack
// that did not come. One read for each stream at a time; it starts at the lowest position and serves every session that its page
// covers, or comes from the topic's tail (R11). Entries go out through pages.ts; a store that is away is asked again later.
import type { ReadOutcome, StreamRef } from '../../store/port.ts';
import { Channel } from './channel.ts';
import type { Connection } from '../connect/connection.ts';
import { isBehind } from '../endings/cursor.ts';
import type { Cursor, HeardStream } from '../endings/cursor.ts';
import type { Gateway } from '../gateway.ts';
import { Page, mayRead, writePage } from './pages.ts';
import { laneOf } from '../../protocol/streams.ts';
import { checkRoutes } from '../connect/route-check.ts';
import type { Place } from '../connect/start.ts';

/** What seems missing is often on its way: hints of two routers may cross by this much. */
const GAP_WAIT_MS = 5;
const RETRY_MS = 500;
/** One page: under half of the default window. */
export const PAGE_ENTRIES = 128;

interface Waiter {
  readonly connection: Connection;
  readonly cursor: Cursor;
}

export class StreamReader {
  readonly #gateway: Gateway;
  readonly #waiting = new Map<HeardStream, Waiter[]>();
  readonly #busy = new Set<HeardStream>();
  #now: HeardStream[] = [];
  #gap: HeardStream[] = [];

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  /** Streams that someone waits for. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** The cursor is behind: reads on, unless its window or its socket is full; then the ack or the drain asks again. */
  want(connection: Connection, cursor: Cursor, when: 'now' | 'gap'): void {
    if (cursor.reading || !mayRead(this.#gateway, connection, cursor)) return;
    if (this.#gateway.shedding.holdsBack) return; // it asks everyone once that is over
    if (this.#gateway.backlog.takes(connection, cursor)) return;
    cursor.reading = true;
    const waiters = this.#waiting.get(cursor.stream);
    if (waiters !== undefined) {
      waiters.push({ connection, cursor });
      return; // its stream is due already, or under way
    }
    this.#waiting.set(cursor.stream, [{ connection, cursor }]);
    if (when === 'now') this.#soon(cursor.stream);
    else this.#later(cursor.stream);
  }

  #soon(stream: HeardStream): void {
    if (this.#now.push(stream) > 1) return;
    setImmediate(() => {
      const due = this.#now;
      this.#now = [];
      for (const each of due) this.#start(each);
    });
  }
  #later(stream: HeardStream): void {
    if (this.#gap.push(stream) > 1) return;
    this.#gateway.clock.after(GAP_WAIT_MS, () => {
      const due = this.#gap;
      this.#gap = [];
      for (const each of due) this.#start(each);
    });
  }

  #start(stream: HeardStream): void {
    if (this.#busy.has(stream) || this.#gateway.state.ended) return;
    const waiters = this.#stillWaiting(stream);
    const [first] = waiters;
    if (first === undefined) {
      this.#waiting.delete(stream);
      return;
    }
    let lead = first;
    for (const waiter of waiters)
      if (waiter.cursor.epoch === first.cursor.epoch && waiter.cursor.seen < lead.cursor.seen) lead = waiter;
    const tail = pageOfTail(this.#gateway, stream, placeOf(lead.cursor));
    if (tail !== null) {
      this.#serve(stream, placeOf(lead.cursor), tail, lead);
      return;
    }
    this.#busy.add(stream);
    void this.#read(stream, lead);
  }

  async #read(stream: HeardStream, lead: Waiter): Promise<void> {
    const { cursor, connection } = lead;
    const after = placeOf(cursor);
    const knownHead = stream.head;
    try {
      const outcome = await this.#gateway.reads.read({
        stream: refOf(connection, cursor),
        after,
        entriesMax: PAGE_ENTRIES,
      });
      if (isOtherLog(cursor, outcome)) await checkRoutes(this.#gateway, [connection].filter(isLive));
      // A head that only a hint told, before we asked, and that the store does not have, is gone.
      if (outcome.complete && stream.head === knownHead && stream.epoch === outcome.epoch) stream.head = outcome.head;
      this.#busy.delete(stream);
      this.#serve(stream, after, new Page(outcome), lead);
    } catch (error) {
      this.#gateway.log.warn({ stream: cursor.name, problem: String(error) }, 'stream not read, again later');
      this.#gateway.clock.after(RETRY_MS, () => {
        this.#busy.delete(stream);
        this.#start(stream);
      });
    }
  }

  #serve(stream: HeardStream, after: Place | null, page: Page, lead: Waiter): void {
    const waiters = this.#stillWaiting(stream);
    const rest: Waiter[] = [];
    this.#waiting.delete(stream);
    for (const waiter of waiters) {
      if (!isCovered(waiter.cursor, after, page, waiter.cursor === lead.cursor)) {
        rest.push(waiter);
        continue;
      }
      const { connection, cursor } = waiter;
      cursor.reading = false;
      const outcome = writePage(this.#gateway, connection, cursor, page);
      if (outcome === 'more') this.want(connection, cursor, 'now');
      else if (outcome === 'all' && page.outcome.epoch !== null && isBehind(cursor))
        this.want(connection, cursor, 'gap');
    }
    if (rest.length === 0) return;
    this.#waiting.set(stream, [...(this.#waiting.get(stream) ?? []), ...rest]);
    this.#soon(stream);
  }

  #stillWaiting(stream: HeardStream): Waiter[] {
    const waiters = (this.#waiting.get(stream) ?? []).filter(({ connection, cursor }) => {
      const stays = mayRead(this.#gateway, connection, cursor) && connection.session?.find(cursor.name) === cursor;
      if (!stays) cursor.reading = false;
      return stays;
    });
    this.#waiting.set(stream, waiters);
    return waiters;
  }
}

/**
 * A lane under an epoch that the session does not hold may be another account's: the device changed hands, and nobody told this
 * gateway yet. Then the session is confirmed by the store, after the read, before anything of it is written (R8).
 */
export function isOtherLog(cursor: Cursor, { epoch }: ReadOutcome): boolean {
  return epoch !== null && epoch !== cursor.epoch && laneOf(cursor.name) !== null;
}
function isLive({ phase }: Connection): boolean {
  return phase === 'live';
}

function placeOf({ epoch, seen }: Cursor): Place | null {
  return epoch === null ? null : { epoch, offset: seen };
}

/** What follows a place, when the topic's newest entries are here: no read of the store (R11). Null: only the store can say. */
export function pageOfTail(gateway: Gateway, stream: HeardStream, after: Place | null): Page | null {
  if (after === null || !(stream instanceof Channel) || stream.tail === null || stream.epoch !== after.epoch)
    return null;
  const page = stream.tail.after(after, stream.head, gateway.wheel.nowMs);
  if (page === null) return null;
  gateway.counts.tailReads++;
  return new Page(page.outcome, page.encoders);
}

/** Whether a page that was read for one position holds all that another one is missing, from its place on. */
function isCovered(cursor: Cursor, after: Place | null, page: Page, isLead: boolean): boolean {
  if (isLead) return true;
  const { epoch, notRecovered, entries, complete, head } = page.outcome;
  if (after === null || notRecovered !== null || epoch !== after.epoch || cursor.epoch !== epoch) return false;
  const last = complete ? head : (entries.at(-1)?.offset ?? after.offset);
  return cursor.seen >= after.offset && cursor.seen <= last;
}

/** The store's name for a cursor's stream. */
export function refOf(connection: Connection, cursor: Cursor): StreamRef {
  const { stream, name } = cursor;
  if (stream instanceof Channel) return { app: stream.app, kind: 'topic', topic: stream.topic };
  const { app, device } = connection.session!.permission;
  return { app, kind: 'device', device, lane: laneOf(name)! };
}
