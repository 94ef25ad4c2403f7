// The second door of the API (D3): the same commands as over HTTP, pipelined over one TCP connection, in the frames of links. The first
// command is `auth` with a credential; after that each command is answered by a reply of its seq, in whatever order they end. What does
// not keep to that gets a reply that says so and is closed. role.ts opens it beside the HTTP port.
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { AppDefinition } from '../../protocol/apps.ts';
import { ERRORS, RefusedError } from '../../protocol/codes.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Command, Reply } from '../../protocol/link.ts';
import { decodeFrame } from '../../link/codec.ts';
import { LinkFrameError } from '../../link/frame-kinds.ts';
import { FrameWriter } from '../../link/frame-writer.ts';
import { Framer } from '../../link/framer.ts';
import type { Clock } from '../../runtime/clock.ts';
import { describeError } from '../../runtime/http.ts';
import type { Log } from '../../runtime/log.ts';
import type { Authorizer } from '../api/authorize.ts';
import { replyOf } from './client-door.ts';
import type { Commands } from '../api/commands.ts';

export interface TcpDoorOptions {
  readonly bind: string;
  /** 0 picks one. */
  readonly port: number;
  readonly authorizer: Pick<Authorizer, 'authorize'>;
  readonly commands: Pick<Commands, 'run'>;
  readonly clock: Clock;
  readonly log: Log;
  /** After each reply, for metrics. */
  readonly onReply: (op: string, status: number, ms: number) => void;
}
export interface TcpDoor {
  readonly port: number;
  connections(): number;
  /** Takes nothing more, lets commands under way end for at most `graceMs`, then cuts. */
  close(graceMs: number): Promise<void>;
  kill(): void;
}

/** Connections at once; each holds at most a frame that is coming in and replies that wait to leave. */
export const TCP_CONNECTIONS_MAX = 1000;
/** Commands under way on one connection; the socket is not read while there are as many. */
export const TCP_IN_FLIGHT_MAX = 256;
/** Until the connection has shown a credential, and its first frame may have: a credential and a name. */
export const TCP_AUTH_MS = 5000;
export const TCP_AUTH_BYTES_MAX = LIMITS.credentialCharsMax + 1024;
/** A frame that stops in the middle, or a reader that takes no replies, holds a connection for so long. */
export const TCP_STALL_MS = 30_000;
const TICK_MS = 1000;
const REPLIES_BYTES_MAX = 4 * 1024 * 1024;
/** The credential is looked at again this often: tokens run out, keys are taken back, quotas change. */
const RECHECK_MS = 10_000;

export async function startTcpDoor(options: TcpDoorOptions): Promise<TcpDoor> {
  const sessions = new Set<DoorSession>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    if (sessions.size >= TCP_CONNECTIONS_MAX) return void socket.destroy();
    sessions.add(new DoorSession(options, socket, (session) => sessions.delete(session)));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.bind, () => {
      server.off('error', reject);
      server.on('error', (error) => options.log.error({ problem: String(error) }, 'TCP door failed'));
      resolve();
    });
  });
  const cancelTick = options.clock.every(TICK_MS, () => sessions.forEach((session) => session.tick()));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => sessions.size,
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.finish();
      const cut = setTimeout(() => sessions.forEach((session) => session.end()), graceMs);
      await closed;
      clearTimeout(cut);
      cancelTick();
    },
    kill() {
      server.close();
      cancelTick();
      for (const session of sessions) session.end();
    },
  };
}

class DoorSession {
  readonly #options: TcpDoorOptions;
  readonly #socket: Socket;
  readonly #framer = new Framer(TCP_AUTH_BYTES_MAX);
  readonly #writer = new FrameWriter();
  readonly #onEnd: (session: DoorSession) => void;
  #app: AppDefinition | null = null;
  #credential = '';
  #checkedMs = 0;
  #authorizing = false;
  /** Frames that came in one chunk past what may be under way. */
  #waiting: Command[] = [];
  #inFlight = 0;
  #flushAsked = false;
  /** Nothing more is read: the peer has ended its side, or is being closed. */
  #finishing = false;
  #refused = false;
  #ended = false;
  #heardMs: number;

  constructor(options: TcpDoorOptions, socket: Socket, onEnd: (session: DoorSession) => void) {
    this.#options = options;
    this.#socket = socket;
    this.#onEnd = onEnd;
    this.#heardMs = options.clock.monotonicMs();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => this.finish());
    socket.on('drain', () => this.#resume());
    socket.on('error', () => this.end());
    socket.on('close', () => this.end());
  }

  /** Lets what is under way end, then closes. */
  finish(): void {
    this.#finishing = true;
    this.#closeWhenDone();
  }
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#framer.stop();
    this.#waiting = [];
    this.#socket.destroy();
    this.#onEnd(this);
  }

