// The frames between a client and a gateway, as types. README.md explains each with examples that a test sends.
// A frame says what kind it is in `type`. Codecs (json-codec.ts) turn frames to bytes and back; nothing else knows bytes.
import type { ErrorCode } from './codes.ts';
import type { AccountId, DeviceId, Epoch, GatewayName, MessageId, TopicName } from './ids.ts';
import type { Lane, NotRecoveredReason, Position, StreamName } from './streams.ts';

export const PROTOCOL_VERSION = 1;
/** The WebSocket subprotocol names version and codec. */
export const SUBPROTOCOL_JSON = 'pushcluster.v1.json';

/** A topic the client wants to hear. `position` continues where the client is; without it, the server's cursor counts. */
export interface TopicRequest {
  readonly topic: TopicName;
  readonly epoch?: Epoch;
  readonly offset?: number;
  /** Left out: as stored with the subscription, at first everything. */
  readonly filter?: TopicFilter | null;
}
/** What of a topic a session wants; a message passes when every part that is given says so. Kept with the subscription. */
export interface TopicFilter {
  /** Least level, 0–9; messages without a level count as 0. */
  readonly levelMin?: number;
  /** One of these business types (attribute `type`), at most 32. */
  readonly types?: readonly string[];
  /** Business fields (attribute `fields`) and the values taken of each: at most 8 fields of 32 values. */
  readonly fields?: Readonly<Record<string, readonly (string | number | boolean)[]>>;
}

// ---- client → gateway

/** First frame, within `helloTimeoutMs`. With a ticket it resumes (the token may be left out); else it opens by token. */
export interface HelloFrame {
  readonly type: 'hello';
  readonly version: number;
  readonly token?: string;
  readonly ticket?: string;
  /** What the client holds, for its device streams and its topics. At most 256. */
  readonly positions?: readonly Position[];
  /** Name and version of the client software, for logs; at most 128 characters. */
  readonly agent?: string;
  /** `push` (default): what is missing is sent. `pull`: the client asks for it with `pull`; only what is new is sent. */
  readonly offline?: 'push' | 'pull';
  /** Lanes it wants now (default: all); the others wait in their streams. */
  readonly lanes?: readonly Lane[];
}
/** Cumulative: the client has persisted everything up to each position. */
export interface AckFrame {
  readonly type: 'ack';
  /** With `epoch`, an ack that crossed a change of epoch is not taken for the new one; without it, the present epoch is meant. */
  readonly positions: readonly { readonly stream: StreamName; readonly offset: number; readonly epoch?: Epoch }[];
  /** Single messages of lanes that are persisted though one before them is not. At most 256. */
  readonly ids?: readonly { readonly stream: StreamName; readonly id: MessageId }[];
}
/** One message could not be dealt with. It is delivered again, at first at once, then with backoff, and in the end dead-lettered. */
export interface NackFrame {
  readonly type: 'nack';
  readonly stream: StreamName;
  readonly offset: number;
  readonly epoch?: Epoch;
  /** For people, 1–200 characters. */
  readonly reason: string;
  /** Not before that. */
  readonly retryAfterMs?: number;
  /** `dead`: no further try. `person`: no further try, and set aside for a person. */
  readonly final?: 'dead' | 'person';
}
/** Asks for what is missing, where hello said `offline: pull`. Answer: `pulled`. */
export interface PullFrame {
  readonly type: 'pull';
  readonly id: number;
  readonly stream: StreamName;
  /** 1–256 messages. */
  readonly max: number;
}
/** Asks for the body of a message that came with `idOnly`. Answer: `fetched`. */
export interface FetchFrame {
  readonly type: 'fetch';
  readonly id: number;
  readonly stream: StreamName;
  readonly offset: number;
  readonly epoch?: Epoch;
}
/** A message to other clients, within what the app allows. Answer: `sent`, once it is stored. */
export interface SendFrame {
  readonly type: 'send';
  readonly id: number;
  /** As of upstream. */
  readonly key: string;
  readonly to: { readonly device: DeviceId } | { readonly account: AccountId } | { readonly group: string };
  readonly body: unknown;
  readonly ttlMs?: number;
}
/** Groups of accounts. Answer: `grouped`. `members` pages through them, sorted, after `after`. */
export interface GroupFrame {
  readonly type: 'group';
  readonly id: number;
  readonly op: 'create' | 'join' | 'leave' | 'members' | 'delete';
  readonly group: string;
  /** Of create: further members. */
  readonly members?: readonly AccountId[];
  readonly after?: AccountId;
}
export interface SubscribeFrame {
  readonly type: 'subscribe';
  /** Chosen by the client; comes back in the answer. */
  readonly id: number;
  readonly topics: readonly TopicRequest[];
}
export interface UnsubscribeFrame {
  readonly type: 'unsubscribe';
  readonly id: number;
  readonly topics: readonly TopicName[];
}
/** A message from the client to its business; the answer `taken` comes once the bus has it. */
export interface UpstreamFrame {
  readonly type: 'upstream';
  readonly id: number;
  /** Names the handler, 1–64 characters. */
  readonly kind: string;
  /** Key of de-duplication, 1–128 characters, chosen by the client and kept across re-sends. */
  readonly key: string;
  /** Messages of one order key are handled in their order; default: the device. 1–128 characters. */
  readonly order?: string;
  readonly body: unknown;
}
export interface PingFrame {
  readonly type: 'ping';
}
/** The client leaves for good on this connection; its route goes at once. */
export interface ByeFrame {
  readonly type: 'bye';
}
export type ClientFrame =
  | HelloFrame
  | AckFrame
  | SubscribeFrame
  | UnsubscribeFrame
  | UpstreamFrame
  | PingFrame
  | ByeFrame
  | NackFrame
  | PullFrame
  | FetchFrame
  | SendFrame
  | GroupFrame;

