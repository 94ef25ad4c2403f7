// Upstream, record by record: what devices were told is taken against what a handler got. Each once; in order for each order key. Pure.
import { readFileSync } from 'node:fs';
import type { UpstreamLine } from './talk.ts';

/** A message as the handler got it: the body that talk.ts sends. */
export interface HandledUpstream {
  readonly k: string;
  readonly device: string;
  readonly order: string | null;
  readonly number: number;
}
export interface UpstreamComparison {
  /** Taken, so owed. */
  readonly owed: number;
  readonly handled: number;
  readonly lost: readonly UpstreamLine[];
  /** Keys that were handled more than once. */
  readonly doubled: readonly string[];
  /** Handled after a later one of the same order key. */
  readonly outOfOrder: number;
  /** Nobody sent them. */
  readonly strangers: number;
}

/** @param handled in the order in which the handler got them */
export function compareUpstream(
  sent: readonly UpstreamLine[],
  handled: readonly HandledUpstream[],
): UpstreamComparison {
  const known = new Set(sent.map(({ key }) => key));
  const times = new Map<string, number>();
  const highest = new Map<string, number>();
  let outOfOrder = 0;
  let strangers = 0;
  for (const { k, device, order, number } of handled) {
    const seen = times.get(k) ?? 0;
    times.set(k, seen + 1);
    if (!known.has(k)) strangers++;
    if (seen > 0) continue;
    const place = order ?? device;
    if (number < (highest.get(place) ?? -1)) outOfOrder++;
    else highest.set(place, number);
  }
  const owed = sent.filter(({ takenMs }) => takenMs !== null);
  return {
    owed: owed.length,
    handled: times.size,
    lost: owed.filter(({ key }) => !times.has(key)),
    doubled: [...times].filter(([, count]) => count > 1).map(([key]) => key),
    outOfOrder,
    strangers,
  };
}

export function readUpstreamLog(file: string): UpstreamLine[] {
  const rows = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return rows.map((row) => JSON.parse(row) as UpstreamLine);
}
