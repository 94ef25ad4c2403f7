// A session: who a connection speaks for and its cursors, one for each stream it has a position on. Kept small, since there is one
// for each idle client: names and topic patterns are shared, the map of cursors exists only for sessions with many.
import type { AccountId, AppId, DeviceId } from '../../protocol/ids.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { Cursor } from '../endings/cursor.ts';
import type { SessionBacklog } from '../backlog/session-backlog.ts';

/** Up to so many cursors are found by looking at each. */
const LINEAR_MAX = 8;

export interface Permission {
  readonly app: AppId;
  readonly account: AccountId;
  readonly device: DeviceId;
  /** Topic patterns it may subscribe to. */
  readonly topics: readonly string[];
  /** The app wants to know when it comes and goes. */
  readonly presence: boolean;
  /** When the device's permission began, seconds since 1970. */
  readonly issuedAtS: number;
}

export class Session {
  readonly permission: Permission;
  /** Raised once more when the route had to be opened again (route-check.ts). */
  generation: number;
  /** When the newest ticket was handed out, ms. */
  ticketAtMs = 0;
  /** A newer session of the device stands: acks no longer count (R8). */
  superseded = false;
  /** Let in by its signature alone: the store does not know of it yet (provisional.ts). */
  provisional = false;
  /** Of the newest live message to the device (R11). */
  liveStamp = 0;
  /** Streams of it that are fed, pulled or parked (backlog.ts); null: none. */
  backlog: SessionBacklog | null = null;
  readonly #cursors: Cursor[] = [];
  #byName: Map<StreamName, Cursor> | null = null;

  constructor(permission: Permission, generation: number) {
    this.permission = permission;
    this.generation = generation;
  }

  get cursors(): readonly Cursor[] {
    return this.#cursors;
  }

  find(name: StreamName): Cursor | null {
    if (this.#byName !== null) return this.#byName.get(name) ?? null;
    for (const cursor of this.#cursors) if (cursor.name === name) return cursor;
    return null;
  }

  add(cursor: Cursor): void {
    this.#cursors.push(cursor);
    if (this.#byName !== null) this.#byName.set(cursor.name, cursor);
    else if (this.#cursors.length > LINEAR_MAX) this.#byName = new Map(this.#cursors.map((c) => [c.name, c]));
  }

  remove(cursor: Cursor): void {
    const at = this.#cursors.indexOf(cursor);
    if (at === -1) return;
    const last = this.#cursors.pop()!;
    if (last !== cursor) this.#cursors[at] = last;
    this.#byName?.delete(cursor.name);
  }

  /** Deliveries written and not acked, over all its streams. */
  inFlight(): number {
    let sum = 0;
    for (const cursor of this.#cursors) sum += cursor.inFlight;
    return sum;
  }
}
