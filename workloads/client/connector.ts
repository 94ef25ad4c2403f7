// The shell around the state machine: it feeds connection.ts with what sockets, registry and time do, and carries out what it asks for.
// client.ts owns one and hears frames and changes of the serving connection through the handlers.
import { PROTOCOL_VERSION } from '../protocol/frames.ts';
import type { ClientFrame, HelloFrame, ServerFrame, WelcomeFrame } from '../protocol/frames.ts';
import type { Position } from '../protocol/streams.ts';
import type { Clock } from '../runtime/clock.ts';
import { decodeServerFrame, encodeClientFrame } from './codec.ts';
import { step, wakeAtMs } from './connection.ts';
import type { ConnectionEffect, ConnectionEvent, ConnectionState, Credentials } from './connection-state.ts';
import type { Counts } from './counts.ts';
import { askRegistry } from './registry-api.ts';
import type { RegistryOptions } from './registry-api.ts';
import { openSocket } from './socket.ts';
import type { Socket, WebSocketConstructor } from './socket.ts';
import { describeState } from './state.ts';
import type { ClientState } from './state.ts';

export interface ConnectorHandlers {
  /** What the hello names, most important first; at most LIMITS.positionsPerFrameMax. */
  positions(): readonly Position[];
  /** Before the connection serves. */
  onWelcome(conn: number, frame: WelcomeFrame): void;
  /** This connection serves from now on. */
  onServe(conn: number): void;
  /** Every other frame that is known. */
  onFrame(conn: number, frame: ServerFrame): void;
  /** Nothing of this connection comes any more. */
  onGone(conn: number): void;
  onState(state: ClientState): void;
  /** With what another life of this client could resume. */
  onCredentials(credentials: Credentials): void;
  onError(error: unknown): void;
  /** When `onWake` is wanted besides; null: never. */
  wakeAtMs(): number | null;
  onWake(): void;
  /** Closed for good. */
  onEnded(): void;
}
export interface ConnectorOptions {
  readonly registry: RegistryOptions;
  readonly clock: Clock;
  readonly counts: Counts;
  /** What every hello says besides. */
  readonly hello: Pick<HelloFrame, 'agent' | 'offline' | 'lanes'>;
  /** Null: the global one, looked up when a socket is opened. */
  readonly WebSocket: WebSocketConstructor | null;
  readonly initial: ConnectionState;
}

interface Line {
  readonly socket: Socket;
  byTicket: boolean;
  heardAtMs: number;
}

/** Other frames than pongs tell the state machine that the line lives at most this often. */
const HEARD_EVERY_MS = 1000;

export class Connector {
  readonly #options: ConnectorOptions;
  readonly #handlers: ConnectorHandlers;
  readonly #lines = new Map<number, Line>();
  #state: ConnectionState;
  #shown: ClientState;
  #kept: Credentials;
  #timer: { atMs: number; cancel: () => void } | null = null;

  constructor(options: ConnectorOptions, handlers: ConnectorHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#state = options.initial;
    this.#shown = describeState(options.initial);
    const { token, ticket, targets, gateways } = options.initial;
    this.#kept = { token, ticket, targets, gateways };
  }

  get shown(): ClientState {
    return this.#shown;
  }
  /** The connection that serves; null: none. */
  get serving(): number | null {
    return this.#state.serving?.conn ?? null;
  }

  start(): void {
    this.#dispatch({ type: 'start' });
  }
  stop(): void {
    this.#dispatch({ type: 'stop' });
  }
  /** Connects anew with positions. */
  resync(): void {
    if (this.serving === null) return;
    this.#options.counts.resyncs++;
    this.#dispatch({ type: 'resync', conn: this.serving });
  }
  /** As a cut line. */
  cut(): void {
    if (this.serving !== null) this.#lines.get(this.serving)?.socket.cut();
  }
  send(conn: number, frame: ClientFrame): void {
    this.#lines.get(conn)?.socket.send(encodeClientFrame(frame));
  }

