// Frames on the links between roles: router → gateway deliveries, gateway → router answers, gateway → gateway replacements.
// A link is one TCP connection, authenticated by the link key at its start (link/handshake.ts), then frames both ways:
//   uint32 LE length of what follows · uint8 kind · body
// Texts are uint16 LE length + UTF-8, numbers float64 LE or uint32 LE, bytes uint32 LE length + raw. Many frames leave in one write.
import type { AccountId, AppId, BootId, DeviceId, Epoch, TopicName } from './ids.ts';
import type { Lane, NotRecoveredReason } from './streams.ts';

/** A durable entry or a live message for one device. `seq` numbers what this link asked; the answer carries it. */
export interface DeliverDevice {
  readonly kind: 'deliver-device';
  readonly seq: number;
  readonly app: AppId;
  readonly device: DeviceId;
  /** The life the route named; another life answers `not-here`. */
  readonly bootId: BootId;
  readonly lane: Lane;
  /** Null for live messages (then offset and prev are 0). */
  readonly epoch: Epoch | null;
  readonly offset: number;
  readonly prev: number;
  /** As of a topic's; rises with each live message to the device, whatever its lane. Durable: 0. */
  readonly stamp: number;
  readonly record: Uint8Array;
}
/** A durable entry or a live message of a topic, for every session here that hears it. */
export interface DeliverTopic {
  readonly kind: 'deliver-topic';
  readonly seq: number;
  readonly app: AppId;
  readonly topic: TopicName;
  readonly epoch: Epoch | null;
  readonly offset: number;
  readonly prev: number;
  /** Live: rises with each message of the topic, whichever router sends it, so that no change of path reorders (R11). Durable: 0. */
  readonly stamp: number;
  readonly record: Uint8Array;
}
/** Answer to one delivery. `not-here`: no such session in this life; for topics `taken` says how many sessions heard it. */
export interface Answer {
  readonly kind: 'answer';
  readonly seq: number;
  readonly outcome: 'taken' | 'not-here' | 'slow';
  readonly sessions: number;
}
/** A newer session of the device stands elsewhere: close the older one here with `replaced` or `superseded`. */
export interface Replaced {
  readonly kind: 'replaced';
  readonly app: AppId;
  readonly device: DeviceId;
  /** The newer session's generation. */
  readonly generation: number;
  /** True when it resumed by ticket: the same client moved. */
  readonly resumed: boolean;
}
/** Liveness of the link itself, both ways, every `linkPingMs`. */
export interface LinkPing {
  readonly kind: 'ping';
  readonly seq: number;
}
export interface LinkPong {
  readonly kind: 'pong';
  readonly seq: number;
}

// ---- one message for many devices of one gateway

/** A durable entry of one message for many devices here: encoded once, its record sent once. */
export interface DeliverMany {
  readonly kind: 'deliver-many';
  readonly seq: number;
  readonly app: AppId;
  readonly bootId: BootId;
  readonly lane: Lane;
  /** With its body, also where the streams keep it elsewhere. */
  readonly record: Uint8Array;
  readonly rows: readonly DeliverManyRow[];
}
export interface DeliverManyRow {
  readonly device: DeviceId;
  readonly epoch: Epoch;
  readonly offset: number;
  readonly prev: number;
}
/** Answer to a `deliver-many`: places in `rows` that were not taken, by why. */
export interface AnswerMany {
  readonly kind: 'answer-many';
  readonly seq: number;
  readonly notHere: readonly number[];
  readonly slow: readonly number[];
}

// ---- questions and answers, both ways

/**
 * A command of the API in another door: business service → router (the TCP door), gateway → router (a client sends or changes a
 * group), router → gateway (`trace`). Body and answer are JSON in UTF-8, as over HTTP.
 */
export interface Command {
  readonly kind: 'command';
  readonly seq: number;
  /** `push`, `cancel`, `message`, `device`, `group`, `trace`, …: the router's table of commands names them. */
  readonly op: string;
  /** Empty over the TCP door: the credential of its first command says. */
  readonly app: AppId | '';
  /** Who asks, where a gateway asks for a client; empty otherwise. */
  readonly account: AccountId | '';
  readonly device: DeviceId | '';
  readonly body: Uint8Array;
}
export interface Reply {
  readonly kind: 'reply';
  readonly seq: number;
  /** As the HTTP API would answer. */
  readonly status: number;
  readonly body: Uint8Array;
}

// ---- router → router: live messages go through the one router that owns the stream, which stamps them (R11)

export interface ForwardLive {
  readonly kind: 'forward-live';
  readonly seq: number;
  readonly app: AppId;
  /** Of the two, one is empty. */
  readonly topic: TopicName | '';
  readonly device: DeviceId | '';
  readonly lane: Lane;
  /** Newest stamp the sender gave or saw: what it forwards is later than that. */
  readonly floor: number;
  readonly record: Uint8Array;
}
/** Answer to a `forward-live`, once it is on its way to gateways. */
export interface Forwarded {
  readonly kind: 'forwarded';
  readonly seq: number;
  /** `unknown`: it went to every gateway, since nobody could tell where the device is. `busy`: nothing was sent. */
  readonly outcome: 'sent' | 'offline' | 'unknown' | 'busy';
  readonly gateways: number;
  /** Where the device is; empty: not told. */
  readonly bootId: BootId | '';
  readonly stamp: number;
}

// ---- gateway → drainer: reads of a backlog, at the drainer's pace

export interface FeedRequest {
  readonly kind: 'feed-request';
  readonly seq: number;
  readonly app: AppId;
  readonly device: DeviceId;
  readonly lane: Lane;
  /** Null epoch: from the first entry held. */
  readonly epoch: Epoch | null;
  readonly offset: number;
  readonly entriesMax: number;
}
/** What the store's read answered. `notRecovered` empty: recovered. Bodies that are kept elsewhere are filled in. */
export interface Feed {
  readonly kind: 'feed';
  readonly seq: number;
  readonly epoch: Epoch | null;
  readonly notRecovered: NotRecoveredReason | '';
  readonly from: number;
  readonly head: number;
  readonly complete: boolean;
  readonly entries: readonly { readonly offset: number; readonly prev: number; readonly record: Uint8Array }[];
}
/** Not now: ask again after that. */
export interface FeedLater {
  readonly kind: 'feed-later';
  readonly seq: number;
  readonly retryAfterMs: number;
}

export type LinkFrame =
  | DeliverDevice
  | DeliverTopic
  | Answer
  | Replaced
  | LinkPing
  | LinkPong
  | DeliverMany
  | AnswerMany
  | Command
  | Reply
  | ForwardLive
  | Forwarded
  | FeedRequest
  | Feed
  | FeedLater;
