// The public entry of the SDK, for Node and browsers: openClient. It wires the parts: connector.ts keeps a connection, its frames go to the
// inbox (inbox.ts → delivery.ts → the application), subscriptions and upstream, and acks go back. Nothing here decides when to connect
// or what is a duplicate.
import type { ServerFrame, StreamFrame, WelcomeFrame } from '../protocol/frames.ts';
import { parseTopicName } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import type { Clock } from '../runtime/clock.ts';
import { RETRY_DEFAULT } from './backoff.ts';
import { applicationClock } from './clock.ts';
import { CONNECTION_DEFAULTS, initialConnection } from './connection-state.ts';
import type { ConnectionOptions } from './connection-state.ts';
import { Connector } from './connector.ts';
import type { ConnectorHandlers } from './connector.ts';
import { Counts } from './counts.ts';
import type { ClientCounters } from './counts.ts';
import { Delivery } from './delivery.ts';
import type { ReceivedMessage } from './delivery.ts';
import { Inbox } from './inbox.ts';
import type { Gap } from './inbox.ts';
import type { Credential, Fetch } from './registry-api.ts';
import type { WebSocketConstructor } from './socket.ts';
import type { ClientState } from './state.ts';
import { openMemoryStorage } from './storage.ts';
import type { Storage, StoredState } from './storage.ts';
import { Subscriptions } from './subscriptions.ts';
import { ClientClosedError, Upstream } from './upstream.ts';

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
   * position is saved. Throwing leaves it unacked: the gateway sends it again, bounded in attempts.
   */
  readonly onMessage: (message: ReceivedMessage) => unknown;
  readonly onState?: (state: ClientState) => void;
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
  /** Message ids remembered for de-duplication across epochs. Default 1000, about 100 bytes each. */
  readonly seenIdsMax?: number;
  /** Messages that may wait for the application. Default 10,000; beyond it durable ones come again, live ones are dropped. */
  readonly queueMax?: number;
  /** Messages to the business that may wait. Default 1000. */
  readonly upstreamMax?: number;
  readonly agent?: string;
}

export interface Client {
  /** Resolves when a session holds the topic; rejects with SubscribeRefusedError. The wish outlives connections. */
  subscribe(topic: string): Promise<void>;
  unsubscribe(topic: string): Promise<void>;
  /** Resolves when the bus has the message; kept and sent again until then. Rejects as Upstream.keep says. */
  send(kind: string, body: unknown): Promise<void>;
  state(): ClientState;
  counters(): ClientCounters;
  /** Cuts the connection as a network would; for tests. */
  cut(): void;
  /** Finishes what is being handed on, says goodbye, closes the storage. */
  close(): Promise<void>;
}

const ACK_AGAIN_AFTER_MS = 50;

/** Reads the storage, then connects and stays connected until `close` or a code that forbids it. */
export async function openClient(options: ClientOptions): Promise<Client> {
  const storage = options.storage ?? openMemoryStorage();
  const client = new PushClient(options, storage, await storage.load());
  client.start();
  return client;
}

class PushClient implements Client {
  readonly #options: ClientOptions;
  readonly #clock: Clock;
  readonly #storage: Storage;
  readonly #inbox: Inbox;
  readonly #delivery: Delivery;
  readonly #subscriptions: Subscriptions;
  readonly #upstream: Upstream;
  readonly #connector: Connector;
  readonly #counts = new Counts();
  #lastId = 0;
  #ackAgain: (() => void) | null = null;

