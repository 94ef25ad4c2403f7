// What one session is behind by and how it gets it: the streams that are held, in the order in which they are fed, and the wait for the
// next try. backlog.ts acts on it; nearly every session has none.
import { WheelEntry } from '../../runtime/wheel.ts';
import { LANES, laneOf } from '../../protocol/streams.ts';
import type { Lane } from '../../protocol/streams.ts';
import { holdReason } from './backlog-plan.ts';
import type { HoldPlan, HoldReason } from './backlog-plan.ts';
import type { Connection } from '../connect/connection.ts';
import type { Cursor } from '../endings/cursor.ts';

export class SessionBacklog extends WheelEntry {
  readonly connection: Connection;
  /** How the session opened; null: it did not ask for anything, and was not far behind. */
  readonly plan: HoldPlan | null;
  readonly #held = new Map<Cursor, HoldReason>();
  /** Cursors whose page is under way. */
  readonly asking = new Set<Cursor>();

  constructor(connection: Connection, plan: HoldPlan | null) {
    super();
    this.connection = connection;
    this.plan = plan;
  }

  /** It told a drainer's time to come back. */
  get isWaiting(): boolean {
    return this.wheelNext !== null;
  }
  get isEmpty(): boolean {
    return this.#held.size === 0;
  }
  get isFeeding(): boolean {
    return this.nextFed() !== null;
  }

  hold(cursor: Cursor, why: HoldReason): void {
    this.#held.set(cursor, why);
  }
  release(cursor: Cursor): void {
    this.#held.delete(cursor);
  }
  reasonOf(cursor: Cursor): HoldReason | null {
    return this.#held.get(cursor) ?? null;
  }
  /** Why a stream of this name is to be held. */
  reasonFor(name: Cursor['name']): HoldReason | null {
    return this.plan === null ? null : holdReason(this.plan, laneOf(name));
  }
  parks(lane: Lane): boolean {
    return this.plan !== null && this.plan.lanes !== null && !this.plan.lanes.includes(lane);
  }

  /** The lane whose turn it is: a lower one waits until those above have caught up. */
  nextFed(): Cursor | null {
    let best: Cursor | null = null;
    for (const [cursor, why] of this.#held)
      if (why === 'feed' && (best === null || rankOf(cursor) < rankOf(best))) best = cursor;
    return best;
  }

  due(): void {
    this.connection.gateway.backlog.goOn(this.connection);
  }
}

function rankOf({ name }: Cursor): number {
  return LANES.indexOf(laneOf(name)!);
}
