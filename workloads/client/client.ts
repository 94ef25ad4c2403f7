// The public entry of the SDK, for Node and browsers: openClient. It wires the parts: connector.ts keeps a connection, its frames go to the
// inbox (inbox.ts → delivery.ts → the application), subscriptions, questions and what is sent, and acks go back. Nothing here decides when
// to connect or what is a duplicate. client-options.ts is the surface.
import type { FetchedFrame, ServerFrame, StreamFrame, TopicFilter, WelcomeFrame } from '../protocol/frames.ts';
import { parseAccountId, parseDeviceId, parseGroupName, parseTopicName } from '../protocol/ids.ts';
import type { MessageId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import type { Clock } from '../runtime/clock.ts';
import { Acks } from './acks.ts';
import { RETRY_DEFAULT } from './backoff.ts';
import { Bodies } from './bodies.ts';
import type { Client, ClientOptions, Groups, Recipient, SendTo } from './client-options.ts';
import { applicationClock } from './clock.ts';
import { CONNECTION_DEFAULTS, initialConnection } from './connection-state.ts';
import type { Credentials } from './connection-state.ts';
import { Connector } from './connector.ts';
import type { ConnectorHandlers } from './connector.ts';
import { Counts } from './counts.ts';
import type { ClientCounters } from './counts.ts';
import { Degradation } from './degradation.ts';
import { Delivery } from './delivery.ts';
import { openGroups } from './groups.ts';
import { Inbox } from './inbox.ts';
import type { Gap, InboxItem, Place } from './inbox.ts';
import { ClientClosedError } from './outgoing.ts';
import type { Questions } from './questions.ts';
import type { Fetch } from './registry-api.ts';
import { Requests } from './requests.ts';
import type { Answer } from './requests.ts';
import { SessionKeeper } from './session-keeper.ts';
import type { ClientState } from './state.ts';
import { openMemoryStorage } from './storage.ts';
import type { Storage, StoredState } from './storage.ts';

export type { Client, ClientOptions, GroupPage, Groups, SendTo } from './client-options.ts';
export type { ReceivedMessage } from './received.ts';
export type { OutgoingState } from './state.ts';
export { NackError, nack } from './nack.ts';

const AT_ONCE_DEFAULT = 16;

/** Reads the storage, then connects and stays connected until `close` or a code that forbids it. */
export async function openClient(options: ClientOptions): Promise<Client> {
  const storage = options.storage ?? openMemoryStorage();
  const client = new PushClient(options, storage, await storage.load());
  client.start();
  return client;
}

class PushClient implements Client {
  readonly groups: Groups;
  readonly #options: ClientOptions;
  readonly #clock: Clock;
  readonly #storage: Storage;
  readonly #inbox: Inbox;
  readonly #delivery: Delivery;
  readonly #requests: Requests;
  readonly #acks: Acks;
  readonly #sessions: SessionKeeper;
  readonly #degradation = new Degradation();
  readonly #connector: Connector;
  readonly #counts = new Counts();

  constructor(options: ClientOptions, storage: Storage, stored: StoredState) {
    this.#options = options;
    this.#storage = storage;
    this.#clock = options.clock ?? applicationClock;
    const { seenIdsMax = 1000, queueMax = 10_000, outgoingMax = 1000 } = options;
    this.#inbox = new Inbox({ positions: stored.positions, seen: stored.seen, seenIdsMax, queueMax });
    this.#requests = new Requests({
      storage,
      outgoingMax,
      stored: stored.outgoing,
      onOutgoing: () => this.#toldOutgoing(),
    });
    this.groups = openGroups((question) => this.#ask((questions) => questions.ask<'group'>(question)));
    this.#sessions = new SessionKeeper(options, storage, (error) => this.#report(error));
    this.#connector = openConnector(options, {
      clock: this.#clock,
      counts: this.#counts,
      handlers: this.#handlers(),
      kept: this.#sessions.keptIn(stored.session),
    });
    this.#acks = new Acks({
      inbox: this.#inbox,
      serving: () => this.#connector.serving,
      send: (conn, frame) => this.#connector.send(conn, frame),
      after: (delayMs, fn) => this.#clock.after(delayMs, fn),
    });
    this.#delivery = this.#openDelivery();
  }

  start(): void {
    this.#connector.start();
  }

  // ---- what the application asks

  async subscribe(topic: string, options: { readonly filter?: TopicFilter | null } = {}): Promise<void> {
    this.#assertOpen();
    const wanted = this.#requests.subscriptions.want(parseTopicName(topic), options.filter);
    this.#sendDue();
    await wanted;
  }
  async unsubscribe(topic: string): Promise<void> {
    this.#assertOpen();
    const dropped = this.#requests.subscriptions.drop(parseTopicName(topic));
    this.#sendDue();
    await dropped;
  }
  send(kind: string, body: unknown, options?: { readonly order?: string }): Promise<void>;
  send(to: SendTo, body: unknown, options?: { readonly ttlMs?: number }): Promise<MessageId>;
  async send(
    to: string | SendTo,
    body: unknown,
    options: { readonly order?: string; readonly ttlMs?: number } = {},
  ): Promise<MessageId | void> {
    this.#assertOpen();
    const { order, ttlMs } = options;
    const given = body ?? null;
    const { taken } =
      typeof to === 'string'
        ? await this.#requests.upstream.keep({
            type: 'upstream',
            kind: to,
            body: given,
            ...(order === undefined ? {} : { order }),
          })
        : await this.#requests.sends.keep({
            type: 'send',
            to: parseRecipient(to),
            body: given,
            ...(ttlMs === undefined ? {} : { ttlMs }),
          });
    this.#sendDue();
    const messageId = await taken;
    if (messageId !== null) return messageId as MessageId;
  }
  async pull(stream: StreamName, max: number): Promise<{ sent: number; left: boolean }> {
    const { sent, left } = await this.#ask((questions) => questions.ask<'pull'>({ type: 'pull', stream, max }));
    return { sent, left };
  }
  state(): ClientState {
    return { ...this.#connector.shown, degraded: this.#degradation.now, outgoing: this.#requests.outgoing };
  }
  counters(): ClientCounters {
    return this.#counts.with({ ...this.#inbox.counters(), ...this.#delivery.counters(), ...this.#acks.counters() });
  }
  cut(): void {
    this.#connector.cut();
  }
  async close(): Promise<void> {
    await this.#delivery.stop();
    this.#connector.stop();
    await this.#sessions.whenSaved();
    await this.#storage.close();
  }

  async #ask<T>(question: (questions: Questions) => Promise<T>): Promise<T> {
    this.#assertOpen();
    const answer = question(this.#requests.questions);
    this.#sendDue();
    return await answer;
  }

  // ---- the parts

  #openDelivery(): Delivery {
    const { acks = 'cumulative', atOnceMax = AT_ONCE_DEFAULT, onMessage } = this.#options;
    const bodies = new Bodies({ fetch: (item) => this.#fetch(item), onKnown: () => this.#delivery.poke() });
    return new Delivery({
      inbox: this.#inbox,
      storage: this.#storage,
      bodies,
      onMessage,
      atOnceMax: acks === 'each' ? Math.max(1, atOnceMax) : 0,
      onError: (error) => this.#report(error),
      onSaved: (positions, items) => this.#acks.saved(positions, items),
      onNack: (stream, place, nack) => this.#acks.nack(stream, place, nack),
      onResync: () => this.#connector.resync(),
      after: (delayMs, fn) => this.#clock.after(delayMs, fn),
    });
  }
  #fetch({ stream, place }: InboxItem & { readonly place: Place }): Promise<FetchedFrame> {
    return this.#ask((questions) => questions.ask<'fetch'>({ type: 'fetch', stream, ...place }));
  }

  // ---- what the connection says

  #handlers(): ConnectorHandlers {
    return {
      positions: () => this.#positions(),
      onWelcome: (conn, frame) => this.#welcome(conn, frame),
      onServe: () => {
        this.#restored();
        this.#sendDue();
        this.#delivery.poke();
      },
      onFrame: (conn, frame) => this.#onFrame(conn, frame),
      onGone: (conn) => this.#inbox.drop(conn),
      onState: () => this.#guard(() => this.#options.onState?.(this.state())),
      onCredentials: (credentials) => this.#sessions.keep(credentials),
      onError: (error) => this.#report(error),
      wakeAtMs: () => (this.#connector.serving === null ? null : this.#requests.wakeAtMs()),
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
    this.#requests.subscriptions.welcome(frame.streams.map((state) => state.stream));
  }

  #onFrame(conn: number, frame: ServerFrame): void {
    switch (frame.type) {
      case 'message': {
        const arrival = this.#inbox.message(conn, frame);
        if (arrival === 'gap') this.#connector.resync();
        else if (arrival === 'duplicate') this.#acks.againSoon();
        return this.#delivery.poke();
      }
      case 'stream':
        return this.#streamWentOn(conn, frame);
      case 'subscribed':
        this.#gaps(this.#inbox.begin(conn, frame.streams));
        this.#answered(frame);
        return this.#delivery.poke();
      case 'unsubscribed':
      case 'taken':
      case 'sent':
      case 'pulled':
      case 'fetched':
      case 'grouped':
        return this.#answered(frame);
      case 'error':
        this.#supervise(this.#requests.refused(frame, this.#clock.nowMs()));
        return this.#connector.arm();
      case 'degraded': {
        const told = this.#degradation.begin(frame, this.#clock.nowMs());
        if (told !== null) this.#guard(() => this.#options.onDegraded?.(told));
        return;
      }
      case 'restored':
        return this.#restored();
      case 'welcome':
      case 'goaway':
      case 'pong': // the connector's own
    }
  }

  #toldOutgoing(): void {
    this.#guard(() => this.#options.onOutgoing?.(this.#requests.outgoing));
  }

  #answered(frame: Answer): void {
    this.#supervise(this.#requests.answered(frame, this.#clock.nowMs()));
    this.#sendDue();
  }

  #restored(): void {
    if (this.#degradation.end()) this.#guard(() => this.#options.onRestored?.());
  }

  #streamWentOn(conn: number, { state }: StreamFrame): void {
    const gap = this.#inbox.streamState(conn, state);
    if (gap === 'resync') return this.#connector.resync();
    if (gap !== null) this.#gaps([gap]);
    this.#delivery.poke();
  }

  /** Sends what waits for the serving connection. */
  #sendDue(): void {
    const conn = this.#connector.serving;
    if (conn === null) return;
    const due = this.#requests.due(conn, (topic) => this.#inbox.position(topic), this.#clock.nowMs());
    for (const frame of due) this.#connector.send(conn, frame);
    this.#connector.arm();
  }

  #ended(): void {
    this.#acks.stop();
    this.#requests.stop(new ClientClosedError('the client was closed'));
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

