// The position check (R1): the last hint of a stream can be lost, and nothing after it would show the gap. Every positionCheckMs the heads
// of all streams here are compared with the store, in slices, pipelined, jittered. role.ts starts it; it
// never overlaps itself. Each slice has its routes confirmed as well (route-check.ts).
import { LANES } from '../../protocol/streams.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { StreamHead, StreamRef } from '../../store/port.ts';
import type { Channel } from './channel.ts';
import type { Connection } from '../connect/connection.ts';
import { hear, isBehind } from '../endings/cursor.ts';
import { laneCursor } from './deliver.ts';
import type { Gateway } from '../gateway.ts';
import { checkRoutes } from '../connect/route-check.ts';

/** Slices of one round: with 25 s and 18,000 sessions each asks for 900 sessions' lanes. */
const SLICES = 20;
/** Heads asked for in one call. */
const HEADS_PER_CALL = 600;

type Subject = { readonly channel: Channel } | { readonly connection: Connection; readonly lane: Lane };

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
      await this.#check(sessions, channels);
      await checkRoutes(
        this.#gateway,
        sessions.filter(({ phase }) => phase === 'live'),
      );
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
  async #check(sessions: readonly Connection[], channels: readonly Channel[]): Promise<void> {
    const subjects: Subject[] = [
      ...channels.map((channel) => ({ channel })),
      ...sessions.flatMap((connection) => LANES.map((lane) => ({ connection, lane }))),
    ];
    for (let i = 0; i < subjects.length; i += HEADS_PER_CALL) {
      const batch = subjects.slice(i, i + HEADS_PER_CALL);
      const heads = await this.#gateway.store.heads(batch.map(refOfSubject));
      batch.forEach((subject, n) => {
        if ('channel' in subject) this.#compareChannel(subject.channel, heads[n]!);
        else this.#compareLane(subject.connection, subject.lane, heads[n]!);
      });
    }
  }

  #compareChannel(channel: Channel, { epoch, head }: StreamHead): void {
    if (epoch === null) return;
    hear(channel, epoch, head);
    for (const { cursors, connections } of channel.groups())
      cursors.forEach((cursor, i) => {
        if (cursor.reading || !isBehind(cursor)) return;
        if (!this.#gateway.backlog.takes(connections[i]!, cursor)) this.#gateway.counts.positionsBehind++;
        this.#gateway.reader.want(connections[i]!, cursor, 'now');
      });
  }

  #compareLane(connection: Connection, lane: Lane, { epoch, head }: StreamHead): void {
    if (epoch === null || connection.phase !== 'live') return;
    if (head === 0 && connection.session!.find(`@${lane}`) === null) return;
    const cursor = laneCursor(connection, lane);
    hear(cursor.stream, epoch, head);
    if (cursor.reading || !isBehind(cursor) || this.#gateway.backlog.takes(connection, cursor)) return;
    this.#gateway.counts.positionsBehind++;
    this.#gateway.reader.want(connection, cursor, 'now');
  }
}

function refOfSubject(subject: Subject): StreamRef {
  if ('channel' in subject) return { app: subject.channel.app, kind: 'topic', topic: subject.channel.topic };
  const { app, device } = subject.connection.session!.permission;
  return { app, kind: 'device', device, lane: subject.lane };
}
