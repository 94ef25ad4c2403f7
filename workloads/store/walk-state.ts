// What the model of a walk (walk-model.ts) knows, as plain data that can be copied: devices with their streams and cursors, topics, dead
// letters, and what the ledger must say.
import type { DeadLetter, EndState, TopicCursor } from './port.ts';
import type { DeviceId, Epoch, MessageId, TopicName } from '../protocol/ids.ts';
import type { Lane } from '../protocol/streams.ts';

export interface ModelStream {
  head: number;
  /** The store's life in which it was written last. */
  life: number;
  epochs: { epoch: Epoch; first: number }[];
}
export interface ModelEntry {
  readonly id: MessageId;
  readonly offset: number;
  readonly expiresAtMs: number;
  readonly collapseKey: string | null;
}
export interface ModelDelivery extends ModelEntry {
  state: 'waiting' | EndState;
  readonly satisfies: boolean;
}
export interface ModelLane extends ModelStream {
  floor: number;
  deliveries: ModelDelivery[];
  /** Accepted and dead at once. */
  overflowed: Map<MessageId, number>;
  attempts: { offset: number; n: number } | null;
}
export interface ModelTopic extends ModelStream {
  entries: (ModelEntry & { tombstone: boolean })[];
}
export interface ModelDevice {
  /** Null: not registered. */
  account: string | null;
  /** As of the last session; it rises when the device leaves its account. */
  generation: number;
  lanes: Map<Lane, ModelLane>;
  cursors: Map<TopicName, TopicCursor>;
}
export type ModelLetter = Pick<
  DeadLetter,
  'device' | 'account' | 'stream' | 'messageId' | 'epoch' | 'offset' | 'state'
>;
export interface Counts {
  accepted: number;
  acked: number;
  expired: number;
  dead: number;
  cancelled: number;
  filtered: number;
}
export interface WalkState {
  life: number;
  devices: Map<DeviceId, ModelDevice>;
  topics: Map<TopicName, ModelTopic>;
  letters: Map<string, ModelLetter>;
  counts: Counts;
}

/** Whether its time has passed: the store may have ended it already, or does when it next looks. */
export function isDue(entry: ModelEntry, nowMs: number): boolean {
  return entry.expiresAtMs > 0 && entry.expiresAtMs <= nowMs;
}
export function epochAt(stream: ModelStream, offset: number): Epoch {
  return stream.epochs.findLast(({ first }) => first <= Math.max(offset, 1))!.epoch;
}
/** The last offset of an epoch; null: it is not one of the stream's. */
export function endOfEpoch(stream: ModelStream, epoch: Epoch): number | null {
  const index = stream.epochs.findIndex((span) => span.epoch === epoch);
  if (index < 0) return null;
  const next = stream.epochs[index + 1];
  return next === undefined ? stream.head : next.first - 1;
}
export function letterKey(letter: Pick<DeadLetter, 'device' | 'stream' | 'epoch' | 'offset'>): string {
  return `${letter.device} ${letter.stream} ${letter.epoch} ${letter.offset}`;
}

export function byTopic(a: { readonly topic: string }, b: { readonly topic: string }): number {
  return a.topic < b.topic ? -1 : 1;
}
