// What an application gives a client and what it gets: the SDK's surface, as types. client.ts implements it.
import type { SendFrame, TopicFilter } from '../protocol/frames.ts';
import type { AccountId, MessageId } from '../protocol/ids.ts';
import type { Lane, StreamName } from '../protocol/streams.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConnectionOptions } from './connection-state.ts';
import type { ClientCounters } from './counts.ts';
import type { Degraded } from './degradation.ts';
import type { Gap } from './inbox.ts';
import type { ReceivedMessage } from './received.ts';
import type { Credential, Fetch } from './registry-api.ts';
import type { WebSocketConstructor } from './socket.ts';
import type { ClientState, OutgoingState } from './state.ts';
import type { Storage } from './storage.ts';

export interface ClientOptions {
  readonly registryUrl: string;
  readonly app: string;
  readonly account: string;
  readonly device: string;
  /** The device's credential, fresh at each call. */
  readonly credential: () => Promise<Credential> | Credential;
  /** What survives a restart; without it each start begins anew. */
  readonly storage?: Storage;
  /**
   * Each message, once and in order for each stream. Returning (resolving) means that it was dealt with; the ack follows when its
   * position is saved. Throwing means that it was not: the gateway is told why (a nack) and sends it again, bounded in attempts, and in
   * the end dead-letters it; those behind it in its stream wait. A NackError, thrown or returned (`nack(…)`), also says when to try again,
   * or that there shall be no other try.
   */
  readonly onMessage: (message: ReceivedMessage) => unknown;
  /**
   * `cumulative` (default): one message after the other, each stream waits for what it fails at. `each`: messages to the device (its lanes)
   * are handed over without waiting for the ones before, up to `atOnceMax` at once; each is acked, or nacked, by itself when its promise
   * settles. They begin in order, and may end in any.
   */
  readonly acks?: 'cumulative' | 'each';
  /** With `each`: messages that are with the application at once. Default 16. */
  readonly atOnceMax?: number;
  /** `push` (default): what was missed is sent after connecting. `pull`: the application asks for it with `pull`. */
  readonly offline?: 'push' | 'pull';
  /** Lanes to hear; those left out wait at the server. Default: all. */
  readonly lanes?: readonly Lane[];
  readonly onState?: (state: ClientState) => void;
  /** The gateway sheds load: live messages below a level are not sent. Fall back to other ways until `onRestored`. */
  readonly onDegraded?: (degraded: Degraded) => void;
  readonly onRestored?: () => void;
  /**
   * Messages of this client are put off by its gateway, with why, such as `upstream-unavailable` where the cluster has no bus; or they are
   * taken again (`putOff` null). They are kept and sent again in any case; this is for whoever looks at a `send` that stays pending.
   */
  readonly onOutgoing?: (outgoing: OutgoingState) => void;
  /** A stream could not be continued where this client was: messages between the two places may be lost to it. */
  readonly onGap?: (gap: Gap) => void;
  /** What went wrong without ending anything: a handler that threw, a storage that did not save. */
  readonly onError?: (error: unknown) => void;
  /** Default: the global one. */
  readonly WebSocket?: WebSocketConstructor;
  readonly fetch?: Fetch;
  readonly clock?: Clock;
  /** Start of the jitter's generator, for tests. */
  readonly seed?: number;
  readonly connection?: Partial<ConnectionOptions>;
  readonly registryTimeoutMs?: number;
  /** Whether token and ticket are kept in the storage, so that a start resumes without the registry. Default true. */
  readonly keepSession?: boolean;
  /** Message ids remembered for de-duplication across epochs. Default 1000, about 100 bytes each. */
  readonly seenIdsMax?: number;
  /** Messages that may wait for the application. Default 10,000; beyond it durable ones come again, live ones are dropped. */
  readonly queueMax?: number;
  /** Messages of this client that may wait to be taken, to the business and to other clients each. Default 1000. */
  readonly outgoingMax?: number;
  readonly agent?: string;
}

/** Another device, every device of an account, or every member of a group. */
export type SendTo = { readonly device: string } | { readonly account: string } | { readonly group: string };

export interface Client {
  /**
   * Resolves when a session holds the topic; rejects with SubscribeRefusedError. The wish outlives connections.
   * @param options.filter what of the topic is wanted; null: everything; left out: as the server has kept it, at first everything
   */
  subscribe(topic: string, options?: { readonly filter?: TopicFilter | null }): Promise<void>;
  unsubscribe(topic: string): Promise<void>;
  /**
   * To the business: resolves when the bus has the message; kept and sent again until then, which `onOutgoing` and
   * `state().outgoing` show. Rejects as Outgoing.keep says.
   * @param kind names the handler, 1–64 characters
   * @param options.order messages of one order key are handled in their order; default: those of this device
   */
  send(kind: string, body: unknown, options?: { readonly order?: string }): Promise<void>;
  /** To other clients: resolves with the message's id when it is stored; kept and sent again until then. */
  send(to: SendTo, body: unknown, options?: { readonly ttlMs?: number }): Promise<MessageId>;
  /**
   * With `offline: pull`: asks for up to `max` (1–256) messages that wait in a stream; they come to `onMessage`. Resolves when they were
   * sent, with how many, and whether more are left. Rejects with QuestionRefusedError.
   */
  pull(stream: StreamName, max: number): Promise<{ readonly sent: number; readonly left: boolean }>;
  readonly groups: Groups;
  state(): ClientState;
  counters(): ClientCounters;
  /** Cuts the connection as a network would; for tests. */
  cut(): void;
  /** Finishes what is being handed on, says goodbye, closes the storage. */
  close(): Promise<void>;
}

/** Groups of accounts, as far as the app allows them. All reject with QuestionRefusedError. */
export interface Groups {
  /** This account is a member, besides those named (at most 256). */
  create(group: string, members?: readonly string[]): Promise<void>;
  join(group: string): Promise<void>;
  leave(group: string): Promise<void>;
  delete(group: string): Promise<void>;
  /** One page of members, sorted. `next`: give it as `after` for the page after; null: there is none. */
  members(group: string, after?: string): Promise<GroupPage>;
}
export interface GroupPage {
  readonly members: readonly AccountId[];
  /** In all. */
  readonly count: number;
  readonly next: AccountId | null;
}

/** As the frame has it; names are checked. */
export type Recipient = SendFrame['to'];
