// What a gateway counts, as plain numbers: an increment costs nothing on the hot path, and metrics.ts reads them at a scrape.
import type { CloseName } from '../protocol/codes.ts';

/** Why a socket was refused before it became a WebSocket connection. */
export type RefusalReason = 'full' | 'not-ready' | 'draining' | 'subprotocol';

export class Counts {
  accepted = 0;
  readonly refused: Record<RefusalReason, number> = { full: 0, 'not-ready': 0, draining: 0, subprotocol: 0 };
  /** By name of the close code; `client`: the client or the network ended it. */
  readonly closed = new Map<CloseName | 'client', number>();
  /** Sessions opened by token and by ticket since boot. */
  opened = 0;
  resumed = 0;
  deliveredDurable = 0;
  deliveredLive = 0;
  /** Live messages not written because the client was slow. */
  droppedLive = 0;
  /** Live messages that came after a newer one of the same router. */
  outdatedLive = 0;
  /** Times a durable stream was held back because the client was slow. */
  heldBack = 0;
  /** Records on a link or in the store that could not be read. */
  invalidRecords = 0;
  unacked = 0;
  acks = 0;
  resends = 0;
  storeReads = 0;
  storeReadsFailed = 0;
  /** Positions that had fallen behind without a hint, found by the position check. */
  positionsBehind = 0;
  settles = 0;
  cursorsSaved = 0;
  upstreamTaken = 0;
  /** Upstream messages kept in files, of these handed to the bus later, and repeats that were known. */
  upstreamBuffered = 0;
  upstreamReplayed = 0;
  upstreamRepeats = 0;
  /** Pages of backlogs written, and pages put off with a time to come back. */
  backlogPages = 0;
  backlogPutOff = 0;
  pulls = 0;
  pullsRefused = 0;
  readonly hints = { taken: 0, notHere: 0, slow: 0 };
  framesIn = 0;

  countClosed(name: CloseName | 'client'): void {
    this.closed.set(name, (this.closed.get(name) ?? 0) + 1);
  }
}
