// Which chunks of a list are done. Routers do spans of a list side by side and after crashes once more, so a count that is added to would
// be wrong: each chunk has a mark, set as often as one likes. Pure; the Lua of redis/scripts/messages.ts does the same.
import type { ChunkRange, Message } from './port.ts';

type Marked = Pick<Message, 'chunks' | 'chunksDone' | 'chunkMarks'>;

export function isChunkDone(row: Marked, index: number): boolean {
  return row.chunkMarks === '' ? index < row.chunksDone : row.chunkMarks[index] === '1';
}

/** The first chunk of the range that is not done; `range.to`: all of them are. */
export function firstChunkToDo(row: Marked, range: ChunkRange): number {
  for (let index = range.from; index < range.to; index++) if (!isChunkDone(row, index)) return index;
  return range.to;
}

/** The same with the chunks of the range done; those that were before count once. */
export function withChunksDone(row: Marked, range: ChunkRange): Pick<Message, 'chunksDone' | 'chunkMarks'> {
  const chunkMarks = Array.from({ length: row.chunks }, (_, index) =>
    (index >= range.from && index < range.to) || isChunkDone(row, index) ? '1' : '0',
  ).join('');
  return { chunkMarks, chunksDone: chunkMarks.replaceAll('0', '').length };
}
