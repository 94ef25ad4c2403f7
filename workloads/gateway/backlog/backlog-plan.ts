// What becomes of what a device missed when it comes back: read at once, fed at a pace, kept until the client asks, or left where it is.
// Pure. backlog.ts asks when a session opens; start.ts then says where each stream goes on.
import type { HelloFrame, StreamState } from '../../protocol/frames.ts';
import type { Lane, StreamName } from '../../protocol/streams.ts';
import type { LaneState } from '../../store/port.ts';
import type { Place, ServerCursor } from '../connect/start.ts';
import { stateOf } from '../connect/start.ts';

/**
 * Why a stream is not read like any other. `feed`: its backlog is fed by the drainer's budget. `pull`: the client asks for what it missed;
 * once it has all, the stream goes on by itself. `parked`: the client does not want this lane now, and is given what it asks for.
 */
export type HoldReason = 'feed' | 'pull' | 'parked';

/** How a session wants what it missed. */
export interface HoldPlan {
  /** Of lanes: fed, since more waits than is read at once. */
  readonly feed: boolean;
  readonly pull: boolean;
  /** Lanes that the client named; null: all. */
  readonly lanes: readonly Lane[] | null;
}

/** What a hello and the store say → the plan; null: everything is read at once, as for nearly every session. */
export function planHolds(
  hello: Pick<HelloFrame, 'offline' | 'lanes'>,
  missing: { readonly entries: number; readonly threshold: number },
): HoldPlan | null {
  const feed = missing.entries > missing.threshold;
  const pull = hello.offline === 'pull';
  const lanes = hello.lanes ?? null;
  return feed || pull || lanes !== null ? { feed, pull, lanes } : null;
}

/** Why a stream is held: a lane, or a topic (null); null: it is not. */
export function holdReason(plan: HoldPlan, lane: Lane | null): HoldReason | null {
  if (lane !== null && plan.lanes !== null && !plan.lanes.includes(lane)) return 'parked';
  if (plan.pull) return 'pull';
  return plan.feed && lane !== null ? 'feed' : null;
}

/** Entries of a lane that the client lacks, at most: what it claims it has. */
export function missingOf(lane: LaneState, claim: Place | null): number {
  const { epoch, head, held } = lane;
  return claim !== null && claim.epoch === epoch ? Math.min(held, Math.max(0, head - claim.offset)) : held;
}

/**
 * Where a stream goes on, said without a read; null: only the store can say. A lane holds everything above its server's cursor, so
 * that within its epoch this is what a read would answer; of a topic a position may be trimmed, and then the read says so before
 * any message of it goes out.
 */
export function guessStart(
  name: StreamName,
  known: { readonly claim: Place | null; readonly server: ServerCursor; readonly head: Place | null },
): StreamState | null {
  const { claim, server, head } = known;
  if (head === null) return null;
  const from = server === 'start' ? null : server;
  if (claim !== null) {
    const isHeld = claim.epoch === head.epoch && claim.offset <= head.offset;
    const isKept = from !== null && from.epoch === head.epoch && from.offset <= claim.offset;
    return isHeld && isKept ? stateOf(name, claim, null) : null;
  }
  if (from === null || from.epoch !== head.epoch || from.offset > head.offset) return null;
  return stateOf(name, from, 'no-position');
}
