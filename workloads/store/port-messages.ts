// Types of the store port about messages: what was asked, jobs, dead letters, groups, the ledger (port.ts has the operations).
import type { AppendOutcome } from './port-streams.ts';
import type { AccountId, AppId, DeviceId, Epoch, MessageId, TopicName } from '../protocol/ids.ts';
import type { Lane, StreamName } from '../protocol/streams.ts';

// ---- messages: what was asked, kept once, with what becomes of it

/** What a message was for, as it was asked. */
export type MessageTarget =
  | { readonly kind: 'device'; readonly device: DeviceId }
  | { readonly kind: 'account'; readonly account: AccountId }
  | { readonly kind: 'topic'; readonly topic: TopicName }
  | { readonly kind: 'devices' }
  | { readonly kind: 'accounts' }
  | { readonly kind: 'group'; readonly group: string }
  /** No message: an action over all dead letters of the app, so that its progress can be read and it can be stopped. */
  | { readonly kind: 'dead-letters'; readonly action: DeadLetterAction['kind'] };

export type MessageState = 'accepted' | 'scheduled' | 'expanding' | 'expanded' | 'cancelled';

/** One durable message. Recipients of a list are chunks beside it (R10); a body that many streams need is kept here once (R6). */
export interface Message {
  readonly app: AppId;
  readonly id: MessageId;
  readonly target: MessageTarget;
  readonly lane: Lane;
  readonly state: MessageState;
  /** Why and when it was accepted; due: when it is to be sent, 0 = at once. ms */
  readonly acceptedAtMs: number;
  readonly dueAtMs: number;
  readonly expiresAtMs: number;
  /** Recipients named; of an account or a topic 1. */
  readonly recipients: number;
  readonly chunks: number;
  /** Chunks that are in their streams; of an action over dead letters: letters acted on. */
  readonly chunksDone: number;
  /** Which chunks those are, in whatever order they were done: '1' or '0' for each. '': the first `chunksDone`. */
  readonly chunkMarks: string;
  /** The whole record with its body where streams keep it elsewhere or it is not due yet; null: the stream has it. */
  readonly record: Uint8Array | null;
  /** What else the router needs to send it later: JSON text. */
  readonly options: string;
}
/** One part of a list of recipients: names of devices or accounts, at most LIMITS.chunkRecipientsMax. */
export interface MessageChunk {
  readonly app: AppId;
  readonly id: MessageId;
  readonly index: number;
  readonly names: readonly string[];
}
/** Chunks `from` … `to` − 1. */
export interface ChunkRange {
  readonly from: number;
  readonly to: number;
}
export interface MessageChange {
  readonly state?: MessageState;
  readonly chunksDone?: number;
  /** These chunks are done: counted once however often they are marked. The change that marks the last one makes the state `expanded`. */
  readonly done?: ChunkRange;
  /** Only when its state is one of these now. */
  readonly expect: readonly MessageState[];
}

// ---- jobs: what some role does later, once, whoever of them lives (R10)

/**
 * `expand`: a list; `span`: some chunks of a long one; `send`: a scheduled message; `cancel`: what is left of a cancelled list; `notice`: tell the application
 * (protocol/notices.ts); `dead-letters`: an action over all of them.
 */
export type JobKind = 'expand' | 'span' | 'send' | 'cancel' | 'notice' | 'dead-letters';
/**
 * Jobs wait in queues, and whoever claims says of which: notices, which wait for the webhooks of apps, hold up nothing else, and of spans a
 * router takes few, so that the others find some.
 */
export type JobQueue = 'work' | 'notices' | 'spans';
/** A job by its id, which is one within its app; its kind tells the queue (left out: one of work). */
export type JobName = Pick<Job, 'id' | 'app'> & Partial<Pick<Job, 'kind'>>;
export interface Job {
  /** 1–128 characters; putting an id that is there already changes nothing. */
  readonly id: string;
  readonly app: AppId;
  readonly kind: JobKind;
  readonly dueAtMs: number;
  /** Times it was claimed before. */
  readonly claims: number;
  /** At most LIMITS.jobBytesMax. */
  readonly payload: Uint8Array;
}

// ---- dead letters

export interface DeadLetter {
  /** The delivery id: opaque, made from device, stream, epoch and offset. */
  readonly id: string;
  readonly app: AppId;
  readonly device: DeviceId;
  readonly account: AccountId;
  readonly stream: StreamName;
  readonly messageId: MessageId;
  readonly epoch: Epoch;
  readonly offset: number;
  readonly reason: string;
  readonly attempts: number;
  readonly atMs: number;
  /** `held`: set aside for a person. */
  readonly state: 'dead' | 'held';
  readonly record: Uint8Array;
}
export type DeadLetterAction =
  /** Appended again to the device's stream as a new delivery: its record gets this id and this expiry; the letter goes. */
  | { readonly kind: 'redrive'; readonly messageId: MessageId; readonly expiresAtMs: number }
  | { readonly kind: 'drop' }
  | { readonly kind: 'hold' }
  | { readonly kind: 'release' };
export type DeadLetterOutcome =
  | {
      readonly kind: 'done';
      readonly device: DeviceId;
      readonly appended: (AppendOutcome & { readonly lane: Lane }) | null;
      readonly record: Uint8Array | null;
    }
  | { readonly kind: 'unknown' }
  /** The stream takes no more, the device is gone, or the body that was kept once with its message is; the letter stays. */
  | { readonly kind: 'refused'; readonly reason: 'stream-full' | 'device-unknown' | 'body-gone' };

// ---- groups: who may be written to under one name, made by clients or the business

export interface GroupInfo {
  readonly group: string;
  readonly owner: AccountId;
  readonly members: number;
  readonly createdAtMs: number;
}
export type GroupChange =
  /** The owner is a member, named or not. */
  | { readonly kind: 'create'; readonly owner: AccountId; readonly members: readonly AccountId[] }
  | { readonly kind: 'join' | 'leave'; readonly account: AccountId }
  | { readonly kind: 'delete' };
export type GroupOutcome = 'done' | 'unchanged' | 'group-unknown' | 'group-exists' | 'group-full';

// ---- the ledger (R12)

/** Counters of one app since its first message; they only rise. accepted = acked + waiting + expired + dead + cancelled + filtered. */
export interface Ledger {
  readonly accepted: number;
  readonly acked: number;
  readonly expired: number;
  readonly dead: number;
  /** Cancelled, collapsed, satisfied by another device, unsubscribed or closed before they were delivered. */
  readonly cancelled: number;
  readonly filtered: number;
  /** `$all`, best effort: appends, and acks of cursors. */
  readonly untracked: { readonly accepted: number; readonly acked: number };
}
