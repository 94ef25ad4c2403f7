// The store port: everything durable that roles share. Its types are in port-streams.ts, port-sessions.ts and port-messages.ts.
// Implementations: sqlite/ (one file, node:sqlite) and redis/ (ioredis, single, Sentinel or Cluster); contract.ts is the suite that
// each of them passes.
//
// Every implementation MUST: do each operation's steps for one device, one topic or one bucket atomically; never re-send a
// command on its own (a cut connection rejects with StoreUnavailableError, outcome unknown); bound every wait by
// `commandTimeoutMs`; take its own time (Redis TIME, the injected clock in SQLite) for leases and expiry; pipeline what is
// asked in one tick; reject with RangeError what is past a bound named here (assert.ts). It MUST NOT scan keys on a request path,
// keep state that only one process knows, or trust a client's claim.
import type {
  DeadLetter,
  DeadLetterAction,
  DeadLetterOutcome,
  GroupChange,
  GroupInfo,
  GroupOutcome,
  Job,
  JobName,
  JobQueue,
  Ledger,
  Message,
  MessageChange,
  MessageChunk,
} from './port-messages.ts';
import type {
  Claim,
  CloseSession,
  CursorMoves,
  DeviceInfo,
  GatewayLease,
  OpenSession,
  OpenedSession,
  RegisterDevice,
  RegisterOutcome,
  RoleLease,
  Route,
  SessionCheck,
  SessionState,
  Subscription,
  TopicCursor,
} from './port-sessions.ts';
import type {
  Append,
  AppendOutcome,
  Attempts,
  DeliveryState,
  EntrySettle,
  EntrySettleOutcome,
  ReadOutcome,
  Settle,
  SettleOutcome,
  StreamHead,
  StreamRead,
  StreamRef,
} from './port-streams.ts';
import type { AccountId, AppId, BootId, DeviceId, GatewayName, MessageId, TopicName } from '../protocol/ids.ts';
import type { Lane } from '../protocol/streams.ts';

export type * from './port-messages.ts';
export type * from './port-sessions.ts';
export type * from './port-streams.ts';

/** The store did not answer in time or the connection was cut; the outcome is unknown. Every operation may reject with it. */
export class StoreUnavailableError extends Error {
  readonly code = 'store-unavailable';
}

/** Of an operation over several some failed, and the others did not: what became of these is known. */
export class PartlyUnavailableError<T> extends StoreUnavailableError {
  /** In the order asked; null: unknown. */
  readonly outcomes: readonly (T | null)[];
  constructor(outcomes: readonly (T | null)[], cause: StoreUnavailableError) {
    const unknown = outcomes.filter((outcome) => outcome === null).length;
    super(`${unknown} of ${outcomes.length}: ${cause.message}`, { cause });
    this.outcomes = outcomes;
  }
}

export interface StoreHealth {
  readonly reachable: boolean;
  /** What must be put right (eviction policy, persistence), in words; empty when all is well. */
  readonly warnings: readonly string[];
}

export interface Store {
  // streams
  /**
   * Appends each, in order for each stream; idempotent by message id within the duplicate window (R2). One trip for all. Rejects with
   * PartlyUnavailableError<AppendOutcome> where only some failed.
   */
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
  /**
   * Compares what gateways believe of their sessions with the store (R1, R7): null where it is so. One item for each session, since all of
   * them are asked about all the time and nearly all are as they were.
   */
  checkSessions(checks: readonly SessionCheck[]): Promise<readonly (SessionState | null)[]>;
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
   * Rejects with PartlyUnavailableError<true> where only some messages failed, with what belongs to them.
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
  /** Due jobs of a queue (default: work) that nobody has claimed, or whose claim ran out, claimed for `leaseMs`. */
  claimJobs(limit: number, leaseMs: number, queue?: JobQueue): Promise<readonly Job[]>;
  /** Due again at `dueAtMs`, unclaimed. */
  delayJob(job: JobName, dueAtMs: number, payload?: Uint8Array): Promise<void>;
  finishJobs(jobs: readonly JobName[]): Promise<void>;
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
  /** Expires entries by the time index, at most `limit`; answers how many. Finishes subscriptions that were entered or left half, too. */
  sweepExpired(limit: number): Promise<number>;
  health(): Promise<StoreHealth>;
  close(): Promise<void>;
}
