// Types of the store port about streams: appending, reading, and how deliveries end (port.ts has the operations).
import type { AppId, DeviceId, Epoch, GatewayName, MessageId, TopicName } from '../protocol/ids.ts';
import type { Lane, NotRecoveredReason, StreamName } from '../protocol/streams.ts';

/** A device's stream (of its present account) or a topic's. */
export type StreamRef =
  | { readonly app: AppId; readonly kind: 'device'; readonly device: DeviceId; readonly lane: Lane }
  | { readonly app: AppId; readonly kind: 'topic'; readonly topic: TopicName };

export interface Append {
  readonly stream: StreamRef;
  readonly messageId: MessageId;
  /** encodeRecord's bytes. */
  readonly record: Uint8Array;
  /** 0 = never. Entries past it are skipped by reads and swept. */
  readonly expiresAtMs: number;
  /** A full device stream: `refuse` (default), or accept and dead-letter this one at once (R6). */
  readonly overflow?: 'refuse' | 'dead-letter';
  /** An unsettled entry of the same key in this stream is cancelled (topics: becomes a tombstone). 1–128 characters. */
  readonly collapseKey?: string;
}
export type AppendOutcome =
  | {
      readonly kind: 'appended';
      readonly epoch: Epoch;
      readonly offset: number;
      /** The offset of the entry before it that the stream still held when this was appended; 0 when none. */
      readonly prev: number;
      /** True when this message id was in the stream already (offset is the first one's). */
      readonly duplicate: boolean;
    }
  /** Accepted and dead-lettered at once, since the stream was full; it took an offset, which no entry has. */
  | { readonly kind: 'dead'; readonly reason: 'stream-full' }
  | { readonly kind: 'refused'; readonly reason: 'stream-full' | 'device-unknown' };

export interface StreamHead {
  /** Null when the stream has never been written. */
  readonly epoch: Epoch | null;
  /** Last offset given out; 0 when none. */
  readonly head: number;
}

export interface StreamRead {
  readonly stream: StreamRef;
  /** Where the reader is. Null: it claims nothing (reads from the first entry held). */
  readonly after: { readonly epoch: Epoch; readonly offset: number } | null;
  /** 1 … LIMITS.readEntriesMax */
  readonly entriesMax: number;
}
export interface StreamEntry {
  readonly offset: number;
  /** The offset of the entry before it that this read would have returned (holes are not losses, R4); for the first: `from`. */
  readonly prev: number;
  readonly record: Uint8Array;
}
export interface ReadOutcome {
  /** The epoch that the entries belong to: the one asked for, or the next one of the history when that is exhausted. Null: never written. */
  readonly epoch: Epoch | null;
  /** Present only when the position could not be continued. */
  readonly notRecovered: NotRecoveredReason | null;
  /** Where the entries start: the position asked for when recovered; otherwise the offset before the first entry held. */
  readonly from: number;
  readonly entries: readonly StreamEntry[];
  /** Last offset given out in the stream. */
  readonly head: number;
  /** True when nothing is held after the entries returned. */
  readonly complete: boolean;
}

/** The device has persisted everything up to `offset`. */
export interface Settle {
  readonly app: AppId;
  readonly device: DeviceId;
  readonly lane: Lane;
  readonly epoch: Epoch;
  readonly offset: number;
  /** The session's; an older one than the device's present session is ignored (R8). */
  readonly generation: number;
  /** Where the session is, for the trace of what this settles. */
  readonly gateway: GatewayName;
}
export interface SettleOutcome {
  /** False: an older generation or epoch; nothing was done. */
  readonly counted: boolean;
  /** Of the entries this settled, those whose record says `satisfiedByAny`: the caller settles them for the account's other devices. */
  readonly satisfied: readonly MessageId[];
}

/** How a delivery of a device stream ended. `satisfied`: another device of the account acked (counted as cancelled). */
export type EndState = 'acked' | 'dead' | 'expired' | 'cancelled' | 'satisfied' | 'filtered';

/** Ends one entry, wherever it stands in its stream (R4); the entries before it stay. */
export interface EntrySettle {
  readonly app: AppId;
  readonly device: DeviceId;
  readonly lane: Lane;
  /** By id within the duplicate window, or by place. */
  readonly entry: { readonly messageId: MessageId } | { readonly epoch: Epoch; readonly offset: number };
  /** `dead` keeps the record as a dead letter, in the same step (R9). */
  readonly state: Exclude<EndState, 'expired'>;
  /** The session's (older ones are ignored, R8); null: whoever asks does not speak for a session (cancel, satisfied). */
  readonly generation: number | null;
  readonly gateway?: GatewayName;
  /** Of a dead letter: why, at most 200 characters, and how often it was delivered. */
  readonly reason?: string;
  readonly attempts?: number;
  /** Of a dead letter: it is set aside for a person at once. */
  readonly held?: boolean;
}
export type EntrySettleOutcome =
  | {
      readonly kind: 'settled';
      readonly epoch: Epoch;
      readonly offset: number;
      readonly satisfied: readonly MessageId[];
    }
  /** It had ended before, as `state`; nothing was done. */
  | { readonly kind: 'ended'; readonly state: EndState }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'stale' };

/** What became of one message for one device: the answer of the stream that holds it. */
export type DeliveryState =
  | { readonly state: 'waiting'; readonly epoch: Epoch; readonly offset: number }
  | {
      readonly state: EndState;
      readonly atMs: number;
      readonly gateway: GatewayName | null;
      readonly epoch: Epoch;
      readonly offset: number;
    }
  /** Never appended, or so long ago that the stream has forgotten it. */
  | { readonly state: 'unknown' };

/** Deliveries of the lowest unsettled entry so far (R9); forgotten when that entry ends. */
export interface Attempts {
  readonly app: AppId;
  readonly device: DeviceId;
  readonly generation: number;
  readonly stream: StreamName;
  readonly epoch: Epoch;
  readonly offset: number;
  readonly attempts: number;
}
