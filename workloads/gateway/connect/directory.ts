// The directory: who is at this gateway. Apps, their devices (one connection each) and their channels; and all connections in
// one list that drain.ts and position-check.ts walk in slices. accept.ts, connect.ts and leave.ts keep it.
import type { AppId, DeviceId, TopicName } from '../../protocol/ids.ts';
import { Channel } from '../delivery/channel.ts';
import type { Connection } from './connection.ts';
import { EarlyHints } from './early-hints.ts';

/** Sets of topic patterns remembered for each app, so that sessions share one list; a fresh list is used beyond it. */
const PATTERN_SETS_MAX = 256;

export class AppHere {
  readonly app: AppId;
  readonly devices = new Map<DeviceId, Connection>();
  /** Sessions being opened: the store may name this gateway before we know. */
  readonly opening = new Map<DeviceId, EarlyHints>();
  readonly channels = new Map<TopicName, Channel>();
  readonly #patterns = new Map<string, readonly string[]>();

  constructor(app: AppId) {
    this.app = app;
  }

  /** The channel of a topic, made when it is not there. */
  channel(topic: TopicName): Channel {
    let channel = this.channels.get(topic);
    if (channel === undefined) this.channels.set(topic, (channel = new Channel(this.app, topic)));
    return channel;
  }
  /** One session fewer holds a position there; the last one takes the channel along. */
  release(channel: Channel): void {
    if (--channel.members === 0) this.channels.delete(channel.topic);
  }
  /** A connection begins to open a session of a device. */
  beginOpening(device: DeviceId, connection: Connection): void {
    let hints = this.opening.get(device);
    if (hints === undefined) this.opening.set(device, (hints = new EarlyHints()));
    hints.attempts.add(connection);
  }
  /** It is done with that, however it ended. Answers the highest generation that attempts had once the last one has ended, else 0. */
  endOpening(device: DeviceId, connection: Connection): number {
    const hints = this.opening.get(device);
    if (hints?.attempts.delete(connection) !== true || hints.attempts.size > 0) return 0;
    this.opening.delete(device);
    return hints.generation;
  }
  /** The same list for equal lists. */
  sharePatterns(topics: readonly string[]): readonly string[] {
    const key = topics.join('\n');
    const known = this.#patterns.get(key);
    if (known !== undefined) return known;
    if (this.#patterns.size < PATTERN_SETS_MAX) this.#patterns.set(key, topics);
    return topics;
  }
}

export class Directory {
  readonly #apps = new Map<AppId, AppHere>();
  readonly #connections: Connection[] = [];
  /** Connections that were welcomed and are not being closed. */
  sessions = 0;

  /** Every open connection, in any phase; one that is closed leaves only once its socket is gone, later. Over several turns, walk it from the end: one that leaves is replaced by the last, which has been seen then. */
  get connections(): readonly Connection[] {
    return this.#connections;
  }
  find(app: AppId): AppHere | null {
    return this.#apps.get(app) ?? null;
  }
  app(app: AppId): AppHere {
    let here = this.#apps.get(app);
    if (here === undefined) this.#apps.set(app, (here = new AppHere(app)));
    return here;
  }
  *channels(): Generator<Channel> {
    for (const app of this.#apps.values()) yield* app.channels.values();
  }

  add(connection: Connection): void {
    connection.index = this.#connections.length;
    this.#connections.push(connection);
  }
  remove(connection: Connection): void {
    const at = connection.index;
    if (at === -1) return;
    connection.index = -1;
    const last = this.#connections.pop()!;
    if (last === connection) return;
    this.#connections[at] = last;
    last.index = at;
  }
}
