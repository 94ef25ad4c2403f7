// What was read → frames of one client, in order, within its window and its outbox. recovery.ts calls it with the first page of a session,
// stream-reader.ts with the others. What the client is not given (filtered, cancelled, expired) is passed, and counted (R12).
import { InvalidRecordError } from '../../protocol/record.ts';
import type { ReadOutcome, StreamEntry } from '../../store/port.ts';
import type { Connection } from '../connect/connection.ts';
import { hasRoom, hear, isEnded, isWithinWindow, moveOn } from '../endings/cursor.ts';
import type { Cursor } from '../endings/cursor.ts';
import { MessageEncoder } from './encode.ts';
import type { Gateway } from '../gateway.ts';
import { settleStart } from '../connect/start.ts';
import { changeUnacked, windowAgain, windowOf } from '../endings/window.ts';
import { skipEntries, writeEntry } from './write-entry.ts';

/** A page with an encoder for each entry, so that clients that share a read share the encoding. */
export class Page {
  readonly outcome: ReadOutcome;
  readonly #encoders: (MessageEncoder | null | undefined)[];

  /** @param encoders of its entries, where they are there already */
  constructor(outcome: ReadOutcome, encoders: readonly MessageEncoder[] = []) {
    this.outcome = outcome;
    this.#encoders = [...encoders];
  }
  /** The same, where the client was told already how the stream goes on: it only brings the entries. */
  placed(): Page {
    const { outcome } = this;
    if (outcome.notRecovered === null) return this;
    return new Page({ ...outcome, notRecovered: null });
  }
  /** Null: not a record of ours; it is passed over. */
  encoder(gateway: Gateway, cursor: Cursor, at: number): MessageEncoder | null {
    let encoder = this.#encoders[at];
    if (encoder === undefined) this.#encoders[at] = encoder = encoderOf(gateway, cursor, this.outcome.entries[at]!);
    return encoder;
  }
}

function encoderOf(gateway: Gateway, cursor: Cursor, entry: StreamEntry): MessageEncoder | null {
  try {
    return new MessageEncoder(cursor.name, entry.offset, entry.record);
  } catch (error) {
    if (!(error instanceof InvalidRecordError)) throw error;
    gateway.counts.invalidRecords++;
    gateway.log.error({ stream: cursor.name, offset: entry.offset, problem: error.message }, 'entry not readable');
    return null;
  }
}

/** What stopped it: nothing, the page's end before the stream's, the window, the outbox, an entry that becomes a dead letter first. */
export type PageOutcome = 'all' | 'more' | 'window' | 'slow' | 'dead';

/** Writes as much of a page as the client may have now. */
export function writePage(gateway: Gateway, connection: Connection, cursor: Cursor, page: Page): PageOutcome {
  const { outcome } = page;
  const { epoch, entries } = outcome;
  if (epoch === null) return 'all';
  if (cursor.epoch !== null && cursor.epoch !== epoch && cursor.inFlight > 0) {
    hear(cursor.stream, epoch, outcome.head); // read again once what is under way is acked: acks name no epoch
    return 'window';
  }
  if (cursor.epoch !== epoch || outcome.notRecovered !== null) goOnElsewhere(gateway, connection, cursor, outcome);
  hear(cursor.stream, epoch, outcome.head);
  for (let i = 0; i < entries.length; i++) {
    const stopped = writeOne(gateway, connection, cursor, { page, at: i });
    if (stopped !== null) return stopped;
  }
  if (!outcome.complete) return 'more';
  skipEntries(connection, cursor, { from: cursor.seen + 1, to: outcome.head, why: 'expired' }); // holes up to the head
  return 'all';
}

function writeOne(
  gateway: Gateway,
  connection: Connection,
  cursor: Cursor,
  { page, at }: { readonly page: Page; readonly at: number },
): PageOutcome | null {
  const { offset } = page.outcome.entries[at]!;
  if (offset <= cursor.seen) return null;
  skipEntries(connection, cursor, { from: cursor.seen + 1, to: offset - 1, why: 'expired' });
  if (isEnded(cursor, offset)) {
    cursor.seen = offset;
    return null;
  }
  const encoder = page.encoder(gateway, cursor, at);
  const why = encoder === null ? 'cancelled' : whyNot(cursor, encoder);
  if (encoder === null || why !== null) {
    skipEntries(connection, cursor, { from: offset, to: offset, why: why! });
    return null;
  }
  const room = offset > cursor.high ? windowOf(gateway, connection) : windowAgain(gateway, connection);
  if (!isWithinWindow(cursor, room)) return 'window';
  const written = writeEntry(gateway, connection, cursor, encoder);
  return written === 'written' ? null : written;
}

/** Why the client is not given an entry; null: it is. */
export function whyNot(cursor: Cursor, encoder: MessageEncoder): 'cancelled' | 'filtered' | null {
  if (encoder.record.tombstone) return 'cancelled';
  return cursor.filter === null || encoder.passes(cursor.filter) ? null : 'filtered';
}

/** The stream goes on under another epoch or from another place, and the client is told. */
function goOnElsewhere(gateway: Gateway, connection: Connection, cursor: Cursor, outcome: ReadOutcome): void {
  const claim = cursor.epoch === null ? null : { epoch: cursor.epoch, offset: cursor.seen };
  const state = settleStart(cursor.name, claim, { ...outcome, epoch: outcome.epoch! });
  changeUnacked(connection, -moveOn(cursor, state.epoch, outcome.from));
  if (cursor.lane === null) gateway.cursorFlush.note(connection);
  connection.send({ type: 'stream', state });
}

/** Whether the client may be given more of this stream now. */
export function mayRead(gateway: Gateway, connection: Connection, cursor: Cursor): boolean {
  if (connection.phase !== 'live' || connection.full) return false;
  const room = cursor.seen < cursor.high ? windowAgain(gateway, connection) : windowOf(gateway, connection);
  return hasRoom(cursor, room);
}