  constructor(options: ClientOptions, storage: Storage, stored: StoredState) {
    this.#options = options;
    this.#storage = storage;
    this.#clock = options.clock ?? applicationClock;
    const { seenIdsMax = 1000, queueMax = 10_000, upstreamMax = 1000 } = options;
    this.#inbox = new Inbox({ positions: stored.positions, seen: stored.seen, seenIdsMax, queueMax });
    const newId = (): number => ++this.#lastId;
    this.#subscriptions = new Subscriptions(newId);
    this.#upstream = new Upstream({ storage, max: upstreamMax, newId, newKey: () => crypto.randomUUID() });
    this.#upstream.restore(stored.upstream);
    this.#connector = openConnector(options, this.#clock, this.#counts, this.#handlers());
    this.#delivery = new Delivery({
      inbox: this.#inbox,
      storage,
      onMessage: options.onMessage,
      onError: (error) => this.#report(error),
      onSaved: (streams) => this.#sendAcks(streams),
      onResync: () => this.#connector.resync(),
      after: (delayMs, fn) => this.#clock.after(delayMs, fn),
    });
  }

  start(): void {
    this.#connector.start();
  }

  // ---- what the application asks

  async subscribe(topic: string): Promise<void> {
    this.#assertOpen();
    const wanted = this.#subscriptions.want(parseTopicName(topic));
    this.#sendDue();
    await wanted;
  }
  async unsubscribe(topic: string): Promise<void> {
    this.#assertOpen();
    const dropped = this.#subscriptions.drop(parseTopicName(topic));
    this.#sendDue();
    await dropped;
  }
  async send(kind: string, body: unknown): Promise<void> {
    this.#assertOpen();
    const { taken } = await this.#upstream.keep(kind, body);
    this.#sendDue();
    await taken;
  }
  state(): ClientState {
    return this.#connector.shown;
  }
  counters(): ClientCounters {
    return this.#counts.with(this.#inbox.counters(), this.#delivery.handled());
  }
  cut(): void {
    this.#connector.cut();
  }
  async close(): Promise<void> {
    await this.#delivery.stop();
    this.#connector.stop();
    await this.#storage.close();
  }

  // ---- what the connection says

  #handlers(): ConnectorHandlers {
    return {
      positions: () => this.#positions(),
      onWelcome: (conn, frame) => this.#welcome(conn, frame),
      onServe: () => {
        this.#sendDue();
        this.#delivery.poke();
      },
      onFrame: (conn, frame) => this.#onFrame(conn, frame),
      onGone: (conn) => this.#inbox.drop(conn),
      onState: (state) => this.#guard(() => this.#options.onState?.(state)),
      onError: (error) => this.#report(error),
      wakeAtMs: () => this.#wakeAtMs(),
      onWake: () => this.#sendDue(),
      onEnded: () => this.#ended(),
    };
  }

  /** Lanes first: what does not fit goes with its subscription, or from the server's cursor. */
  #positions(): Position[] {
    return this.#inbox
      .positions()
      .sort((a, b) => Number(b.stream.startsWith('@')) - Number(a.stream.startsWith('@')))
      .slice(0, LIMITS.positionsPerFrameMax);
  }

  #welcome(conn: number, frame: WelcomeFrame): void {
    this.#gaps(this.#inbox.welcome(conn, frame.streams));
    this.#subscriptions.welcome(frame.streams.map((state) => state.stream));
  }

  #onFrame(conn: number, frame: ServerFrame): void {
    switch (frame.type) {
      case 'message': {
        const arrival = this.#inbox.message(conn, frame);
        if (arrival === 'gap') this.#connector.resync();
        else if (arrival === 'duplicate') this.#ackAgainSoon();
        return this.#delivery.poke();
      }
      case 'stream':
        return this.#streamWentOn(conn, frame);
      case 'subscribed':
        this.#gaps(this.#inbox.begin(conn, frame.streams));
        this.#subscriptions.subscribed(frame, this.#clock.nowMs());
        this.#sendDue();
        return this.#delivery.poke();
      case 'unsubscribed':
        this.#subscriptions.unsubscribed(frame.id);
        return this.#sendDue();
      case 'taken':
        this.#supervise(this.#upstream.taken(frame.id));
        return this.#sendDue();
      case 'error':
        if (!this.#subscriptions.refused(frame, this.#clock.nowMs()))
          this.#supervise(this.#upstream.refused(frame, this.#clock.nowMs()));
        return this.#connector.arm();
      case 'welcome':
      case 'goaway':
      case 'pong': // the connector's own
        return;
      case 'pulled':
      case 'fetched':
      case 'sent':
      case 'grouped':
      case 'degraded':
      case 'restored': // nothing here asks for them yet
    }
  }

  #streamWentOn(conn: number, { state }: StreamFrame): void {
    const gap = this.#inbox.streamState(conn, state);
    if (gap === 'resync') return this.#connector.resync();
    if (gap !== null) this.#gaps([gap]);
    this.#delivery.poke();
  }

  /** Sends what subscriptions and upstream have for the serving connection. */
  #sendDue(): void {
    const conn = this.#connector.serving;
    if (conn === null) return;
    const nowMs = this.#clock.nowMs();
    for (const frame of this.#subscriptions.due((topic) => this.#inbox.position(topic), nowMs))
      this.#connector.send(conn, frame);
    for (const frame of this.#upstream.due(conn, nowMs)) this.#connector.send(conn, frame);
    this.#connector.arm();
  }

  #wakeAtMs(): number | null {
    if (this.#connector.serving === null) return null;
    const atMs = Math.min(this.#upstream.wakeAtMs() ?? Infinity, this.#subscriptions.wakeAtMs() ?? Infinity);
    return atMs === Infinity ? null : atMs;
  }

  #sendAcks(streams: ReadonlySet<StreamName>): void {
    const conn = this.#connector.serving;
    if (conn === null || streams.size === 0) return;
    const positions = this.#inbox.acks(conn, streams);
    for (let i = 0; i < positions.length; i += LIMITS.positionsPerFrameMax) {
      this.#connector.send(conn, { type: 'ack', positions: positions.slice(i, i + LIMITS.positionsPerFrameMax) });
      this.#counts.acks++;
    }
  }

  #ackAgainSoon(): void {
    this.#ackAgain ??= this.#clock.after(ACK_AGAIN_AFTER_MS, () => {
      this.#ackAgain = null;
      this.#sendAcks(this.#inbox.takeAcksAgain());
    });
  }

  #ended(): void {
    this.#ackAgain?.();
    const error = new ClientClosedError('the client was closed');
    this.#subscriptions.stop(error);
    this.#upstream.stop(error);
  }

  // ---- errors

  #assertOpen(): void {
    if (this.#connector.shown.kind === 'closed') throw new ClientClosedError('the client was closed');
  }
  #gaps(gaps: readonly Gap[]): void {
    for (const gap of gaps) this.#guard(() => this.#options.onGap?.(gap));
  }
  #report(error: unknown): void {
    this.#options.onError?.(error);
  }
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#report(error);
    }
  }
  #supervise(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#report(error));
  }
}

function openConnector(options: ClientOptions, clock: Clock, counts: Counts, handlers: ConnectorHandlers): Connector {
  const { registryUrl: url, app, account, device, credential, registryTimeoutMs: timeoutMs = 10_000 } = options;
  const ask: Fetch = options.fetch ?? ((target, init) => fetch(target, init));
  const seed = options.seed ?? crypto.getRandomValues(new Int32Array(1))[0]!;
  const initial = initialConnection(seed, { ...CONNECTION_DEFAULTS, ...options.connection }, RETRY_DEFAULT);
  const registry = { url, app, account, device, credential, fetch: ask, timeoutMs, nowMs: () => clock.nowMs() };
  const { WebSocket = null, agent = 'pushcluster-ts/0.1.0' } = options;
  return new Connector({ registry, clock, counts, agent, WebSocket, initial }, handlers);
}