// ---- gateway → client

/** How one stream goes on. Recovered: what follows continues after `offset`. Otherwise why not, and all that is held follows. */
export interface StreamState {
  readonly stream: StreamName;
  readonly epoch: Epoch;
  /** The next message of this stream has `prev` equal to this. */
  readonly offset: number;
  readonly recovered: boolean;
  readonly reason?: NotRecoveredReason;
}
export interface WelcomeFrame {
  readonly type: 'welcome';
  readonly version: number;
  readonly gateway: GatewayName;
  readonly generation: number;
  /** Permission to resume without the registry, at any gateway of `targets`. */
  readonly ticket: string;
  /** Addresses to resume at, best first; may be empty (then the client uses what the registry gave it). */
  readonly targets: readonly string[];
  readonly heartbeatIntervalMs: number;
  readonly streams: readonly StreamState[];
}
/**
 * One message. `prev` is the offset before it for this client and is left out where it is `offset - 1`.
 * Live messages have no offset. `encoding` is left out for JSON bodies; 'base64' marks bytes, 'text' a plain string.
 */
export interface MessageFrame {
  readonly type: 'message';
  readonly stream: StreamName;
  readonly offset?: number;
  readonly prev?: number;
  readonly id: MessageId;
  readonly sentAtMs: number;
  readonly encoding?: 'text' | 'base64';
  readonly attributes?: Readonly<Record<string, unknown>>;
  /** Which delivery of it this is, from 2 on. */
  readonly attempt?: number;
  /** The body is left out: ask for it with `fetch`. */
  readonly idOnly?: true;
  /** Durable, taken in while the store is away: it has no offset yet and comes again with one. Remember its id. */
  readonly later?: true;
  readonly body?: unknown;
}
export interface SubscribedFrame {
  readonly type: 'subscribed';
  readonly id: number;
  readonly streams: readonly StreamState[];
  readonly refused?: readonly { readonly topic: string; readonly code: ErrorCode }[];
}
export interface UnsubscribedFrame {
  readonly type: 'unsubscribed';
  readonly id: number;
}
/** A stream went on under another epoch or from another place while connected. */
export interface StreamFrame {
  readonly type: 'stream';
  readonly state: StreamState;
}
export interface TakenFrame {
  readonly type: 'taken';
  readonly id: number;
}
export interface PongFrame {
  readonly type: 'pong';
  /** A fresh ticket, when the one before is past half of its life. */
  readonly ticket?: string;
  readonly targets?: readonly string[];
}
/** Resume at one of the targets after `afterMs`; this connection is closed at `deadlineMs` from now. */
export interface GoawayFrame {
  readonly type: 'goaway';
  readonly reason: 'drain' | 'rollout' | 'rebalance' | 'stopping';
  readonly ticket: string;
  readonly targets: readonly string[];
  readonly afterMs: number;
  readonly deadlineMs: number;
}
/** Answer to a frame that was refused; `id` is the frame's where it had one. */
export interface ErrorFrame {
  readonly type: 'error';
  readonly id?: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryAfterMs?: number;
}
/** The gateway sheds load: live messages below `levelMin` are not sent, for about `forMs`; another one or `restored` follows. */
export interface DegradedFrame {
  readonly type: 'degraded';
  readonly levelMin: number;
  readonly forMs: number;
}
export interface RestoredFrame {
  readonly type: 'restored';
}
/** `sent` messages were sent before this; `left`: more is there. */
export interface PulledFrame {
  readonly type: 'pulled';
  readonly id: number;
  readonly stream: StreamName;
  readonly sent: number;
  readonly left: boolean;
}
export interface FetchedFrame {
  readonly type: 'fetched';
  readonly id: number;
  readonly encoding?: 'text' | 'base64';
  readonly body: unknown;
}
export interface SentFrame {
  readonly type: 'sent';
  readonly id: number;
  readonly messageId: MessageId;
}
export interface GroupedFrame {
  readonly type: 'grouped';
  readonly id: number;
  readonly group: string;
  /** Of members. */
  readonly members?: readonly AccountId[];
  readonly count?: number;
  readonly next?: AccountId | null;
}
export type ServerFrame =
  | WelcomeFrame
  | MessageFrame
  | SubscribedFrame
  | UnsubscribedFrame
  | StreamFrame
  | TakenFrame
  | PongFrame
  | GoawayFrame
  | ErrorFrame
  | DegradedFrame
  | RestoredFrame
  | PulledFrame
  | FetchedFrame
  | SentFrame
  | GroupedFrame;
