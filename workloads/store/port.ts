// The store port: everything durable that roles share. Implementations: sqlite/ (one file, node:sqlite) and redis/ (ioredis,
// single, Sentinel or Cluster); contract.ts is the suite that each of them passes.
//
// Every implementation MUST: do each operation's steps for one device, one topic or one bucket atomically; never re-send a
// command on its own (a cut connection rejects with StoreUnavailableError, outcome unknown); bound every wait by
// `commandTimeoutMs`; take its own time (Redis TIME, the injected clock in SQLite) for leases and expiry; pipeline what is
// asked in one tick; reject with RangeError what is past a bound named here (assert.ts). It MUST NOT scan keys on a request path, keep state that only one process knows, or trust a client's claim.
import type { AccountId, AppId, BootId, DeviceId, Epoch, GatewayName, MessageId, TopicName } from '../protocol/ids.ts';
import type { Lane, NotRecoveredReason, StreamName } from '../protocol/streams.ts';

/** The store did not answer in time or the connection was cut; the outcome is unknown. Every operation may reject with it. */
export class StoreUnavailableError extends Error {
  readonly code = 'store-unavailable';
}

// ---- streams

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

// ---- sessions and routes

/** A row of the route map: where a device is (R7). Void when the gateway's lease is gone or names another boot id. */
export interface Route {
  readonly gateway: GatewayName;
  readonly bootId: BootId;
  readonly generation: number;
  readonly account: AccountId;
  readonly connectedAtMs: number;
}

export interface OpenSession {
  readonly app: AppId;
  readonly account: AccountId;
  readonly device: DeviceId;
  /** With a ticket: the generation it names; the session opens only if it is still the present one. Null: newest wins. */
  readonly expectGeneration: number | null;
  /** When the permission (token, ticket) was issued; refused when the device was revoked later. ms since 1970. */
  readonly permittedAtMs: number;
  readonly gateway: GatewayName;
  readonly bootId: BootId;
}
/** What one device stream of the session looks like now. `settled` is the server's cursor. */
export interface LaneState extends StreamHead {
  readonly lane: Lane;
  readonly settled: number;
  /** Entries that wait (expired ones may be among them until the sweep). */
  readonly held: number;
  /** Of the lowest unsettled entry; 0: none known. */
  readonly attempts: number;
  readonly attemptsOffset: number;
}
/** A durable subscription: a stored row (R12) with the server's cursor, which may lag (R5). */
export interface TopicCursor {
  readonly topic: TopicName;
  readonly epoch: Epoch | null;
  readonly offset: number;
  /** As given with subscribe: a filter's JSON text; null: everything. */
  readonly filter: string | null;
  /** Deliveries of the first entry after `offset` so far; 0: none known. */
  readonly attempts: number;
}
/**
 * A cursor moves from `from` to `offset` within an epoch. Of the entries between, these were not acked; the others count as acked
 * (R12). After an unknown outcome send the same move again before another one: a move whose `from` is not the stored offset counts
 * only what lies above the stored one, as acked.
 */
export interface CursorMove {
  readonly topic: TopicName;
  readonly epoch: Epoch | null;
  readonly from: number;
  readonly offset: number;
  readonly filtered: number;
  readonly expired: number;
  readonly cancelled: number;
  readonly dead: number;
  readonly attempts: number;
}
export interface CursorMoves {
  readonly app: AppId;
  readonly device: DeviceId;
  readonly generation: number;
  readonly topics: readonly CursorMove[];
}
export interface Subscription {
  readonly topic: TopicName;
  /** A filter's JSON text, at most LIMITS.filterBytesMax bytes; null: everything; left out: as stored, at first everything. */
  readonly filter?: string | null;
}
export type OpenedSession =
  | {
      readonly kind: 'opened';
      readonly generation: number;
      /** Lanes that were ever written; others are absent. */
      readonly lanes: readonly LaneState[];
      readonly topics: readonly TopicCursor[];
      /** The route that was replaced, when its gateway's life may still hold the old connection. */
      readonly replaced: Route | null;
    }
  | { readonly kind: 'ticket-stale' }
  | { readonly kind: 'revoked' }
  /** The device never registered here (the store may have been emptied); the caller registers it from its token and tries again. */
  | { readonly kind: 'device-unknown' };

export interface CloseSession {
  readonly app: AppId;
  readonly device: DeviceId;
  readonly generation: number;
  readonly bootId: BootId;
}

/** One life of a gateway, as announced by itself. Gone `ttlMs` after its last renewal. */
export interface GatewayLease {
  readonly gateway: GatewayName;
  readonly bootId: BootId;
  /** host:port where its link server listens. */
  readonly linkAddress: string;
  readonly connections: number;
  readonly startedAtMs: number;
}