  /** Without a credential in time, with half a frame, or with replies that nobody takes, it ends. Idle ones may stay. */
  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const silentMs = nowMs - this.#heardMs;
    if (this.#app !== null && nowMs - this.#checkedMs >= RECHECK_MS)
      this.#check().catch((error: unknown) => {
        if (error instanceof RefusedError) this.#refuse(0, error.code, error.message);
        else this.end();
      });
    const owes = this.#framer.isWithinFrame || this.#socket.writableLength > 0;
    if (this.#app === null ? silentMs >= TCP_AUTH_MS : owes && silentMs >= TCP_STALL_MS) this.end();
  }

  #read(chunk: Buffer): void {
    if (this.#finishing) return;
    if (this.#app !== null) this.#heardMs = this.#options.clock.monotonicMs();
    try {
      this.#framer.feed(chunk, (payload) => this.#take(decodeFrame(payload)));
    } catch (error) {
      if (!(error instanceof LinkFrameError)) throw error;
      this.#refuse(0, error.fault === 'too-large' ? 'too-large' : 'invalid-request', error.message);
    }
  }

  #take(frame: ReturnType<typeof decodeFrame>): void {
    if (this.#finishing) return;
    if (frame.kind === 'ping') return this.#put({ kind: 'pong', seq: frame.seq });
    if (frame.kind !== 'command') return this.#refuse(0, 'invalid-request', `expected commands, got ${frame.kind}`);
    this.#waiting.push(frame);
    this.#next();
    if (this.#waiting.length > 0) this.#socket.pause();
  }

  /** Commands leave in their order; each ends when it ends. */
  #next(): void {
    while (this.#waiting.length > 0 && !this.#authorizing && this.#inFlight < TCP_IN_FLIGHT_MAX) {
      const command = this.#waiting.shift()!;
      if (this.#app === null) void this.#authorize(command);
      else void this.#run(this.#app, command);
    }
    this.#resume();
  }
  #resume(): void {
    const full = this.#waiting.length > 0 || this.#socket.writableLength > REPLIES_BYTES_MAX;
    if (!full && !this.#ended && this.#socket.isPaused()) this.#socket.resume();
  }

  async #authorize({ seq, op, body }: Command): Promise<void> {
    if (op !== 'auth') return this.#refuse(seq, 'unauthenticated', 'expected the command auth first');
    this.#authorizing = true;
    try {
      this.#credential = credentialOf(body);
      await this.#check();
      if (this.#refused) return;
      this.#heardMs = this.#checkedMs;
      this.#framer.raise(LIMITS.linkFrameBytesMax);
      this.#put(replyOf(seq, 200, { app: this.#app!.name }));
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      return this.#refuse(seq, error.code, error.message);
    } finally {
      this.#authorizing = false;
      this.#closeWhenDone();
    }
    this.#next();
  }

  /** Rejects with RefusedError. */
  async #check(): Promise<void> {
    const { authorizer, clock } = this.#options;
    this.#checkedMs = clock.monotonicMs();
    this.#app = await authorizer.authorize(`Bearer ${this.#credential}`);
  }

  async #run(app: AppDefinition, { seq, op, body }: Command): Promise<void> {
    const startedMs = performance.now();
    this.#inFlight++;
    const answer = await this.#options.commands.run({ app, op, bytes: body, origin: null, log: this.#options.log });
    this.#inFlight--;
    this.#options.onReply(op, answer.status, performance.now() - startedMs);
    this.#reply(seq, answer);
    if (this.#socket.writableLength + this.#writer.length > REPLIES_BYTES_MAX) this.#socket.pause();
    this.#next();
    this.#closeWhenDone();
  }

  /** An answer that no frame holds is said to be one. */
  #reply(seq: number, { status, body }: { readonly status: number; readonly body: unknown }): void {
    try {
      this.#put(replyOf(seq, status, body));
    } catch (error) {
      if (!(error instanceof LinkFrameError)) throw error;
      const refused = new RefusedError('too-large', `the answer: ${error.message}; ask for fewer at once`);
      this.#put(replyOf(seq, ERRORS['too-large'].status, { error: describeError(refused) }));
    }
  }

  /** Says why, then closes: what follows on this connection has no meaning. */
  #refuse(seq: number, code: keyof typeof ERRORS, message: string): void {
    this.#finishing = true;
    this.#refused = true;
    this.#framer.stop();
    this.#waiting = [];
    this.#put(replyOf(seq, ERRORS[code].status, { error: describeError(new RefusedError(code, message)) }));
    this.#closeWhenDone();
  }

  #put(frame: Reply | { readonly kind: 'pong'; readonly seq: number }): void {
    if (this.#ended) return;
    this.#writer.write(frame);
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    setImmediate(() => this.#flush());
  }
  #flush(): void {
    this.#flushAsked = false;
    if (this.#ended) return;
    const bytes = this.#writer.take();
    this.#socket.write(bytes, () => this.#writer.giveBack(bytes));
    // Also of pongs: who sends and reads nothing is not read either, and ends as stalled.
    if (this.#socket.writableLength > REPLIES_BYTES_MAX) this.#socket.pause();
    this.#closeWhenDone();
  }
  #closeWhenDone(): void {
    if (!this.#finishing || this.#ended || this.#flushAsked) return;
    if (this.#inFlight > 0 || this.#waiting.length > 0 || this.#authorizing) return;
    this.#ended = true;
    this.#framer.stop();
    this.#onEnd(this);
    this.#socket.end();
    // What a peer still sends is not read; one that never closes its side is cut.
    this.#socket.resume();
    const cancel = this.#options.clock.after(TICK_MS, () => this.#socket.destroy());
    this.#socket.once('close', cancel);
  }
}

/** `{"credential":"…"}`: an API key or a token. Throws RefusedError. */
function credentialOf(body: Uint8Array): string {
  try {
    const { credential } = JSON.parse(Buffer.from(body).toString()) as { credential?: unknown };
    if (typeof credential === 'string' && credential !== '') return credential;
  } catch {
    // said below
  }
  throw new RefusedError('unauthenticated', 'credential: expected a text with an API key or a token', {
    field: 'credential',
  });
}
