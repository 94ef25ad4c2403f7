// Entries of one cursor that have ended above the first one that has not (R4): acked by id, filtered, expired, cancelled, dead. Kept as
// ranges, sorted and apart from each other, and only for cursors that have any. cursor.ts takes in those that the cursor reaches.

/** Why an entry needs no ack any more. */
export type EndedWhy = 'acked' | 'filtered' | 'expired' | 'cancelled' | 'dead';

/** Offsets `from` … `to`, both included, which ended for one reason. */
export interface EndedRange {
  readonly from: number;
  to: number;
  readonly why: EndedWhy;
}

/** How many of the offsets within `from` … `to` are in ranges. */
export function countEnded(ranges: readonly EndedRange[], from: number, to: number): number {
  let count = 0;
  for (const range of ranges) {
    if (range.from > to) break;
    count += Math.max(0, Math.min(range.to, to) - Math.max(range.from, from) + 1);
  }
  return count;
}

/** The range that holds an offset. */
export function rangeAt(ranges: readonly EndedRange[], offset: number): EndedRange | null {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle]!;
    if (offset < range.from) high = middle - 1;
    else if (offset > range.to) low = middle + 1;
    else return range;
  }
  return null;
}

/** Adds `from` … `to`; what had ended before keeps its reason. Answers the ranges that were new. Cost: one pass. */
export function addEnded(ranges: EndedRange[], from: number, to: number, why: EndedWhy): EndedRange[] {
  const fresh: EndedRange[] = [];
  let at = from;
  let i = ranges.findIndex((range) => range.to >= from);
  if (i === -1) i = ranges.length;
  while (at <= to) {
    const next = ranges[i];
    if (next !== undefined && next.from <= at) {
      at = next.to + 1;
      i++;
      continue;
    }
    const end = next === undefined ? to : Math.min(to, next.from - 1);
    const before = ranges[i - 1];
    fresh.push({ from: at, to: end, why });
    if (before !== undefined && before.why === why && before.to === at - 1) before.to = end;
    else ranges.splice(i++, 0, { from: at, to: end, why });
    at = end + 1;
  }
  return fresh;
}
