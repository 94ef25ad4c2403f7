// A connection: one client's WebSocket at this gateway. It holds what is needed for each socket and nothing else; what its frames mean
// is in frames/, what it is owed is in its session. It is its own entry of the wheel, for hello timeout and heartbeat (heartbeat.ts).
import type { Socket } from 'node:net';
import type { RawData } from 'ws';
import { WebSocket } from 'ws';
import { CLOSE } from '../../protocol/codes.ts';
import type { CloseName } from '../../protocol/codes.ts';
import { encodeServerFrame } from '../../protocol/json-codec.ts';
import type { ServerFrame } from '../../protocol/frames.ts';
import { WheelEntry } from '../../runtime/wheel.ts';
import type { AckWatch } from '../endings/ack-watch.ts';
import type { Gateway } from '../gateway.ts';
import type { LateLive } from '../delivery/late-live.ts';
import type { Outbox, Writer } from '../delivery/outbox.ts';
import type { Session } from './session.ts';
import type { TopicWork } from './topic-work.ts';
import type { Pace } from '../endings/window.ts';
import { textFrameOf } from '../delivery/ws-frame.ts';

/** Text of a close: RFC 6455 allows 123 bytes. */
const CLOSE_TEXT_MAX = 123;
const WS_NORMAL = 1000;
const WS_TOO_BIG = 1009;
const WS_NOT_UTF8 = 1007;

/** Where a connection is on its way: waits for hello, runs the steps of connect.ts, lives, or is being closed. */
export type Phase = 'hello' | 'opening' | 'live' | 'closed';

/** What the connection tells: frames, and its end. Shared by all connections, so that none holds closures of its own. */
export interface ConnectionEvents {
  message(connection: Connection, data: Buffer, isBinary: boolean): void;
  /** It serves no more: closed by us, by the client or by the network. Once for each connection. */
  left(connection: Connection, phaseBefore: Phase): void;
  /** Its socket is gone. */
  gone(connection: Connection): void;
  drained(connection: Connection): void;
  due(connection: Connection, nowMs: number): void;
}

/**
 * The WebSocket as ws makes it, with events by method call instead of listeners: four listeners on each of 18,000 idle sockets
 * cost more than the session. Codes that ws would close with become those of protocol/codes.ts.
 */
export class ClientSocket extends WebSocket {
  connection: Connection | null = null;

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const { connection } = this;
    if (connection === null) return false;
    if (event === 'message') connection.received(args[0] as RawData, args[1] as boolean);
    else if (event === 'ping') connection.pinged(args[0] as Buffer);
    else if (event === 'close') connection.ended();
    return true; // `error` is always followed by `close`
  }

  override close(code?: number, data?: string | Buffer): void {
    if (code === WS_TOO_BIG) super.close(CLOSE.tooLarge.code, CLOSE.tooLarge.reason);
    else if (code === WS_NOT_UTF8) super.close(CLOSE.protocol.code, `${CLOSE.protocol.reason}: expected UTF-8`);
    else super.close(code, data);
  }
}

export class Connection extends WheelEntry implements Writer {
  readonly socket: ClientSocket;
  readonly gateway: Gateway;
  phase: Phase = 'hello';
  session: Session | null = null;
  lastHeardMs: number;
  /** Place in the directory's list; −1: not in it. */
  index = -1;
  /** Asked to leave by a drain. */
  asked = false;
  /** Was told that load is shed, and not yet that it is over. */
  degraded = false;
  /** Made when something durable is first written. */
  ackWatch: AckWatch | null = null;
  /** Durable deliveries under way, over all streams. */
  unacked = 0;
  /** Streams wait for the session's window (window.ts). */
  windowFull = false;
  /** Made when the client turns out to be slow. */
  pace: Pace | null = null;
  /** Live messages it could not be given yet (late-live.ts). */
  late: LateLive | null = null;
  /** Fetches under way. */
  fetches = 0;
  /** Its subscribes and unsubscribes under way. */
  topicWork: TopicWork | null = null;
  /** Set when we closed it. */
  closeName: CloseName | null = null;
  tcp: Socket | null;
  tail: Writer['tail'] = null;
  backlog = 0;
  full = false;
  starved = false;

  constructor(gateway: Gateway, socket: ClientSocket, tcp: Socket) {
    super();
    this.gateway = gateway;
    this.socket = socket;
    this.tcp = tcp;
    this.lastHeardMs = gateway.wheel.nowMs;
    socket.connection = this;
  }

  // ---- from the socket

  received(data: RawData, isBinary: boolean): void {
    this.lastHeardMs = this.gateway.wheel.nowMs;
    if (this.phase !== 'closed') this.gateway.events.message(this, data as Buffer, isBinary);
  }
  /** Protocol-level ping: answered here, since ws would keep a closure for it with each connection. */
  pinged(data: Buffer): void {
    this.lastHeardMs = this.gateway.wheel.nowMs;
    if (this.phase === 'closed') return;
    this.gateway.outbox.flushOne(this);
    if (this.gateway.outbox.isFull(this)) this.close('slow');
    else this.socket.pong(data);
  }
  ended(): void {
    this.tcp = null;
    this.tail = null;
    if (this.phase !== 'closed') this.#leave();
    this.gateway.events.gone(this);
  }
  drained(): void {
    if (this.phase === 'live') this.gateway.events.drained(this);
  }
  due(nowMs: number): void {
    this.gateway.events.due(this, nowMs);
  }

  // ---- to the client

  /** Sends a frame that is for this client alone. */
  send(frame: ServerFrame): void {
    this.sendBytes(textFrameOf(encodeServerFrame(frame)));
  }
  /** Sends an answer; a client that asks and never reads is cut off. */
  sendBytes(frame: Uint8Array): void {
    if (this.phase === 'closed') return;
    const { outbox }: { outbox: Outbox } = this.gateway;
    outbox.push(this, frame);
    if (outbox.isFull(this)) this.close('slow');
  }
  /** Closes with a code of the table; what waits goes out first. Later calls change nothing. */
  close(name: CloseName, detail = ''): void {
    if (this.phase === 'closed') return;
    this.closeName = name;
    this.#leave();
    const { code, reason } = CLOSE[name];
    this.gateway.outbox.flushOne(this);
    this.socket.close(code, closeText(reason, detail));
  }
  /** Ends as the client asked. */
  farewell(): void {
    if (this.phase === 'closed') return;
    this.#leave();
    this.gateway.outbox.flushOne(this);
    this.socket.close(WS_NORMAL);
  }

  /** The way of a crash: no goodbye, and nothing is noted anywhere. */
  drop(): void {
    this.phase = 'closed';
    this.gateway.wheel.cancel(this);
    if (this.ackWatch !== null) this.gateway.wheel.cancel(this.ackWatch);
    this.socket.terminate();
  }

  #leave(): void {
    const before = this.phase;
    this.phase = 'closed';
    this.gateway.wheel.cancel(this);
    this.gateway.events.left(this, before);
  }
}

function closeText(reason: string, detail: string): string {
  if (detail === '') return reason;
  const text = `${reason}: ${detail}`;
  return cut(text);
}
function cut(text: string): string {
  let end = CLOSE_TEXT_MAX;
  while (Buffer.byteLength(text.slice(0, end)) > CLOSE_TEXT_MAX) end--;
  return text.slice(0, end);
}
