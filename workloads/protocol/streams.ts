// Streams and positions: how a client and a gateway name what has been received.
// A device's own streams are called `@<lane>` on the wire to the client (the account behind them stays with the
// server: another account on the same device opens new streams); a topic's stream has the topic's name.
import { parseTopicName } from './ids.ts';
import type { Epoch, TopicName } from './ids.ts';

/** Lanes of a device's stream, highest priority first. Each is an ordered stream of its own. */
export const LANES = ['high', 'normal', 'low'] as const;
export type Lane = (typeof LANES)[number];
export const LANE_DEFAULT: Lane = 'normal';

/** What a client calls a stream: `@high`, `@normal`, `@low`, or a topic's name. */
export type StreamName = `@${Lane}` | TopicName;

/** Everything up to and including `offset` of this epoch is with the client. Offset 0: nothing yet. */
export interface Position {
  readonly stream: StreamName;
  readonly epoch: Epoch;
  readonly offset: number;
}

/** Why a position could not be continued; the client is then given all that the stream still holds. */
export type NotRecoveredReason =
  | 'epoch-unknown' // the epoch is not in the stream's history
  | 'trimmed' // entries after the position are gone (bounds of the topic, age)
  | 'ahead' // the position lies beyond its epoch's end (the store lost its tail)
  | 'no-position'; // the client named none: it starts here

/** `@normal` → lane; a topic's name → null. */
export function laneOf(stream: StreamName): Lane | null {
  return stream.charCodeAt(0) === 64 ? (stream.slice(1) as Lane) : null;
}

/** Text to stream name; throws InvalidNameError for what is neither a lane nor a topic. */
export function parseStreamName(value: unknown, field = 'stream'): StreamName {
  if (value === '@normal' || value === '@high' || value === '@low') return value;
  return parseTopicName(value, field, true);
}
