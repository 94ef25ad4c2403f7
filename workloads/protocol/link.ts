// Frames on the links between roles: router → gateway deliveries, gateway → router answers, gateway → gateway replacements.
// A link is one TCP connection, authenticated by the link key at its start (link/handshake.ts), then frames both ways:
//   uint32 LE length of what follows · uint8 kind · body
// Texts are uint16 LE length + UTF-8, numbers float64 LE or uint32 LE, bytes uint32 LE length + raw. Many frames leave in one write.
import type { AppId, BootId, DeviceId, Epoch, TopicName } from './ids.ts';
import type { Lane } from './streams.ts';

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
  /** Live: rises with each message of the topic from its router, so that a change of path cannot reorder (R11). */
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
export type LinkFrame = DeliverDevice | DeliverTopic | Answer | Replaced | LinkPing | LinkPong;
