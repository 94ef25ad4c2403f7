// The position check (R1): the last hint of a stream can be lost, and nothing after it would show the gap. Every positionCheckMs the heads
// of all streams here and the routes of all sessions are compared with the store, in slices, pipelined, jittered. role.ts starts it; it
// never overlaps itself, and store-return.ts asks for all of it sooner. It is most of what an idle gateway does, so a session is one item and
// one that is as it was is answered by a 0.
import { LANES } from '../../protocol/streams.ts';
import type { LaneHead, SessionCheck, SessionState, StreamHead } from '../../store/port.ts';
import type { Channel } from './channel.ts';
import type { Connection } from '../connect/connection.ts';
import { hear, isBehind } from '../endings/cursor.ts';
import type { Cursor } from '../endings/cursor.ts';
import { hearLane } from './deliver.ts';
import type { Gateway } from '../gateway.ts';
import { confirmRoute } from '../connect/route-check.ts';

/** Slices of one round: with 25 s and 18,000 sessions each asks for 900 of them. */
const SLICES = 20;
/** Channels or sessions asked for in one call. */
const ITEMS_PER_CALL = 600;
const LANE_STREAMS = LANES.map((lane) => ({ lane, name: `@${lane}` as const }));

export class PositionCheck {
  readonly #gateway: Gateway;
  #cancel: (() => void) | null = null;
  /** Where the walk over the connections is; it goes down, so that nobody is passed over when others leave. */
  #at = 0;
  #sliceSize = 1;
  #channels: Channel[] = [];

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  start(): void {
    const { clock, settings, random } = this.#gateway;
    const delayMs = (settings.positionCheckMs / SLICES) * (0.75 + 0.5 * random());
    this.#cancel = clock.after(delayMs, () => void this.#slice());
  }
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  async #slice(): Promise<void> {
    const sessions = this.#nextSessions();
    const channels = this.#channels.splice(0, Math.max(1, Math.ceil(this.#channels.length / SLICES)));
    try {
      await this.checkChannels(channels);
      await this.checkSessions(sessions);
    } catch (error) {
      this.#gateway.log.debug({ problem: String(error) }, 'positions not checked, again with the next round');
    }
    if (this.#cancel !== null) this.start();
  }

  #nextSessions(): Connection[] {
    const { connections } = this.#gateway.directory;
    if (this.#at <= 0) {
      this.#at = connections.length;
      this.#sliceSize = Math.max(1, Math.ceil(connections.length / SLICES));
      if (this.#channels.length === 0) this.#channels = [...this.#gateway.directory.channels()];
    }
    const end = Math.min(this.#at, connections.length);
    this.#at = end - this.#sliceSize;
    return connections.slice(Math.max(0, this.#at), end).filter((connection) => connection.phase === 'live');
  }

  /** Compares these now, and reads what is missing. Rejects as the store does. */
  async checkChannels(channels: readonly Channel[]): Promise<void> {
    for (let i = 0; i < channels.length; i += ITEMS_PER_CALL) {
      const batch = channels.slice(i, i + ITEMS_PER_CALL);
      const heads = await this.#gateway.store.heads(batch.map(({ app, topic }) => ({ app, kind: 'topic', topic })));
      batch.forEach((channel, n) => this.#compareChannel(channel, heads[n]!));
    }
  }

  /** The store answers only for sessions that are not as they seem from here. Rejects as the store does. */
  async checkSessions(sessions: readonly Connection[]): Promise<void> {
    for (let i = 0; i < sessions.length; i += ITEMS_PER_CALL) {
      const batch = sessions.slice(i, i + ITEMS_PER_CALL);
      const states = await this.#gateway.store.checkSessions(batch.map((connection) => checkOf(connection)));
      const confirmed: Promise<void>[] = [];
      batch.forEach((connection, n) => {
        if (connection.phase !== 'live') return;
        const state = states[n]!;
        this.#compareLanes(connection, state);
        if (state !== null) confirmed.push(confirmRoute(this.#gateway, connection, state.route));
      });
      await Promise.all(confirmed);
    }
  }

  /** Null: nothing new was heard, but what was heard before may not have been read. */
  #compareLanes(connection: Connection, state: SessionState | null): void {
    if (state === null) {
      for (const cursor of connection.session!.cursors) if (cursor.lane !== null) this.#catchUp(connection, cursor);
      return;
    }
    for (const head of state.heads) this.#catchUp(connection, hearLane(connection, head));
  }

  #compareChannel(channel: Channel, { epoch, head }: StreamHead): void {
    if (epoch === null) return;
    hear(channel, epoch, head);
    for (const { cursors, connections } of channel.groups())
      cursors.forEach((cursor, i) => this.#catchUp(connections[i]!, cursor));
  }

  #catchUp(connection: Connection, cursor: Cursor): void {
    if (cursor.reading || !isBehind(cursor) || this.#gateway.backlog.takes(connection, cursor)) return;
    this.#gateway.counts.positionsBehind++;
    this.#gateway.reader.want(connection, cursor, 'now');
  }
}

function checkOf(connection: Connection): SessionCheck {
  const { permission, generation, cursors } = connection.session!;
  const { app, device } = permission;
  const heads: LaneHead[] = [];
  if (cursors.length > 0)
    for (const { lane, name } of LANE_STREAMS) {
      const stream = connection.session!.find(name)?.stream;
      if (stream !== undefined && stream.epoch !== null) heads.push({ lane, epoch: stream.epoch, head: stream.head });
    }
  return { app, device, generation, bootId: connection.gateway.bootId, heads };
}
