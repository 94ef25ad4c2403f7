// A client of the random walk: as the protocol asks it to be, with an application that fails at some messages. It takes what continues its
// position, ignores what it has, waits for what it gave back, and keeps what its application dealt with, by message.
import assert from 'node:assert/strict';
import type { MessageFrame, ServerFrame } from '../protocol/frames.ts';
import type { Epoch, MessageId } from '../protocol/ids.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import type { TestClient } from './test-client.ts';

export interface WalkBody {
  readonly n: number;
  /** The application never deals with it. */
  readonly poison: boolean;
  /** It fails at it so many times. */
  readonly failures: number;
}
interface Held {
  epoch: Epoch;
  offset: number;
  /** It gave something back: what follows is dropped until that comes again. */
  waits: boolean;
}
type Random = (below: number) => number;

export class WalkClient {
  readonly held = new Map<StreamName, Held>();
  /** What the application dealt with, in order, by stream. */
  readonly handled = new Map<StreamName, number[]>();
  /** What it acked by position, over connections. */
  readonly acked = new Map<StreamName, number>();
  readonly #failed = new Map<number, number>();
  readonly #random: Random;
  readonly #where: string;
  #read = 0;
  #conn: TestClient | null = null;
  #toAck = new Map<StreamName, MessageId[]>();

  constructor(random: Random, where: string) {
    this.#random = random;
    this.#where = where;
  }

  attach(conn: TestClient): void {
    this.#conn = conn;
    this.#read = 0;
    this.#toAck = new Map();
    for (const held of this.held.values()) held.waits = false;
  }
  get connected(): boolean {
    return this.#conn !== null && this.#conn.closed === null;
  }
  get conn(): TestClient {
    return this.#conn!;
  }
  /** Forgets its places and its connection: another account had the device. */
  forget(): void {
    this.held.clear();
    this.#conn = null;
  }

  /** Deals with what came. */
  take(): void {
    if (this.#conn === null) return;
    const frames = this.#conn.frames.slice(this.#read);
    this.#read = this.#conn.frames.length;
    for (const frame of frames) this.#one(frame);
  }

  #one(frame: ServerFrame): void {
    if (frame.type === 'welcome' || frame.type === 'subscribed') for (const state of frame.streams) this.#moved(state);
    else if (frame.type === 'stream') this.#moved(frame.state);
    else if (frame.type === 'message') this.#message(frame);
    else if (frame.type === 'error') {
      // Whoever comes without positions may hold, and ack, what this connection has not brought again yet.
      const isExpected = frame.code === 'store-unavailable' || frame.message.includes('expected an offset up to');
      assert.ok(isExpected, `${this.#where}: ${JSON.stringify(frame)}`);
    }
  }
  #moved({ stream, epoch, offset }: { stream: StreamName; epoch: Epoch; offset: number }): void {
    const before = this.held.get(stream);
    if (before === undefined || before.epoch !== epoch || offset > before.offset)
      this.held.set(stream, { epoch, offset, waits: false });
  }
  #message({ stream, offset, prev, body, id }: MessageFrame): void {
    const held = this.held.get(stream);
    assert.ok(held !== undefined && offset !== undefined, `${this.#where}: ${stream} was not opened`);
    if (offset <= held.offset) return;
    if ((prev ?? offset - 1) > held.offset) {
      assert.ok(held.waits, `${this.#where}: ${stream} gap before ${offset}, held ${held.offset}`);
      return;
    }
    const { n, poison, failures } = body as WalkBody;
    const failed = this.#failed.get(n) ?? 0;
    if (poison || failed < failures) {
      this.#failed.set(n, failed + 1);
      held.waits = true;
      this.#refuse(stream, offset, poison);
      return;
    }
    held.offset = offset;
    held.waits = false;
    this.handled.set(stream, [...(this.handled.get(stream) ?? []), n]);
    if (stream.startsWith('@')) this.#toAck.set(stream, [...(this.#toAck.get(stream) ?? []), id]);
  }

  /** Says so, or lets the ack timeout find out. */
  #refuse(stream: StreamName, offset: number, poison: boolean): void {
    const way = this.#random(4);
    if (way === 0) return;
    const more = poison && way === 1 ? { final: this.#random(2) === 0 ? 'dead' : 'person' } : {};
    this.conn.nack(stream, offset, more as { final?: 'dead' });
  }

  /** Acks some of what it holds, by position or by id. */
  ack(random: Random): void {
    if (!this.connected) return;
    const streams = [...this.held].filter(([, { offset }]) => offset > 0 && random(3) > 0);
    for (const [stream, { epoch, offset }] of streams) {
      const ids = this.#toAck.get(stream) ?? [];
      this.#toAck.delete(stream);
      if (ids.length > 0 && random(2) === 0)
        this.conn.send({ type: 'ack', positions: [], ids: ids.slice(0, 256).map((id) => ({ stream, id })) });
      else this.conn.send({ type: 'ack', positions: [{ stream, epoch, offset }] });
      if (ids.length === 0) this.acked.set(stream, offset);
    }
  }
  /** Acks everything, by position. */
  ackAll(): void {
    if (!this.connected) return;
    const positions = [...this.held].map(([stream, { epoch, offset }]) => ({ stream, epoch, offset }));
    this.conn.send({ type: 'ack', positions });
  }
  positions(): Position[] {
    return [...this.held].map(([stream, { epoch, offset }]) => ({ stream, epoch, offset }));
  }
}
