// A long list is split: its job puts one for each span of chunks, and any router takes some of those, so that several expand it side by side,
// and a router that dies leaves its spans, and no more, to the others. A list is accepted with one job: whoever dies while it puts the spans
// leaves that one, and what was put is found by its name. expansion.ts runs both.
import { firstChunkToDo } from '../../store/chunk-marks.ts';
import type { ChunkRange, Job, Message } from '../../store/port.ts';

/**
 * Chunks of a span: 10,000 recipients. That is 0.2 s of a router and a store that have nothing else to do and ten times that when gateways
 * want the cores too; routers look for jobs about once a second, so a list of 100,000 lasts until all have found it. A group is hardly ever
 * longer than one. Two at once in a router hide the end of one, where its waves run dry: 2.2 s for 100,000 in place of 2.5 s one by one.
 */
export const SPAN_CHUNKS = 20;

/** Null: it is done in one piece. Otherwise spans alike in length: 24 chunks are twice 12. */
export function spansOf({ chunks }: Pick<Message, 'chunks'>): readonly ChunkRange[] | null {
  if (chunks <= SPAN_CHUNKS) return null;
  const size = Math.ceil(chunks / Math.ceil(chunks / SPAN_CHUNKS));
  return Array.from({ length: Math.ceil(chunks / size) }, (_, i) => ({
    from: i * size,
    to: Math.min(chunks, (i + 1) * size),
  }));
}

/** The jobs of the spans that are not done. */
export function spanJobs(row: Message, spans: readonly ChunkRange[]): readonly Job[] {
  return spans.filter((span) => firstChunkToDo(row, span) < span.to).map((span) => spanJob(row, span));
}

function spanJob({ app, id }: Message, { from, to }: ChunkRange): Job {
  const payload = Buffer.from(JSON.stringify({ id, from, to }));
  return { id: `span-${id}-${from}`, app, kind: 'span', dueAtMs: 0, claims: 0, payload };
}

/** What a job of kind 'span' is about. */
export function rangeOfJob(job: Pick<Job, 'payload'>): ChunkRange {
  return JSON.parse(Buffer.from(job.payload).toString()) as ChunkRange;
}
