// Types of the store port about devices: sessions, routes, leases, subscriptions, registration (port.ts has the operations).
import type { StreamHead } from './port-streams.ts';
import type { AccountId, AppId, BootId, DeviceId, Epoch, GatewayName, MessageId, TopicName } from '../protocol/ids.ts';
import type { Lane } from '../protocol/streams.ts';

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
/** Where one lane of a device ends: the epoch that is written now and its newest offset. */
export interface LaneHead {
  readonly lane: Lane;
  readonly epoch: Epoch;
  readonly head: number;
}
/** What a gateway believes of one of its sessions. */
export interface SessionCheck {
  readonly app: AppId;
  readonly device: DeviceId;
  readonly generation: number;
  readonly bootId: BootId;
  /** As heard, in the order of LANES; a lane that nobody heard of is left out. */
  readonly heads: readonly LaneHead[];
}
/** What the store has instead. */
export interface SessionState {
  readonly route: Route | null;
  /** Lanes that were ever written, in the order of LANES. */
  readonly heads: readonly LaneHead[];
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
