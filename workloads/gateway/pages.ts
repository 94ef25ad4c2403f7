// What was read from the store → frames of one client, in order, within its window and its outbox. recovery.ts calls it with the first
// page of a session, stream-reader.ts with the others.
import { InvalidRecordError } from '../protocol/record.ts';
import type { ReadOutcome, StreamEntry } from '../store/port.ts';
import type { Connection } from './connection.ts';
import { hasRoom, hear, place } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import { MessageEncoder } from './encode.ts';
import type { Gateway } from './gateway.ts';
import { settleStart } from './start.ts';
import { writeEntry } from './write-entry.ts';

/** A page with an encoder for each entry, so that clients that share a read share the encoding. */
export class Page {
  readonly outcome: ReadOutcome;
  readonly #encoders: (MessageEncoder | null | undefined)[] = [];

  constructor(outcome: ReadOutcome) {
    this.outcome = outcome;
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

/** What stopped it: nothing, the page's end before the stream's, the window, the outbox. */
export type PageOutcome = 'all' | 'more' | 'window' | 'slow';

/** Writes as much of a page as the client may have now. */
export function writePage(gateway: Gateway, connection: Connection, cursor: Cursor, page: Page): PageOutcome {
  const { outcome } = page;
  const { epoch, entries } = outcome;
  if (epoch === null) return 'all';
  if (cursor.epoch !== null && cursor.epoch !== epoch && cursor.inFlight > 0) {
    hear(cursor.stream, epoch, outcome.head); // read again once what is under way is acked: acks name no epoch
    return 'window';
  }
  if (cursor.epoch !== epoch || outcome.notRecovered !== null) moveTo(gateway, connection, cursor, outcome);
  for (let i = 0; i < entries.length; i++) {
    const { offset } = entries[i]!;
    if (offset <= cursor.seen) continue;
    if (cursor.inFlight >= gateway.settings.windowMessagesMax && offset > cursor.high) return 'window';
    const encoder = page.encoder(gateway, cursor, i);
    if (encoder === null) cursor.seen = offset;
    else if (writeEntry(gateway, connection, cursor, { epoch, offset, encoder }) === 'slow') return 'slow';
  }
  if (!outcome.complete) return 'more';
  hear(cursor.stream, epoch, outcome.head);
  cursor.seen = Math.max(cursor.seen, outcome.head); // holes up to the head are passed
  return 'all';
}

/** The stream goes on under another epoch or from another place, and the client is told. */
function moveTo(gateway: Gateway, connection: Connection, cursor: Cursor, outcome: ReadOutcome): void {
  const claim = cursor.epoch === null ? null : { epoch: cursor.epoch, offset: cursor.seen };
  const state = settleStart(cursor.name, claim, { ...outcome, epoch: outcome.epoch! });
  gateway.counts.unacked -= cursor.inFlight;
  place(cursor, state.epoch, { offset: outcome.from, acked: outcome.from });
  connection.send({ type: 'stream', state });
}

/** Whether the client may be given more of this stream now. */
export function mayRead(gateway: Gateway, connection: Connection, cursor: Cursor): boolean {
  return connection.phase === 'live' && !connection.full && hasRoom(cursor, gateway.settings.windowMessagesMax);
}
