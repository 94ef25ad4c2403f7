// A client of the TCP door: commands pipelined over one connection, each a promise of its reply. Small on purpose, to be read beside
// README.md or copied: it does not reconnect, since only its caller knows what may be sent again (with the same idempotency key, a push may).
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { decodeFrame } from '../../link/codec.ts';
import { FrameWriter } from '../../link/frame-writer.ts';
import { Framer } from '../../link/framer.ts';
import { LIMITS } from '../../protocol/limits.ts';

export interface TcpReply {
  readonly status: number;
  /** Parsed JSON; null: the reply has no body. */
  readonly body: unknown;
}
export interface TcpClient {
  /** One command; many may be under way. Rejects when the connection ends before its reply: its outcome is unknown. */
  ask(op: string, input?: unknown): Promise<TcpReply>;
  /** Resolves with the last reply that answered nothing known (seq 0): why the other side closed. */
  readonly closed: Promise<TcpReply | null>;
  close(): void;
}

/** The connection ended before a reply came. */
export class TcpClosedError extends Error {
  readonly code = 'tcp-closed';
}

/** Connects and shows a credential; rejects with what the other side said when it is not taken. */
export async function openTcpClient(address: { host: string; port: number }, credential: string): Promise<TcpClient> {
  const socket = connect({ ...address, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const client = new Client(socket);
  const { status, body } = await client.ask('auth', { credential });
  if (status === 200) return client;
  client.close();
  throw new Error(`expected the credential to be taken, got ${status} ${JSON.stringify(body)}`);
}

class Client implements TcpClient {
  readonly closed: Promise<TcpReply | null>;
  readonly #socket: Socket;
  readonly #writer = new FrameWriter();
  readonly #waiting = new Map<number, { resolve: (reply: TcpReply) => void; reject: (error: Error) => void }>();
  #seq = 0;
  #flushAsked = false;
  #ended = false;
  #farewell: TcpReply | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    const framer = new Framer(LIMITS.linkFrameBytesMax);
    socket.on('data', (chunk: Buffer) => framer.feed(chunk, (payload) => this.#take(payload)));
    socket.on('error', () => socket.destroy());
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended = true;
        for (const { reject } of this.#waiting.values()) reject(new TcpClosedError('the connection ended'));
        this.#waiting.clear();
        resolve(this.#farewell);
      });
    });
  }

  ask(op: string, input: unknown = {}): Promise<TcpReply> {
    if (this.#ended) return Promise.reject(new TcpClosedError('the connection has ended'));
    return new Promise((resolve, reject) => {
      const seq = ++this.#seq;
      this.#waiting.set(seq, { resolve, reject });
      const body = Buffer.from(JSON.stringify(input));
      this.#writer.write({ kind: 'command', seq, op, app: '', account: '', device: '', body });
      if (this.#flushAsked) return;
      this.#flushAsked = true;
      setImmediate(() => this.#flush());
    });
  }

  close(): void {
    this.#flush();
    this.#socket.end();
  }

  #flush(): void {
    this.#flushAsked = false;
    if (this.#writer.length === 0 || this.#socket.destroyed) return;
    const bytes = this.#writer.take();
    this.#socket.write(bytes, () => this.#writer.giveBack(bytes));
  }
  #take(payload: Buffer): void {
    const frame = decodeFrame(payload);
    if (frame.kind !== 'reply') return;
    const text = Buffer.from(frame.body).toString();
    const reply = { status: frame.status, body: text === '' ? null : (JSON.parse(text) as unknown) };
    const waiting = this.#waiting.get(frame.seq);
    this.#waiting.delete(frame.seq);
    if (waiting === undefined) this.#farewell = reply;
    else waiting.resolve(reply);
  }
}
