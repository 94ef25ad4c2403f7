// A channel: one topic at this gateway, and the cursors that hear it. fanout.ts loops over them for each message; a session joins
// when its position is known (recovery.ts) and leaves in O(1), so that a disconnect never costs what the topic's audience costs.
import type { AppId, Epoch, TopicName } from '../protocol/ids.ts';
import type { Connection } from './connection.ts';
import type { Cursor, HeardStream } from './cursor.ts';
import { isNewerLive } from './live-order.ts';

export interface Hearer {
  readonly cursor: Cursor;
  readonly connection: Connection;
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
  /** Parallel lists: the fan-out reads both in order, without an object for each pair. */
  readonly cursors: Cursor[] = [];
  readonly connections: Connection[] = [];

  constructor(app: AppId, topic: TopicName) {
    this.app = app;
    this.topic = topic;
  }

  /** From now on the cursor is given what comes. */
  join(cursor: Cursor, connection: Connection): void {
    if (cursor.hearer !== -1) return;
    cursor.hearer = this.cursors.length;
    this.cursors.push(cursor);
    this.connections.push(connection);
  }

  leave(cursor: Cursor): void {
    const at = cursor.hearer;
    if (at === -1) return;
    cursor.hearer = -1;
    const lastCursor = this.cursors.pop()!;
    const lastConnection = this.connections.pop()!;
    if (lastCursor === cursor) return;
    this.cursors[at] = lastCursor;
    this.connections[at] = lastConnection;
    lastCursor.hearer = at;
  }

  /** False for a live message older than one that was passed on already, whichever router or path brought it. */
  admitsLive(stamp: number): boolean {
    if (!isNewerLive(stamp, this.liveStamp)) return false;
    this.liveStamp = stamp;
    return true;
  }
}
