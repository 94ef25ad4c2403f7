// The bounds that a store enforces by itself, taken from protocol/limits.ts. Tests open a store with smaller ones, so that every
// limit is met at and past it without writing megabytes or waiting for days.
import { LIMITS } from '../protocol/limits.ts';

/** Bounds of streams, of what is remembered, and of one read. Each is a key of LIMITS. */
export interface StoreLimits {
  readonly deviceStreamEntriesMax: number;
  readonly deviceStreamBytesMax: number;
  readonly topicStreamEntriesMax: number;
  readonly topicStreamBytesMax: number;
  readonly topicStreamAgeMs: number;
  /** Redis remembers between once and twice this many ids, SQLite exactly so many. */
  readonly duplicateWindowEntries: number;
  /** Redis remembers an id for once to twice this long, SQLite exactly so long. */
  readonly duplicateWindowMs: number;
  readonly idempotencyWindowMs: number;
  readonly epochHistoryMax: number;
  readonly readEntriesMax: number;
  readonly readBytesMax: number;
  readonly messageKeptMs: number;
  /** Redis: of one bucket; SQLite: of one device. */
  readonly deadLettersMax: number;
  readonly deadLetterKeptMs: number;
  readonly groupMembersMax: number;
  /**
   * Redis: what was cut short between two slots is finished by the sweep so long after; whoever is at it has ended long before. What a
   * topic remembers of one that left outlives the device's row by as long, always that of LIMITS.
   */
  readonly cutShortMs: number;
}

export const STORE_LIMITS: StoreLimits = LIMITS;

/** A closed device is remembered this long: no permission lives longer (tokens 30 days at most, and a day to spare). */
export const CLOSED_DEVICE_MS = 31 * 24 * 3_600_000;
