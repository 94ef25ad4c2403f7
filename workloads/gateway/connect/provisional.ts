// Sessions that came while the store was away (R13): let in by the signature of their ticket or token alone. They hear what is live, and
// durable messages that were journalled (without a position; their stream brings them again). Once the store is back each is
// opened there, at a pace, and told where its streams go on; whoever lost the race for the generation is closed as superseded (R8).
import { isTopicAllowed } from '../../protocol/apps.ts';
import type { CloseName } from '../../protocol/codes.ts';
import type { HelloFrame } from '../../protocol/frames.ts';
import { TOPIC_ALL } from '../../protocol/ids.ts';
import { LANES, laneOf } from '../../protocol/streams.ts';
import type { Lane, StreamName } from '../../protocol/streams.ts';
import { TokenBucket } from '../../runtime/token-bucket.ts';
import type { Connection } from './connection.ts';
import { catchUp } from '../delivery/deliver.ts';
import { Cursor } from '../endings/cursor.ts';
import type { HeardStream } from '../endings/cursor.ts';
import type { Gateway } from '../gateway.ts';
import { releaseStream } from './leave.ts';
import { askStore, missingEntries, tellReplaced, withEveryone } from './open-session.ts';
import type { Opened, Opening } from './open-session.ts';
import { enliven, openStreams } from './recovery.ts';
import { Session } from './session.ts';
import type { Place } from './start.ts';
import { streamRequests } from './stream-requests.ts';
import { makeTicket } from './tickets.ts';
import { welcomeClient } from './welcome.ts';

export interface ProvisionalAttempt {
  readonly hello: HelloFrame;
  readonly opening: Opening;
  readonly resumed: boolean;
  /** The store had opened it, and went away before its streams were known. */
  readonly opened: Opened | null;
}
interface Pending {
  readonly hello: HelloFrame;
  readonly resumed: boolean;
  readonly sinceMs: number;
  opening: Opening;
}

/** Gateways do not come back to the store all at once: each begins within this time. */
const BEGIN_MS = 1000;
const RETRY_MS = 500;
const UNDER_WAY_MAX = 32;
const BURST_SECONDS = 0.1;