  /** Sees to it that the timer goes off when it is next wanted. One timer, moved forward only. */
  arm(): void {
    if (this.#state.closed !== null) return;
    const atMs = Math.min(wakeAtMs(this.#state) ?? Infinity, this.#handlers.wakeAtMs() ?? Infinity);
    if (atMs === Infinity || (this.#timer !== null && this.#timer.atMs <= atMs)) return;
    this.#timer?.cancel();
    const { clock } = this.#options;
    const cancel = clock.after(Math.max(0, atMs - clock.nowMs()), () => {
      this.#timer = null;
      this.#handlers.onWake();
      this.#dispatch({ type: 'tick' });
    });
    this.#timer = { atMs, cancel };
  }

  #dispatch(event: ConnectionEvent): void {
    const wasOpen = this.#state.closed === null;
    const { state, effects } = step(this.#state, event, this.#options.clock.nowMs());
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
    this.#keep();
    this.#show();
    this.arm();
    if (wasOpen && state.closed !== null) this.#end();
  }

  #end(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#handlers.onEnded();
  }

  #carryOut(effect: ConnectionEffect): void {
    switch (effect.type) {
      case 'ask':
        this.#options.counts.registryCalls[effect.ask]++;
        void askRegistry(effect.ask, this.#options.registry, effect).then((answer) => this.#dispatch(answer));
        return;
      case 'open':
        return this.#open(effect.conn, effect.url);
      case 'hello':
        return this.#hello(effect);
      case 'serve':
        return this.#serve(effect.conn);
      case 'ping':
        return this.send(effect.conn, { type: 'ping' });
      case 'close': {
        if (effect.bye) this.send(effect.conn, { type: 'bye' });
        this.#lines.get(effect.conn)?.socket.close();
        this.#forget(effect.conn);
      }
    }
  }

  #open(conn: number, url: string): void {
    this.#options.counts.attempts++;
    const socket = openSocket(url, this.#options.WebSocket ?? WebSocket, {
      onOpen: () => this.#dispatch({ type: 'opened', conn }),
      onText: (data) => this.#onText(conn, data),
      onClose: (code, reason) => {
        this.#forget(conn);
        this.#dispatch({ type: 'closed', conn, code, reason });
      },
    });
    this.#lines.set(conn, { socket, byTicket: false, heardAtMs: 0 });
  }

  #hello({ conn, credential }: Extract<ConnectionEffect, { type: 'hello' }>): void {
    const line = this.#lines.get(conn);
    if (line !== undefined) line.byTicket = 'ticket' in credential;
    const hello: HelloFrame = { type: 'hello', version: PROTOCOL_VERSION, ...credential, ...this.#options.hello };
    const positions = this.#handlers.positions();
    this.send(conn, positions.length === 0 ? hello : { ...hello, positions });
  }

  #serve(conn: number): void {
    const { counts } = this.#options;
    counts.welcomes++;
    if (this.#lines.get(conn)?.byTicket === true) counts.resumes++;
    this.#handlers.onServe(conn);
  }

  #forget(conn: number): void {
    this.#lines.delete(conn);
    this.#handlers.onGone(conn);
  }

  #onText(conn: number, data: unknown): void {
    const line = this.#lines.get(conn);
    if (line === undefined) return;
    let frame: ServerFrame | null;
    try {
      frame = decodeServerFrame(data);
    } catch (error) {
      this.#handlers.onError(error);
      line.socket.cut();
      return;
    }
    if (frame === null) return;
    this.#heard(conn, line, frame);
    this.#onFrame(conn, frame);
  }

  #onFrame(conn: number, frame: ServerFrame): void {
    if (frame.type === 'goaway') {
      this.#options.counts.goaways++;
      const { ticket, targets, afterMs } = frame;
      this.#dispatch({ type: 'goaway', conn, ticket, targets, afterMs });
    } else if (frame.type === 'welcome') {
      if (this.#state.attempt?.conn !== conn) return;
      this.#handlers.onWelcome(conn, frame);
      const { gateway, ticket, targets, heartbeatIntervalMs } = frame;
      this.#dispatch({ type: 'welcomed', conn, gateway, ticket, targets, heartbeatIntervalMs });
    } else if (frame.type !== 'pong') this.#handlers.onFrame(conn, frame);
  }

  #heard(conn: number, line: Line, frame: ServerFrame): void {
    const nowMs = this.#options.clock.nowMs();
    if (frame.type !== 'pong' && nowMs - line.heardAtMs < HEARD_EVERY_MS) return;
    line.heardAtMs = nowMs;
    if (frame.type === 'pong') this.#dispatch({ ...frame, type: 'heard', conn });
    else this.#dispatch({ type: 'heard', conn });
  }

  #keep(): void {
    const { token, ticket, targets, gateways, kept } = this.#state;
    if (kept || (token === this.#kept.token && ticket === this.#kept.ticket && gateways === this.#kept.gateways))
      return;
    this.#kept = { token, ticket, targets, gateways };
    this.#handlers.onCredentials(this.#kept);
  }

  #show(): void {
    const next = describeState(this.#state);
    const before = this.#shown;
    this.#shown = next;
    if (next.kind !== before.kind || next.gateway !== before.gateway || next.problem !== before.problem)
      this.#handlers.onState(next);
  }
}
