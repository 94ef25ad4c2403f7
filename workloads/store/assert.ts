// Bounds that callers of the store keep to; past one is a bug of the caller, which rejects with RangeError and changes nothing.
import type { Append, EntrySettle, Job, MessageChunk, Subscription } from './port.ts';
import { LIMITS } from '../protocol/limits.ts';

const KEY_CHARS_MAX = 128;
const REASON_CHARS_MAX = 200;

export function assertAppends(appends: readonly Append[]): void {
  for (const { collapseKey } of appends)
    if (collapseKey !== undefined) assertWithin('collapse key', collapseKey.length, 1, KEY_CHARS_MAX);
}
export function assertEntrySettles(settles: readonly EntrySettle[]): void {
  for (const { reason } of settles)
    if (reason !== undefined) assertWithin('reason', reason.length, 0, REASON_CHARS_MAX);
}
export function assertSubscriptions(topics: readonly Subscription[]): void {
  for (const { filter } of topics)
    if (filter !== undefined && filter !== null)
      assertWithin('filter', Buffer.byteLength(filter), 0, LIMITS.filterBytesMax);
}
export function assertChunks(chunks: readonly MessageChunk[]): void {
  for (const { names } of chunks) assertWithin('names of a chunk', names.length, 0, LIMITS.chunkRecipientsMax);
}
export function assertJobs(jobs: readonly Job[]): void {
  for (const { id, payload } of jobs) {
    assertWithin('id of a job', id.length, 1, KEY_CHARS_MAX);
    assertPayload(payload);
  }
}
export function assertPayload(payload: Uint8Array | undefined): void {
  if (payload !== undefined) assertWithin('payload of a job', payload.length, 0, LIMITS.jobBytesMax);
}

function assertWithin(what: string, got: number, min: number, max: number): void {
  if (got < min || got > max) throw new RangeError(`${what}: expected ${min}–${max}, got ${got}`);
}