/** One life of a router or drainer, as announced by itself: routers find each other by it (R11), gateways their drainer. */
export interface RoleLease {
  readonly role: 'router' | 'drainer';
  readonly name: string;
  readonly bootId: BootId;
  readonly linkAddress: string;
}

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
  readonly chunksDone: number;
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
export interface MessageChange {
  readonly state?: MessageState;
  readonly chunksDone?: number;
  /** Only when its state is one of these now. */
  readonly expect: readonly MessageState[];
}

// ---- jobs: what some role does later, once, whoever of them lives (R10)

/**
 * `expand`: a list; `send`: a scheduled message; `cancel`: what is left of a cancelled list; `notice`: tell the application
 * (protocol/notices.ts); `dead-letters`: an action over all of them.
 */
export type JobKind = 'expand' | 'send' | 'cancel' | 'notice' | 'dead-letters';
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
  /** The stream takes no more, or the device is gone; the letter stays. */
  | { readonly kind: 'refused'; readonly reason: 'stream-full' | 'device-unknown' };

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

// ---- registration

export interface RegisterDevice {
  readonly app: AppId;
  readonly account: AccountId;
  readonly device: DeviceId;
  /** Kept as token id → client until it expires (A1). */
  readonly tokenId: string;
  readonly tokenExpiresAtMs: number;
  /** Devices the account may have. */
  readonly accountDevicesMax: number;
}
/** `account-full`: the account has its most devices already. */
export type RegisterOutcome = 'registered' | 'account-full';

export interface DeviceInfo {
  readonly account: AccountId;
  readonly generation: number;
  readonly route: Route | null;
}

/** An idempotency key's owner. `claimed` is false when an earlier request holds the key; the id and fingerprint are then its. */
export interface Claim {
  readonly claimed: boolean;
  readonly messageId: MessageId;
  readonly fingerprint: string;
}

export interface StoreHealth {
  readonly reachable: boolean;
  /** What must be put right (eviction policy, persistence), in words; empty when all is well. */
  readonly warnings: readonly string[];
}

export interface Store {
  // streams
  /** Appends each, in order for each stream; idempotent by message id within the duplicate window (R2). One trip for all. */
  append(appends: readonly Append[]): Promise<readonly AppendOutcome[]>;
  heads(streams: readonly StreamRef[]): Promise<readonly StreamHead[]>;
  /** Entries after a position, oldest first, expired ones left out. */
  read(reads: readonly StreamRead[]): Promise<readonly ReadOutcome[]>;
  /** Moves cursors up and ends the entries passed: acked, but expired where that came first. */
  settle(settles: readonly Settle[]): Promise<readonly SettleOutcome[]>;
  /** Ends single entries; each is idempotent. */
  settleEntries(settles: readonly EntrySettle[]): Promise<readonly EntrySettleOutcome[]>;
  /** What became of messages, in the order asked. */
  deliveryStates(
    app: AppId,
    deliveries: readonly { readonly device: DeviceId; readonly lane: Lane; readonly messageId: MessageId }[],
  ): Promise<readonly DeliveryState[]>;
  /** Keeps attempts with the cursor; only the newest generation's count. */
  saveAttempts(attempts: readonly Attempts[]): Promise<void>;
  /** A topic's entry becomes a tombstone; false: it is not held (any more). */
  cancelTopicEntry(app: AppId, topic: TopicName, messageId: MessageId): Promise<boolean>;

  // sessions, routes, leases
  /** Raises the generation by compare-and-set, sets the route, tells the streams: after it the gateway may read (R1, R8). */
  openSession(request: OpenSession): Promise<OpenedSession>;
  /** Removes the route only if it is still this life's and this generation's (R7). Many in one trip. */
  closeSessions(sessions: readonly CloseSession[]): Promise<readonly boolean[]>;
  /** Rows as stored; callers check the lease. */
  routes(app: AppId, devices: readonly DeviceId[]): Promise<readonly (Route | null)[]>;
  /** Routes held by each boot id, counted in the store (A8). Cost: one trip over all buckets; not for request paths. */
  countRoutes(): Promise<ReadonlyMap<BootId, number>>;
  /** Announces or renews. `void`: another life holds the name and is newer; this one must stop taking clients. */
  renewLease(lease: GatewayLease, ttlMs: number): Promise<'kept' | 'void'>;
  dropLease(gateway: GatewayName, bootId: BootId): Promise<void>;
  /** Lives whose lease has not run out. */
  leases(): Promise<readonly GatewayLease[]>;
  /** Removes routes of boot ids that have no lease, a bounded number at a time; answers how many. Any role may call it, rarely. */
  sweepRoutes(limit: number): Promise<number>;

  renewRoleLease(lease: RoleLease, ttlMs: number): Promise<void>;
  dropRoleLease(role: RoleLease['role'], bootId: BootId): Promise<void>;
  roleLeases(role: RoleLease['role']): Promise<readonly RoleLease[]>;

