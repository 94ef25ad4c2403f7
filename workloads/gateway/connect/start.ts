// Where a stream goes on when a session opens it: from what the client claims, what the server's cursor says, and the head (R3, R8).
// Pure. recovery.ts calls planStart first, reads the store where that says so, and then asks settleStart with what came.
import type { StreamState } from '../../protocol/frames.ts';
import type { Epoch } from '../../protocol/ids.ts';
import type { NotRecoveredReason, StreamName } from '../../protocol/streams.ts';

export interface Place {
  readonly epoch: Epoch;
  readonly offset: number;
}
/** The server's cursor: a place; `start`: subscribed before anything was written, so all that is there is owed; null: none was ever kept. */
export type ServerCursor = Place | 'start' | null;

export interface StartKnown {
  /** What the client says it holds. */
  readonly claim: Place | null;
  readonly server: ServerCursor;
  /** The stream as it stands; null: never written. */
  readonly head: Place | null;
}
export type StartPlan =
  /** Nobody has written it: there is nothing to say until somebody does. */
  | { readonly kind: 'unwritten' }
  /** It goes on here, and nothing is missing. */
  | { readonly kind: 'here'; readonly at: Place; readonly reason: NotRecoveredReason | null }
  /** Only the store can say: read after this place. */
  | { readonly kind: 'read'; readonly after: Place | null };

/** Decides without the store where that is possible, which spares a read for every stream that is up to date. */
export function planStart({ claim, server, head }: StartKnown): StartPlan {
  if (head === null) return { kind: 'unwritten' };
  if (claim !== null)
    return isSame(claim, head) ? { kind: 'here', at: head, reason: null } : { kind: 'read', after: claim };
  if (server === 'start') return { kind: 'read', after: null };
  if (server === null || isSame(server, head)) return { kind: 'here', at: head, reason: 'no-position' };
  return { kind: 'read', after: server };
}

/** What a read said about the place asked for, as StreamState and as where the cursor starts. */
export function settleStart(
  stream: StreamName,
  claim: Place | null,
  read: { readonly epoch: Epoch; readonly from: number; readonly notRecovered: NotRecoveredReason | null },
): StreamState {
  const reason = read.notRecovered ?? (claim === null ? 'no-position' : null);
  return stateOf(stream, { epoch: read.epoch, offset: read.from }, reason);
}

export function stateOf(stream: StreamName, at: Place, reason: NotRecoveredReason | null): StreamState {
  const { epoch, offset } = at;
  return reason === null
    ? { stream, epoch, offset, recovered: true }
    : { stream, epoch, offset, recovered: false, reason };
}

function isSame(a: Place, b: Place): boolean {
  return a.epoch === b.epoch && a.offset === b.offset;
}
