// The history of a stream's epochs (R3), pure. Offsets go on through epochs: an epoch is the run of offsets from its first to
// the one before the next epoch's first. The Lua of redis/scripts/ does the same; contract.ts holds both to it.
import type { Epoch } from '../protocol/ids.ts';
import type { NotRecoveredReason } from '../protocol/streams.ts';

export interface EpochSpan {
  readonly epoch: Epoch;
  /** Its first offset. */
  readonly first: number;
}
/** Oldest first; never empty. */
export type EpochHistory = readonly EpochSpan[];

/** Opens an epoch at `first`; past `max` the oldest is forgotten and its offsets count to the one after it. */
export function openEpoch(history: EpochHistory, span: EpochSpan, max: number): EpochHistory {
  const longer = [...history, span];
  while (longer.length > max) longer.splice(0, 2, { epoch: longer[1]!.epoch, first: longer[0]!.first });
  return longer;
}

export function presentEpoch(history: EpochHistory): Epoch {
  return history.at(-1)!.epoch;
}

/** Where the epoch at `index` ends: its last offset. */
export function epochEnd(history: EpochHistory, index: number, head: number): number {
  const next = history[index + 1];
  return next === undefined ? head : next.first - 1;
}

/** The index of the epoch that an offset belongs to. */
export function epochIndexOf(history: EpochHistory, offset: number): number {
  for (let i = history.length - 1; i > 0; i--) if (offset >= history[i]!.first) return i;
  return 0;
}

export interface Start {
  /** Entries above this offset are the reader's. */
  readonly above: number;
  readonly notRecovered: NotRecoveredReason | null;
}

/**
 * Where a reader starts.
 * @param stream `floor`: nothing at or under it is to be read any more (settled for a device, trimmed for a topic)
 */
export function startOf(
  stream: { history: EpochHistory; head: number; floor: number; trims: boolean },
  after: { readonly epoch: Epoch; readonly offset: number } | null,
): Start {
  const { history, head, floor, trims } = stream;
  if (after === null) return { above: floor, notRecovered: 'no-position' };
  const index = history.findIndex((span) => span.epoch === after.epoch);
  if (index < 0) return { above: floor, notRecovered: 'epoch-unknown' };
  const end = epochEnd(history, index, head);
  if (after.offset > end) return { above: Math.max(end, floor), notRecovered: 'ahead' };
  // Offset 0 of a later epoch means nothing of it: its own start.
  const reached = index === 0 ? after.offset : Math.max(after.offset, history[index]!.first - 1);
  if (trims && reached < floor) return { above: floor, notRecovered: 'trimmed' };
  return { above: Math.max(reached, floor), notRecovered: null };
}

/** Whether everything up to `offset` of `epoch` can have been received: the epoch is known and reaches that far. */
export function isWithin(history: EpochHistory, head: number, position: { epoch: Epoch; offset: number }): boolean {
  const index = history.findIndex((span) => span.epoch === position.epoch);
  return index >= 0 && position.offset <= epochEnd(history, index, head);
}