  // devices
  registerDevice(device: RegisterDevice): Promise<RegisterOutcome>;
  /** The client a token id stands for, or null (expired, revoked, never given). */
  tokenClient(app: AppId, tokenId: string): Promise<{ account: AccountId; device: DeviceId } | null>;
  /** Forgets the device: permissions issued before now stop working, its route and subscriptions go, its streams are dropped. */
  closeDevice(app: AppId, device: DeviceId): Promise<boolean>;
  device(app: AppId, device: DeviceId): Promise<DeviceInfo | null>;
  accountDevices(app: AppId, account: AccountId): Promise<readonly DeviceId[]>;

  // durable subscriptions
  /** Stores the rows; answers each topic's cursor (its present head when it is new). A filter that is given replaces the one before. */
  subscribe(app: AppId, device: DeviceId, topics: readonly Subscription[]): Promise<readonly TopicCursor[]>;
  /** Removes the rows; what they had not settled counts as cancelled. */
  unsubscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): Promise<void>;
  /** Flushes cursors of many devices (R5): one packed value each; never moves one back within an epoch. */
  saveCursors(moves: readonly CursorMoves[]): Promise<void>;
  /** Devices with a row for the topic, sorted, after `after`; and how many there are. */
  topicSubscribers(
    app: AppId,
    topic: TopicName,
    page: { readonly after: DeviceId | null; readonly limit: number },
  ): Promise<{ readonly count: number; readonly devices: readonly DeviceId[] }>;

  // push
  /** Claims a key for a message id, or tells who holds it. `fingerprint` is a hash of the request. */
  claimKey(app: AppId, key: string, messageId: MessageId, fingerprint: string): Promise<Claim>;
  /**
   * Keeps messages and chunks for LIMITS.messageKeptMs (scheduled: from when they are due), and a record at least until it expires, since
   * streams hold entries without their body until then. What is there already stays as it is.
   */
  putMessages(messages: readonly Message[], chunks: readonly MessageChunk[]): Promise<void>;
  messages(app: AppId, ids: readonly MessageId[]): Promise<readonly (Message | null)[]>;
  /** Null: no such message, or its state was not as expected; otherwise the message as it is now. */
  changeMessage(app: AppId, id: MessageId, change: MessageChange): Promise<Message | null>;
  /** Names of a chunk; null: no such chunk. */
  messageChunk(app: AppId, id: MessageId, index: number): Promise<readonly string[] | null>;
  /** Records of messages whose streams keep the body elsewhere; null: gone. Implementations MAY cache them: they never change. */
  bodies(app: AppId, ids: readonly MessageId[]): Promise<readonly (Uint8Array | null)[]>;

  // jobs
  putJobs(jobs: readonly Job[]): Promise<void>;
  /** Due jobs nobody has claimed, or whose claim ran out, claimed for `leaseMs`. */
  claimJobs(limit: number, leaseMs: number): Promise<readonly Job[]>;
  /** Due again at `dueAtMs`, unclaimed. */
  delayJob(job: Pick<Job, 'id' | 'app'>, dueAtMs: number, payload?: Uint8Array): Promise<void>;
  finishJobs(jobs: readonly Pick<Job, 'id' | 'app'>[]): Promise<void>;
  /** Jobs there are, due or not. */
  countJobs(): Promise<number>;

  // dead letters
  /** For deliveries of topics, which have no entry of their own: kept once for each delivery id. The cursor is moved after. */
  putDeadLetters(letters: readonly Omit<DeadLetter, 'id' | 'atMs'>[]): Promise<void>;
  /** A page in no special order; `next` null: the last one. */
  deadLetters(
    app: AppId,
    page: {
      readonly cursor: string | null;
      readonly limit: number;
      readonly device?: DeviceId;
      readonly state?: DeadLetter['state'];
    },
  ): Promise<{ readonly letters: readonly DeadLetter[]; readonly next: string | null }>;
  deadLetter(app: AppId, id: string): Promise<DeadLetter | null>;
  changeDeadLetters(
    app: AppId,
    changes: readonly { readonly id: string; readonly action: DeadLetterAction }[],
  ): Promise<readonly DeadLetterOutcome[]>;
  countDeadLetters(app: AppId): Promise<number>;

  // groups
  changeGroup(app: AppId, group: string, change: GroupChange): Promise<GroupOutcome>;
  /** Members sorted, after `after`; null: no such group. */
  groupMembers(
    app: AppId,
    group: string,
    page: { readonly after: AccountId | null; readonly limit: number },
  ): Promise<(GroupInfo & { readonly accounts: readonly AccountId[] }) | null>;
  isGroupMember(app: AppId, group: string, account: AccountId): Promise<boolean>;

  // ledger
  ledger(app: AppId): Promise<Ledger>;
  /** Deliveries that wait, counted from streams and cursors, apart from the counters. Cost: one walk over all of it, in slices. */
  countWaiting(app: AppId): Promise<number>;

  // upkeep
  /** Expires entries by the time index, at most `limit`; answers how many. */
  sweepExpired(limit: number): Promise<number>;
  health(): Promise<StoreHealth>;
  close(): Promise<void>;
}