export class Provisional {
  readonly #gateway: Gateway;
  readonly #pending = new Map<Connection, Pending>();
  readonly #underWay = new Set<Connection>();
  readonly #bucket: TokenBucket;
  #notBeforeMs = 0;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    const { settings, clock } = gateway;
    this.#bucket = new TokenBucket({
      ratePerSecond: settings.acceptsPerSecond,
      burstSeconds: BURST_SECONDS,
      nowMs: clock.nowMs(),
    });
  }

  /** Sessions that the store is still to hear of. */
  get size(): number {
    return this.#pending.size;
  }

  /** Lets a client in by its signature. Answers why not. */
  open(connection: Connection, attempt: ProvisionalAttempt): CloseName | null {
    const { hello, resumed, opened } = attempt;
    const { permission } = attempt.opening;
    const opening = opened === null ? attempt.opening : { ...attempt.opening, expectGeneration: opened.generation };
    if (connection.session === null) {
      const generation = opening.expectGeneration ?? 0;
      if (!this.#replace(connection, attempt, generation)) return 'ticketStale';
      connection.session = new Session(permission, generation);
    }
    connection.session.provisional = true;
    this.#pending.set(connection, { hello, resumed, opening, sinceMs: this.#gateway.clock.nowMs() });
    this.#gateway.counts.provisional++;
    this.#hear(connection, hello);
    welcomeClient(connection, { resumed, streams: [] });
    return null;
  }

  /** The connection is gone. */
  forget(connection: Connection): void {
    this.#pending.delete(connection);
  }

  /** The store answers again. */
  storeIsBack(nowMs: number): void {
    if (this.#pending.size > 0)
      this.#gateway.log.info({ sessions: this.#pending.size }, 'provisional sessions to open');
    this.#notBeforeMs = nowMs + BEGIN_MS * this.#gateway.random();
  }

  /** Opens some, while the store is there. */
  tick(nowMs: number): void {
    if (this.#pending.size === 0 || !this.#gateway.state.storeReachable || nowMs < this.#notBeforeMs) return;
    for (const [connection, pending] of this.#pending) {
      if (this.#underWay.size >= UNDER_WAY_MAX) return;
      if (this.#underWay.has(connection)) continue;
      if (!this.#bucket.take(1, nowMs)) return;
      this.#underWay.add(connection);
      void this.#settle(connection, pending);
    }
  }

  /** An older connection of the device here ends. False: the ticket is an older one's. */
  #replace(connection: Connection, { opening, resumed }: ProvisionalAttempt, generation: number): boolean {
    const { app, device } = opening.permission;
    const { devices } = this.#gateway.directory.app(app);
    const older = devices.get(device);
    if (older !== undefined && older.session !== null) {
      if (resumed && older.session.generation > generation) return false;
      older.session.superseded = true;
      older.close(resumed ? 'superseded' : 'replaced');
    }
    devices.set(device, connection);
    return true;
  }

  /** What it held, it hears: live messages. Hints with a position wait for the store. */
  #hear(connection: Connection, hello: HelloFrame): void {
    const session = connection.session!;
    const { app, topics } = session.permission;
    const here = this.#gateway.directory.app(app);
    const wait = (cursor: Cursor): void => {
      cursor.reading = true;
      session.add(cursor);
    };
    for (const lane of LANES) wait(new Cursor(`@${lane}`, { epoch: null, head: 0 }));
    const names = new Set<StreamName>([TOPIC_ALL]);
    for (const { stream } of hello.positions ?? [])
      if (laneOf(stream) === null && isTopicAllowed(topics, stream)) names.add(stream);
    for (const name of names) {
      const channel = here.channel(name as typeof TOPIC_ALL);
      channel.members++;
      const cursor = new Cursor(name, channel);
      wait(cursor);
      channel.join(cursor, connection);
    }
  }

  async #settle(connection: Connection, pending: Pending): Promise<void> {
    try {
      await this.#openInStore(connection, pending);
    } catch (error) {
      this.#gateway.log.warn({ problem: String(error) }, 'provisional session not opened, again later');
      this.#notBeforeMs = this.#gateway.clock.nowMs() + RETRY_MS * (1 + this.#gateway.random());
    } finally {
      this.#underWay.delete(connection);
    }
  }

  async #openInStore(connection: Connection, pending: Pending): Promise<void> {
    const gateway = this.#gateway;
    const { hello, resumed } = pending;
    const { permission } = pending.opening;
    const answer = await this.#ask(pending);
    if (typeof answer === 'string') {
      if (answer === 'superseded' && isLive(connection)) connection.session!.superseded = true;
      connection.close(answer);
      return;
    }
    pending.opening = { ...pending.opening, expectGeneration: answer.generation }; // should the rest fail
    const { app, device } = permission;
    const leaveAgain = (): void =>
      gateway.departures.add({ app, device, generation: answer.generation, bootId: gateway.bootId });
    if (!isLive(connection)) return leaveAgain();
    connection.session!.generation = answer.generation;
    tellReplaced(gateway, permission, answer, resumed);
    const opened = await withEveryone(gateway, permission, answer);
    if (!isLive(connection)) return;
    const heard = heardOfLanes(connection.session!);
    for (const cursor of connection.session!.cursors.slice()) drop(gateway, connection, cursor);
    const claims = new Map<StreamName, Place>();
    for (const { stream, epoch, offset } of hello.positions ?? []) claims.set(stream, { epoch, offset });
    gateway.backlog.begin(connection, hello, missingEntries(connection, opened, claims));
    try {
      const streams = await openStreams(gateway, connection, streamRequests(opened, claims));
      if (!isLive(connection)) return;
      this.#pending.delete(connection);
      connection.session!.provisional = false;
      gateway.presence.note(connection.session!, true);
      connection.send({
        type: 'pong',
        ticket: makeTicket(gateway, connection),
        targets: gateway.targets.forResume(),
      });
      for (const { state } of streams) if (state !== null) connection.send({ type: 'stream', state });
      gateway.backlog.parkRest(connection);
      enliven(gateway, connection, streams);
      catchUp(gateway, connection, heard);
    } catch (error) {
      if (isLive(connection)) this.#hear(connection, hello);
      throw error;
    }
  }

  /** The session in the store, or why this connection ends. */
  async #ask(pending: Pending): Promise<Opened | CloseName> {
    const { store, bootId } = this.#gateway;
    const { app, device } = pending.opening.permission;
    let { opening } = pending;
    if (opening.expectGeneration === null || opening.expectGeneration === 0) {
      const info = await store.device(app, device);
      const route = info?.route ?? null;
      // Who came after us, and to the store, is newer, whoever asks it first.
      if (route !== null && route.connectedAtMs > pending.sinceMs && route.bootId !== bootId) return 'superseded';
      opening = { ...opening, expectGeneration: info === null ? null : info.generation };
    }
    let opened = await askStore(this.#gateway, opening);
    if (opened.kind === 'ticket-stale') {
      // Our own attempt may have got through when its answer was lost.
      const [route] = await store.routes(app, [device]);
      if (!route || route.bootId !== bootId || route.generation !== (opening.expectGeneration ?? 0) + 1)
        return 'superseded';
      opened = await askStore(this.#gateway, { ...opening, expectGeneration: route.generation });
    }
    if (opened.kind === 'opened') return opened;
    if (opened.kind === 'revoked') return 'revoked';
    return opened.kind === 'ticket-stale' ? 'superseded' : 'ticketStale';
  }
}

/** Hints were only heard while the store had not been asked, and may be of what its answer does not have. */
function heardOfLanes({ cursors }: Session): readonly (readonly [Lane, HeardStream])[] {
  return cursors.flatMap(({ lane, stream }) => (lane === null ? [] : [[lane, stream] as const]));
}
function drop(gateway: Gateway, connection: Connection, cursor: Cursor): void {
  connection.session!.remove(cursor);
  releaseStream(gateway, connection, cursor);
}
function isLive({ phase }: Connection): boolean {
  return phase === 'live';
}
