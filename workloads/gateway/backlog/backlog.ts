// Sessions that come back to more than is read at once, that pull, or that want some lanes only: their streams are held, and go on by pages
// asked for here instead of reads of their own (stream-reader.ts asks first). So a mass return costs the store what the drainers' budget
// says, and this gateway what it has left beside live traffic (load/headroom.ts): what is live goes out meanwhile wherever it continues a
// position. feed-line.ts says whose turn it is, page-source.ts gets the pages.
import type { ErrorCode } from '../../protocol/codes.ts';
import type { HelloFrame, PullFrame, StreamState } from '../../protocol/frames.ts';
import { LANES, laneOf } from '../../protocol/streams.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { ReadOutcome } from '../../store/port.ts';
import { guessStart, planHolds } from './backlog-plan.ts';
import type { HoldReason } from './backlog-plan.ts';
import type { FeedTurn } from './feed-line.ts';
import { Rates } from './rates.ts';
import type { Connection } from '../connect/connection.ts';
import { Cursor, isBehind } from '../endings/cursor.ts';
import type { Gateway } from '../gateway.ts';
import { Page, mayRead, writePage } from '../delivery/pages.ts';
import type { PageOutcome } from '../delivery/pages.ts';
import { checkRoutes } from '../connect/route-check.ts';
import { SessionBacklog } from './session-backlog.ts';
import type { StartKnown } from '../connect/start.ts';
import { PAGE_ENTRIES, isOtherLog, refOf } from '../delivery/stream-reader.ts';
import { windowOf } from '../endings/window.ts';

type Later = { readonly kind: 'later'; readonly retryAfterMs: number };
type Paged =
  | Later
  | { readonly kind: 'written'; readonly outcome: PageOutcome; readonly sent: number; readonly read: number };

const PULL_AGAIN_MS = 500;
const PULL_STORE_AWAY_MS = 5000;
const CONFIRM_AGAIN_MS = 1000;