function parseRecipient(to: SendTo): Recipient {
  if ('device' in to) return { device: parseDeviceId(to.device) };
  return 'account' in to ? { account: parseAccountId(to.account) } : { group: parseGroupName(to.group) };
}

function openConnector(
  options: ClientOptions,
  parts: { clock: Clock; counts: Counts; handlers: ConnectorHandlers; kept: Credentials | null },
): Connector {
  const { registryUrl: url, app, account, device, credential, registryTimeoutMs: timeoutMs = 10_000 } = options;
  const { clock, counts, handlers, kept } = parts;
  const ask: Fetch = options.fetch ?? ((target, init) => fetch(target, init));
  const seed = options.seed ?? crypto.getRandomValues(new Int32Array(1))[0]!;
  const connection = { ...CONNECTION_DEFAULTS, ...options.connection };
  const initial = initialConnection({ seed, options: connection, retry: RETRY_DEFAULT, kept });
  const registry = { url, app, account, device, credential, fetch: ask, timeoutMs, nowMs: () => clock.nowMs() };
  const { WebSocket = null, agent = 'pushcluster-ts/0.1.0', offline, lanes } = options;
  const wishes = { ...(offline === undefined ? {} : { offline }), ...(lanes === undefined ? {} : { lanes }) };
  return new Connector({ registry, clock, counts, hello: { agent, ...wishes }, WebSocket, initial }, handlers);
}
