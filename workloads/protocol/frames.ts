// The frames between a client and a gateway, as types. docs/protocol.md explains each with examples that a test sends.
// A frame says what kind it is in `type`. Codecs (json-codec.ts) turn frames to bytes and back; nothing else knows bytes.
import type { ErrorCode } from './codes.ts';
import type { Epoch, GatewayName, MessageId, TopicName } from './ids.ts';
import type { NotRecoveredReason, Position, StreamName } from './streams.ts';

export const PROTOCOL_VERSION = 1;
/** The WebSocket subprotocol names version and codec. */
export const SUBPROTOCOL_JSON = 'pushcluster.v1.json';

/** A topic the client wants to hear. `position` continues where the client is; without it, the server's cursor counts. */
export interface TopicRequest {
  readonly topic: TopicName;
  readonly epoch?: Epoch;
  readonly offset?: number;
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
}
/** Cumulative: the client has persisted everything up to each position. */
export interface AckFrame {
  readonly type: 'ack';
  /** With `epoch`, an ack that crossed a change of epoch is not taken for the new one; without it, the present epoch is meant. */
  readonly positions: readonly { readonly stream: StreamName; readonly offset: number; readonly epoch?: Epoch }[];
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
  | ByeFrame;

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
  readonly body: unknown;
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
export type ServerFrame =
  | WelcomeFrame
  | MessageFrame
  | SubscribedFrame
  | UnsubscribedFrame
  | StreamFrame
  | TakenFrame
  | PongFrame
  | GoawayFrame
  | ErrorFrame;
