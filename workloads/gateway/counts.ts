// What a gateway counts, as plain numbers: an increment costs nothing on the hot path, and metrics.ts reads them at a scrape.
import type { CloseName } from '../protocol/codes.ts';
import { PACE_STEPS } from './endings/pace.ts';

/** Why a socket was refused before it became a WebSocket connection. */
export type RefusalReason = 'full' | 'overloaded' | 'not-ready' | 'draining' | 'subprotocol';

export class Counts {
  accepted = 0;
  readonly refused: Record<RefusalReason, number> = {
    full: 0,
    overloaded: 0,
    'not-ready': 0,
    draining: 0,
    subprotocol: 0,
  };
  /** By name of the close code; `client`: the client or the network ended it. */
  readonly closed = new Map<CloseName | 'client', number>();
  /** Sessions opened by token and by ticket since boot. */
  opened = 0;
  resumed = 0;
  deliveredDurable = 0;
  deliveredLive = 0;
  /** Live messages not written because the client was slow: the oldest that waited for it. */
  droppedLive = 0;
  /** Those that waited for a slow client and were replaced by a newer one of their key. */
  conflatedLive = 0;
  /** Clients closed because they read nothing for long. */
  cutSlow = 0;
  /** Live messages that came after a newer one of the same router. */
  outdatedLive = 0;
  /** Times a durable stream was held back because the client was slow. */
  heldBack = 0;
  /** Records on a link or in the store that could not be read. */
  invalidRecords = 0;
  unacked = 0;
  acks = 0;
  nacks = 0;
  resends = 0;
  deadLetters = 0;
  /** Notices of dead letters that found no room while the store was away. */
  noticesDropped = 0;
  /** Messages written without their body to slow clients, and bodies that clients fetched. */
  idOnly = 0;
  fetched = 0;
  /** Entries ended for the other devices of an account. */
  satisfied = 0;
  satisfiedDropped = 0;
  /** Sessions at each step of pace.ts (at full width none is counted), and steps taken. */
  readonly paced: number[] = PACE_STEPS.map(() => 0);
  readonly paceSteps = { down: 0, up: 0 };
  /** Reads answered by the tail of a topic, and the bytes that all tails hold. */
  tailReads = 0;
  tailBytes = 0;
  storeReads = 0;
  storeReadsFailed = 0;
  /** Positions that had fallen behind without a hint, found by the position check. */
  positionsBehind = 0;
  settles = 0;
  /** Acks of lanes and rows of ended sessions that found no room while the store was away: their messages come again. */
  settlesDropped = 0;
  cursorsDropped = 0;
  cursorsSaved = 0;
  upstreamTaken = 0;
  /** Upstream messages kept in files, of these handed to the bus later, and repeats that were known. */
  upstreamBuffered = 0;
  upstreamReplayed = 0;
  upstreamRepeats = 0;
  /** Commands of clients asked of routers, and put off for want of one. */
  commands = 0;
  commandsPutOff = 0;
  /** Notices of devices that came or went, and those dropped since too many waited. */
  presenceTold = 0;
  presenceDropped = 0;
  /** Sessions let in by their signature alone. */
  provisional = 0;
  /** Pages of backlogs written, and pages put off with a time to come back. */
  backlogPages = 0;
  backlogPutOff = 0;
  pulls = 0;
  pullsRefused = 0;
  /** Live messages not sent since load is shed, hints of durable ones that wait, and changes of level or intake. */
  shed = 0;
  hintsHeld = 0;
  loadChanges = 0;
  /** Records of the bus, for this gateway and for others. */
  readonly broadcasts = { taken: 0, passed: 0 };
  readonly hints = { taken: 0, notHere: 0, slow: 0 };
  framesIn = 0;

  countClosed(name: CloseName | 'client'): void {
    this.closed.set(name, (this.closed.get(name) ?? 0) + 1);
  }
}