export class Backlog {
  readonly #gateway: Gateway;
  readonly #rates: Rates<SessionBacklog>;
  /** Sessions that are being fed. */
  #feeding = 0;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    this.#rates = new Rates({
      firstReadsPerSecond: gateway.settings.recoveryReadsPerSecond,
      share: gateway.headroom.share,
      nowMs: gateway.clock.monotonicMs(),
      expected: (backlog) => this.#expected(backlog),
    });
  }

  /** Sessions whose backlog is being fed. */
  get sessions(): number {
    return this.#feeding;
  }
  /** Of these, those that wait until the gateway has room for their next page. */
  get inLine(): number {
    return this.#rates.line.waiting;
  }
  /** Messages asked for and not there yet. */
  get underWay(): number {
    return this.#rates.line.underWay;
  }

  /** Rates follow the headroom, and the line moves on. */
  tick(): void {
    const { headroom, clock } = this.#gateway;
    const nowMs = clock.monotonicMs();
    this.#rates.follow(headroom.share, nowMs);
    this.#moveOn(nowMs);
    if (this.#rates.line.waiting > 0) headroom.want();
  }

  // ---- while a session opens

  /** Before its streams are opened: what it asked for, and how much it is behind. */
  begin(connection: Connection, hello: HelloFrame, missingEntries: number): void {
    const threshold = this.#gateway.settings.backlogThreshold;
    const plan = planHolds(hello, { entries: missingEntries, threshold });
    if (plan !== null) connection.session!.backlog = new SessionBacklog(connection, plan);
  }

  /**
   * A stream would have to be read before its state is known: whether it is held instead, and then its state where that can be said. What
   * opens beyond the rate of first reads is held as well, however small: so a mass return does not reach the store at once.
   */
  holdBack(
    connection: Connection,
    name: StreamName,
    known: StartKnown,
  ): { readonly reason: HoldReason; readonly state: StreamState | null } | null {
    const reason = connection.session!.backlog?.reasonFor(name) ?? null;
    if (reason !== null) return { reason, state: guessStart(name, known) };
    if (this.#rates.takeFirstRead(this.#gateway.clock.monotonicMs())) return null;
    const state = laneOf(name) === null ? null : guessStart(name, known);
    if (state !== null) return { reason: 'feed', state };
    this.#rates.owedFirstRead(); // only the store can say: it counts nevertheless
    return null;
  }

  /** The stream lives, and goes on through here. */
  hold(connection: Connection, cursor: Cursor, reason: HoldReason): void {
    const backlog = (connection.session!.backlog ??= new SessionBacklog(connection, null));
    const wasFeeding = backlog.isFeeding;
    backlog.hold(cursor, reason);
    cursor.parked = reason === 'parked';
    this.#count(wasFeeding, backlog);
  }

  /** Lanes that nobody has written yet, and that the client does not want, stay away as well. */
  parkRest(connection: Connection): void {
    const session = connection.session!;
    const { backlog } = session;
    for (const lane of LANES) {
      if (backlog === null || !backlog.parks(lane)) continue;
      let cursor = session.find(`@${lane}`);
      if (cursor === null) session.add((cursor = new Cursor(`@${lane}`, { epoch: null, head: 0 })));
      this.hold(connection, cursor, 'parked');
    }
  }

  // ---- while it lives

  /** A cursor is behind and has room: true when that is dealt with here. */
  takes(connection: Connection, cursor: Cursor): boolean {
    const { backlog } = connection.session!;
    const reason = backlog?.reasonOf(cursor) ?? null;
    if (backlog === null || reason === null) return false;
    if (reason === 'feed') this.goOn(connection);
    else if (cursor.seen < cursor.high) void this.#writeAgain(backlog, cursor);
    return true;
  }

  /** Asks for the next page of the lane whose turn it is, unless one is under way or it is too early. */
  goOn(connection: Connection): void {
    const { backlog } = connection.session!;
    if (backlog === null || this.#nextOf(backlog) === null) return;
    this.#rates.line.join(backlog);
    this.#moveOn(this.#gateway.clock.monotonicMs());
  }

  /** The lane of which a page may be asked for now; null: none. */
  #nextOf(backlog: SessionBacklog): Cursor | null {
    const { shedding } = this.#gateway;
    const { connection } = backlog;
    if (backlog.isWaiting || connection.session?.backlog !== backlog) return null;
    if (shedding.holdsBack || shedding.intakePaused) return null; // it asks everyone once that is over
    const cursor = backlog.nextFed();
    if (cursor === null || backlog.asking.has(cursor)) return null;
    return mayRead(this.#gateway, connection, cursor) ? cursor : null;
  }

  /** A slow client is given what it may have under way: what is read beyond that is read in vain. */
  #room(connection: Connection, cursor: Cursor): number {
    return Math.max(1, Math.min(PAGE_ENTRIES, windowOf(this.#gateway, connection) - cursor.out));
  }

  /** Messages in the next page of a session, by what is known of its lane. */
  #expected(backlog: SessionBacklog): number {
    const cursor = this.#nextOf(backlog);
    if (cursor === null) return 0;
    const room = this.#room(backlog.connection, cursor);
    return cursor.epoch === cursor.stream.epoch ? Math.max(1, Math.min(room, cursor.stream.head - cursor.seen)) : room;
  }

  #moveOn(nowMs: number): void {
    for (let turn = this.#rates.line.next(nowMs); turn !== null; turn = this.#rates.line.next(nowMs))
      void this.#feed(turn);
  }

  /** The client asks for what it missed of one stream. */
  async pull(connection: Connection, { id, stream, max }: PullFrame): Promise<void> {
    const { backlog, provisional } = connection.session!;
    if (provisional) return refusePull(connection, id, { code: 'store-unavailable', retryAfterMs: PULL_STORE_AWAY_MS });
    const cursor = connection.session!.find(stream);
    const reason = cursor === null ? null : (backlog?.reasonOf(cursor) ?? null);
    const answer = (sent: number, left: boolean): void => connection.send({ type: 'pulled', id, stream, sent, left });
    if (cursor === null || backlog === null || reason === null) return answer(0, false);
    if (backlog.asking.has(cursor))
      return refusePull(connection, id, { code: 'rate-limited', retryAfterMs: PULL_AGAIN_MS });
    // What is fed comes by itself, and a full window waits for acks.
    if (reason === 'feed' || !mayRead(this.#gateway, connection, cursor)) return answer(0, true);
    const { counts } = this.#gateway;
    const putOffMs = this.#putOffPull(cursor, max);
    if (putOffMs !== null) {
      counts.pullsRefused++;
      return refusePull(connection, id, { code: 'overloaded', retryAfterMs: putOffMs });
    }
    const done = await this.#page(backlog, cursor, max);
    if (done === null) return;
    if (done.kind === 'later') {
      counts.pullsRefused++;
      return refusePull(connection, id, { code: 'overloaded', retryAfterMs: done.retryAfterMs });
    }
    counts.pulls++;
    const left = done.outcome !== 'all' || isBehind(cursor);
    if (!left && reason === 'pull') this.#release(backlog, cursor);
    answer(done.sent, left);
  }

  /** The session ends. */
  leave(connection: Connection): void {
    const backlog = connection.session?.backlog ?? null;
    if (backlog === null) return;
    this.#gateway.wheel.cancel(backlog);
    this.#rates.line.leave(backlog);
    if (backlog.isFeeding) this.#feeding--;
    connection.session!.backlog = null;
  }

  /** Null: it is taken. Otherwise when to come back. */
  #putOffPull(cursor: Cursor, max: number): number | null {
    const { clock, random, headroom } = this.#gateway;
    const entries = Math.max(1, Math.min(max, cursor.stream.head - cursor.seen));
    const waitMs = this.#rates.putOffPull(entries, clock.monotonicMs());
    if (waitMs === null) return null;
    headroom.want();
    return Math.ceil(waitMs * (1 + random()));
  }

  async #feed(turn: FeedTurn<SessionBacklog>): Promise<void> {
    const { wheel, counts } = this.#gateway;
    const backlog = turn.who;
    const cursor = this.#nextOf(backlog)!;
    const done = await this.#page(backlog, cursor, this.#room(backlog.connection, cursor));
    this.#rates.line.end(turn, done?.kind === 'written' ? done.read : 0);
    if (done === null) return;
    if (done.kind === 'later') {
      counts.backlogPutOff++;
      wheel.schedule(backlog, wheel.nowMs + done.retryAfterMs);
      return;
    }
    counts.backlogPages++;
    if (done.outcome !== 'all' && done.outcome !== 'more') return; // an ack, the socket or a dead letter asks again
    if (done.outcome === 'all' && !isBehind(cursor)) this.#release(backlog, cursor);
    this.goOn(backlog.connection);
  }

  /** What was pulled and not acked in time: as much as had been written, and no more. */
  async #writeAgain(backlog: SessionBacklog, cursor: Cursor): Promise<void> {
    if (!backlog.asking.has(cursor))
      await this.#page(backlog, cursor, Math.min(PAGE_ENTRIES, cursor.high - cursor.seen));
  }

  /** Gets a page and writes what the client may have of it; null: nobody waits for it any more. */
  async #page(backlog: SessionBacklog, cursor: Cursor, entriesMax: number): Promise<Paged | null> {
    const { connection } = backlog;
    const { app, device } = connection.session!.permission;
    const { stream } = cursor;
    const knownHead = stream.head;
    cursor.reading = true; // hints wait for it
    backlog.asking.add(cursor);
    const after = cursor.epoch === null ? null : { epoch: cursor.epoch, offset: cursor.seen };
    const read = { stream: refOf(connection, cursor), after, entriesMax };
    const answer = await this.#gateway.pages.ask({ app, device, read });
    const later = answer.kind === 'page' ? await this.#confirm(connection, cursor, answer.outcome) : answer;
    backlog.asking.delete(cursor);
    const reason = isLive(connection) && connection.session!.backlog === backlog ? backlog.reasonOf(cursor) : null;
    if (reason === null) return null;
    cursor.reading = false;
    if (later !== null || answer.kind !== 'page') return later;
    const { outcome } = answer;
    // A head that only a hint told, before we asked, and that the store does not have, is gone.
    if (outcome.complete && stream.head === knownHead && stream.epoch === outcome.epoch) stream.head = outcome.head;
    const { counts } = this.#gateway;
    const before = counts.deliveredDurable;
    const written = writePage(this.#gateway, connection, cursor, new Page(outcome));
    return {
      kind: 'written',
      outcome: written,
      sent: counts.deliveredDurable - before,
      read: outcome.entries.length,
    };
  }

  /** A lane under another epoch may be another account's (R8): then the store says whose session this is before anything is written. */
  async #confirm(connection: Connection, cursor: Cursor, outcome: ReadOutcome): Promise<Later | null> {
    if (!isOtherLog(cursor, outcome) || !isLive(connection)) return null;
    try {
      await checkRoutes(this.#gateway, [connection]);
      return null;
    } catch (error) {
      this.#gateway.log.warn({ stream: cursor.name, problem: String(error) }, 'backlog not confirmed, again later');
      return { kind: 'later', retryAfterMs: CONFIRM_AGAIN_MS };
    }
  }

  /** The stream goes on like any other. */
  #release(backlog: SessionBacklog, cursor: Cursor): void {
    const wasFeeding = backlog.isFeeding;
    backlog.release(cursor);
    this.#count(wasFeeding, backlog);
    if (backlog.isEmpty && backlog.plan === null) backlog.connection.session!.backlog = null;
    if (isBehind(cursor)) this.#gateway.reader.want(backlog.connection, cursor, 'now');
  }

  #count(wasFeeding: boolean, backlog: SessionBacklog): void {
    this.#feeding += Number(backlog.isFeeding) - Number(wasFeeding);
  }
}

function isLive({ phase }: Connection): boolean {
  return phase === 'live';
}

function refusePull(connection: Connection, id: number, more: { code: ErrorCode; retryAfterMs: number }): void {
  connection.send({ type: 'error', id, message: 'expected to be asked later', ...more });
}
