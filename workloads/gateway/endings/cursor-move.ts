// What a session's topic cursors have that the store's rows have not, as the moves that say so (R12): from where the row stands to where
// the cursor is, and of what lies between how much ended otherwise than acked. Pure. cursor-flush.ts sends them and says when they arrived.
import type { TopicName } from '../../protocol/ids.ts';
import type { CursorMove, CursorMoves } from '../../store/port.ts';
import type { Cursor } from './cursor.ts';
import type { Session } from '../connect/session.ts';

/** One session's moves, with the cursors they are of. */
export interface PreparedMoves {
  readonly session: Session;
  readonly row: CursorMoves;
  readonly cursors: readonly Cursor[];
}

/** Whether the store's row is behind. Attempts are worth a write once they pass one, or when the session ends. */
export function isUnsaved(cursor: Cursor, ending: boolean): boolean {
  if (cursor.lane !== null || cursor.epoch === null) return false;
  if (cursor.acked > cursor.saved || cursor.unstored) return true;
  return cursor.attempts !== cursor.attemptsSaved && (ending || cursor.attempts > 1);
}

export function prepareMoves(session: Session, ending: boolean): PreparedMoves {
  const { app, device } = session.permission;
  const cursors = session.cursors.filter((cursor) => isUnsaved(cursor, ending));
  return { session, row: { app, device, generation: session.generation, topics: cursors.map(moveOf) }, cursors };
}

function moveOf(cursor: Cursor): CursorMove {
  const { epoch, saved, acked, attempts, detail } = cursor;
  const tally = detail?.tally;
  return {
    topic: cursor.name as TopicName,
    epoch,
    from: saved,
    offset: Math.max(saved, acked),
    filtered: tally?.filtered ?? 0,
    expired: tally?.expired ?? 0,
    cancelled: tally?.cancelled ?? 0,
    dead: tally?.dead ?? 0,
    attempts,
  };
}

/** The store has these moves. */
export function noteSaved({ row, cursors }: PreparedMoves): void {
  row.topics.forEach((move, i) => {
    const cursor = cursors[i]!;
    if (cursor.saved !== move.from) return; // it was placed anew meanwhile, and counts from there
    cursor.saved = move.offset;
    if (cursor.epoch === move.epoch) cursor.unstored = false;
    if (Math.max(cursor.saved, cursor.acked) === move.offset) cursor.attemptsSaved = move.attempts;
    const tally = cursor.detail?.tally;
    if (tally === undefined) return;
    tally.filtered -= move.filtered;
    tally.expired -= move.expired;
    tally.cancelled -= move.cancelled;
    tally.dead -= move.dead;
  });
}
