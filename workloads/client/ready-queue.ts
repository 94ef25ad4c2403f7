// What waits for the application: higher lanes first, then topics, then `@low`, in order within each stream. inbox.ts fills it,
// delivery.ts takes from it by way of the inbox.
import { laneOf } from '../protocol/streams.ts';
import type { Lane, StreamName } from '../protocol/streams.ts';
import type { InboxItem } from './inbox.ts';

const RANK_OF_LANE: Readonly<Record<Lane, number>> = { high: 0, normal: 1, low: 3 };
const RANK_OF_TOPIC = 2;
const RANKS = 4;

function rankOf(stream: StreamName): number {
  const lane = laneOf(stream);
  return lane === null ? RANK_OF_TOPIC : RANK_OF_LANE[lane];
}

export class ReadyQueue {
  readonly #ready: InboxItem[][] = Array.from({ length: RANKS }, () => []);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: InboxItem): void {
    this.#ready[rankOf(item.stream)]!.push(item);
    this.#size++;
  }

  /**
   * Takes up to `limit` items. One that may not go yet holds back those behind it in its stream, and nothing else; it is asked about all
   * the same, as are those behind it, so that whoever is asked can prepare them.
   * Cost: O(limit) while everything may go, else O(size).
   */
  take(limit: number, mayGo: (item: InboxItem) => boolean): InboxItem[] {
    const out: InboxItem[] = [];
    for (let rank = 0; rank < RANKS && out.length < limit; rank++) {
      const ready = this.#ready[rank]!;
      if (ready.length > 0) this.#ready[rank] = takeFrom(ready, { limit, mayGo, out });
    }
    this.#size -= out.length;
    return out;
  }

  /** Takes the items of a stream that have a place; live ones stay. */
  remove(stream: StreamName): InboxItem[] {
    const ready = this.#ready[rankOf(stream)]!;
    const isOut = (item: InboxItem): boolean => item.stream === stream && item.place !== null;
    const removed = ready.filter(isOut);
    this.#ready[rankOf(stream)] = ready.filter((item) => !isOut(item));
    this.#size -= removed.length;
    return removed;
  }
}

/** Moves what may go to `out`; answers what stays, in order. */
function takeFrom(
  ready: InboxItem[],
  { limit, mayGo, out }: { limit: number; mayGo: (item: InboxItem) => boolean; out: InboxItem[] },
): InboxItem[] {
  let i = 0;
  while (i < ready.length && out.length < limit && mayGo(ready[i]!)) out.push(ready[i++]!);
  if (i === ready.length || out.length >= limit) {
    ready.splice(0, i);
    return ready;
  }
  const held = new Set<StreamName>();
  const stay: InboxItem[] = [];
  for (; i < ready.length; i++) {
    const item = ready[i]!;
    if (out.length >= limit) return [...stay, ...ready.slice(i)];
    if (mayGo(item) && !held.has(item.stream)) out.push(item);
    else {
      held.add(item.stream);
      stay.push(item);
    }
  }
  return stay;
}
