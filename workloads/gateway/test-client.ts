// A client of tests: it speaks frames over a real WebSocket, keeps every one that came, and waits by turns of the event loop.
import type { WebSocket } from 'ws';
import type { ClientFrame, ServerFrame, TopicFilter } from '../protocol/frames.ts';
import type { MessageId, TopicName } from '../protocol/ids.ts';

const PATIENCE_MS = 5000;

/** Lets the event loop turn until `isDone`; fails by name after some real seconds. */
export async function until(what: string, isDone: () => boolean): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MS;
  while (!isDone()) {
    if (performance.now() > endsAt) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Turns of the event loop, for what must not happen. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

type FrameOf<T extends ServerFrame['type']> = Extract<ServerFrame, { type: T }>;

/** One client connection: every frame that came, in order. */
export class TestClient {
  readonly socket: WebSocket;
  readonly frames: ServerFrame[] = [];
  closed: { readonly code: number; readonly reason: string } | null = null;
  #read = 0;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => this.frames.push(JSON.parse(data.toString()) as ServerFrame));
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    socket.on('error', () => {});
  }

  send(frame: ClientFrame): void {
    this.socket.send(JSON.stringify(frame));
  }
  ack(stream: string, offset: number): void {
    this.send({ type: 'ack', positions: [{ stream: stream as TopicName, offset }] });
  }
  ackIds(stream: string, ids: readonly MessageId[]): void {
    this.send({ type: 'ack', positions: [], ids: ids.map((id) => ({ stream: stream as TopicName, id })) });
  }
  nack(stream: string, offset: number, more: Partial<Extract<ClientFrame, { type: 'nack' }>> = {}): void {
    this.send({ type: 'nack', stream: stream as TopicName, offset, reason: 'no', ...more });
  }
  subscribe(id: number, topic: string, filter?: TopicFilter | null): void {
    const request = { topic: topic as TopicName, ...(filter === undefined ? {} : { filter }) };
    this.send({ type: 'subscribe', id, topics: [request] });
  }
  /** The next frame, which must be of this type. */
  async next<T extends ServerFrame['type']>(type: T): Promise<FrameOf<T>> {
    await until(`a ${type} frame came`, () => this.frames.length > this.#read || this.closed !== null);
    const frame = this.frames[this.#read++];
    if (frame?.type !== type) throw new Error(`expected ${type}, got ${JSON.stringify(frame ?? this.closed)}`);
    return frame as FrameOf<T>;
  }
  async nextMessages(count: number): Promise<FrameOf<'message'>[]> {
    const out: FrameOf<'message'>[] = [];
    while (out.length < count) out.push(await this.next('message'));
    return out;
  }
  /** Frames that came and were not asked for. */
  get unread(): readonly ServerFrame[] {
    return this.frames.slice(this.#read);
  }
  welcome(): FrameOf<'welcome'> {
    const frame = this.frames.find((each) => each.type === 'welcome');
    if (frame === undefined) throw new Error('no welcome came');
    return frame;
  }
  async end(): Promise<{ readonly code: number; readonly reason: string }> {
    await until('the connection was closed', () => this.closed !== null);
    return this.closed!;
  }
}
