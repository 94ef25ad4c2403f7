// The store port: everything durable that roles share. Implementations: sqlite/ (one file, node:sqlite) and redis/ (ioredis,
// single, Sentinel or Cluster); contract.ts is the suite that each of them passes.
//
// Every implementation MUST: do each operation's steps for one device, one topic or one bucket atomically; never re-send a
// command on its own (a cut connection rejects with StoreUnavailableError, outcome unknown); bound every wait by
// `commandTimeoutMs`; take its own time (Redis TIME, the injected clock in SQLite) for leases and expiry; pipeline what is
// asked in one tick. It MUST NOT scan keys on a request path, keep state that only one process knows, or trust a client's claim.
import type { AccountId, AppId, BootId, DeviceId, Epoch, GatewayName, MessageId, TopicName } from '../protocol/ids.ts';
import type { Lane, NotRecoveredReason } from '../protocol/streams.ts';

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
}
/** A durable subscription: a stored row (R12) with the server's cursor, which may lag (R5). */
export interface TopicCursor {
  readonly topic: TopicName;
  readonly epoch: Epoch | null;
  readonly offset: number;
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
  /** Moves cursors up and drops settled entries. Answers for each whether it counted (false: older generation or epoch). */
  settle(settles: readonly Settle[]): Promise<readonly boolean[]>;

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

  // devices
  registerDevice(device: RegisterDevice): Promise<RegisterOutcome>;
  /** The client a token id stands for, or null (expired, revoked, never given). */
  tokenClient(app: AppId, tokenId: string): Promise<{ account: AccountId; device: DeviceId } | null>;
  /** Forgets the device: permissions issued before now stop working, its route and subscriptions go, its streams are dropped. */
  closeDevice(app: AppId, device: DeviceId): Promise<boolean>;
  device(app: AppId, device: DeviceId): Promise<DeviceInfo | null>;
  accountDevices(app: AppId, account: AccountId): Promise<readonly DeviceId[]>;

  // durable subscriptions
  /** Stores the rows; answers each topic's cursor (its present head when it is new). */
  subscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): Promise<readonly TopicCursor[]>;
  unsubscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): Promise<void>;
  /** Flushes cursors of many devices (R5): one packed value each; never moves one back within an epoch. */
  saveCursors(
    cursors: readonly { app: AppId; device: DeviceId; generation: number; topics: readonly TopicCursor[] }[],
  ): Promise<void>;

  // push
  /** Claims a key for a message id, or tells who holds it. `fingerprint` is a hash of the request. */
  claimKey(app: AppId, key: string, messageId: MessageId, fingerprint: string): Promise<Claim>;

  // upkeep
  /** Expires entries by the time index, at most `limit`; answers how many. */
  sweepExpired(limit: number): Promise<number>;
  health(): Promise<StoreHealth>;
  close(): Promise<void>;
}
