// A channel: one topic at this gateway, and the cursors that hear it. fanout.ts loops over them for each message; a session joins
// when its position is known (recovery.ts) and leaves in O(1), so that a disconnect never costs what the topic's audience costs.
import type { AppId, Epoch, TopicName } from '../../protocol/ids.ts';
import type { Connection } from '../connect/connection.ts';
import type { Cursor, HeardStream } from '../endings/cursor.ts';
import type { Filter } from './filter.ts';
import { isNewerLive } from './live-order.ts';
import type { Tail } from './tail.ts';

/** Hearers that want the same of a topic. Parallel lists: the fan-out reads both in order, without an object for each pair. */
export class Hearers {
  readonly cursors: Cursor[] = [];
  readonly connections: Connection[] = [];

  join(cursor: Cursor, connection: Connection): void {
    cursor.hearer = this.cursors.length;
    this.cursors.push(cursor);
    this.connections.push(connection);
  }

  leave(cursor: Cursor): void {
    const at = cursor.hearer;
    cursor.hearer = -1;
    const lastCursor = this.cursors.pop()!;
    const lastConnection = this.connections.pop()!;
    if (lastCursor === cursor) return;
    this.cursors[at] = lastCursor;
    this.connections[at] = lastConnection;
    lastCursor.hearer = at;
  }
}

export class Channel implements HeardStream {
  readonly app: AppId;
  readonly topic: TopicName;
  epoch: Epoch | null = null;
  head = 0;
  /** Head read from the store; until then a hint may have been missed. */
  synced: Promise<void> | null = null;
  /** Sessions that hold a position here, hearing or still recovering. */
  members = 0;
  /** Of the newest live message; older ones are not passed on (R11). */
  liveStamp = 0;
  /** Those who want everything: the fan-out's plain loop. */
  readonly all = new Hearers();
  /** Those who want a part, by filter; null: nobody does. */
  filtered: Map<Filter, Hearers> | null = null;
  /** The newest entries, for who is behind by a few (tail.ts). */
  tail: Tail | null = null;

  constructor(app: AppId, topic: TopicName) {
    this.app = app;
    this.topic = topic;
  }

  /** From now on the cursor is given what comes, as far as its filter wants it. */
  join(cursor: Cursor, connection: Connection): void {
    if (cursor.hearer !== -1) return;
    this.#groupOf(cursor.filter).join(cursor, connection);
  }

  leave(cursor: Cursor): void {
    if (cursor.hearer === -1) return;
    if (cursor.filter === null) return this.all.leave(cursor);
    const group = this.filtered!.get(cursor.filter)!;
    group.leave(cursor);
    if (group.cursors.length > 0) return;
    this.filtered!.delete(cursor.filter);
    if (this.filtered!.size === 0) this.filtered = null;
  }

  /** All groups of hearers, with what they want. */
  *groups(): Generator<Hearers> {
    yield this.all;
    if (this.filtered !== null) yield* this.filtered.values();
  }

  /** False for a live message older than one that was passed on already, whichever router or path brought it. */
  admitsLive(stamp: number): boolean {
    if (!isNewerLive(stamp, this.liveStamp)) return false;
    this.liveStamp = stamp;
    return true;
  }

  #groupOf(filter: Filter | null): Hearers {
    if (filter === null) return this.all;
    this.filtered ??= new Map();
    let group = this.filtered.get(filter);
    if (group === undefined) this.filtered.set(filter, (group = new Hearers()));
    return group;
  }
}
