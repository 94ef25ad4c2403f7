// Whether a session is as its gateway believes: its route and the heads of its lanes. sqlite-store.ts asks it inside a tick's transaction.
import type { Parts } from './parts.ts';
import type { LaneHead, SessionCheck, SessionState } from '../port.ts';

/** Null: it is so. */
export function checkSession({ sessions, streams }: Parts, check: SessionCheck): SessionState | null {
  const { app, device, generation, bootId } = check;
  const route = sessions.route(app, device);
  const heads = streams.lanes(app, device).map(({ lane, epoch, head }) => ({ lane, epoch: epoch!, head }));
  const isSo = route?.generation === generation && route.bootId === bootId && areSame(heads, check.heads);
  return isSo ? null : { route, heads };
}

function areSame(these: readonly LaneHead[], those: readonly LaneHead[]): boolean {
  if (these.length !== those.length) return false;
  return these.every(({ lane, epoch, head }, i) => {
    const other = those[i]!;
    return lane === other.lane && epoch === other.epoch && head === other.head;
  });
}
