import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { Outbox } from './outbox.ts';
import type { Writer } from './outbox.ts';
import { turns } from '../test-client.ts';

/** A socket that takes `room` bytes before it says that it is full. */
class Sink {
  readonly written: Uint8Array[] = [];
  writableLength = 0;
  #onDrain: (() => void) | null = null;
  readonly #room: number;
  constructor(room: number) {
    this.#room = room;
  }
  write(bytes: Uint8Array): boolean {
    this.written.push(bytes);
    this.writableLength += bytes.length;
    if (this.writableLength >= this.#room) return false;
    this.writableLength = 0;
    return true;
  }
  once(_event: 'drain', listener: () => void): void {
    this.#onDrain = listener;
  }
  drain(): void {
    this.writableLength = 0;
    this.#onDrain?.();
  }
}

function aWriter(room = Number.POSITIVE_INFINITY): Writer & { readonly sink: Sink; drains: number } {
  const sink = new Sink(room);
  return {
    sink,
    tcp: sink as unknown as Socket,
    tail: null,
    backlog: 0,
    full: false,
    starved: false,
    drains: 0,
    drained() {
      this.drains++;
    },
  };
}
const frame = (text: string): Uint8Array => Buffer.from(text);
const text = (writer: { sink: Sink }): string[] => writer.sink.written.map((bytes) => Buffer.from(bytes).toString());

describe('an outbox', () => {
  test('writes what one tick brought in one write, in order', async () => {
    const outbox = new Outbox(1000);
    const writer = aWriter();
    for (const part of ['a', 'b', 'c']) outbox.offer(writer, frame(part));
    assert.deepEqual(text(writer), []);
    await turns(2);
    assert.deepEqual(text(writer), ['abc']);
    assert.deepEqual(outbox.counts, { bytes: 3, writes: 1, frames: 3 });
  });
  test('joins the bytes of a batch once for all who hear it', async () => {
    const outbox = new Outbox(1000);
    const writers = Array.from({ length: 50 }, () => aWriter());
    const parts = ['x', 'y'].map(frame);
    for (const part of parts) for (const writer of writers) outbox.offer(writer, part);
    await turns(2);
    assert.equal(new Set(writers.map(({ sink }) => sink.written[0])).size, 1);
    assert.deepEqual(text(writers[49]!), ['xy']);
  });
  test('keeps apart what differs between two who hear a batch', async () => {
    const outbox = new Outbox(1000);
    const [a, b, c] = [aWriter(), aWriter(), aWriter()];
    const shared = ['1', '2', '3'].map(frame);
    outbox.push(b, frame('own'));
    for (const part of shared) for (const writer of [a, b, c]) outbox.offer(writer, part);
    outbox.push(c, frame('end'));
    await turns(2);
    assert.deepEqual([a, b, c].flatMap(text), ['123', 'own123', '123end']);
  });
  test('serves more writers than one turn takes', async () => {
    const outbox = new Outbox(1000);
    const writers = Array.from({ length: 1300 }, () => aWriter());
    const part = frame('x');
    for (const writer of writers) outbox.offer(writer, part);
    await turns(6);
    assert.ok(writers.every(({ sink }) => sink.written.length === 1));
  });
  test('takes a frame at the limit and says slow past it', () => {
    const outbox = new Outbox(10);
    const writer = aWriter();
    assert.equal(outbox.offer(writer, frame('12345')), 'queued');
    assert.equal(outbox.offer(writer, frame('67890')), 'queued');
    assert.equal(outbox.offer(writer, frame('x')), 'slow');
  });
  test('takes one frame that is larger than the limit when nothing waits', () => {
    assert.equal(new Outbox(10).offer(aWriter(), frame('x'.repeat(100))), 'queued');
  });
  test('counts what the socket holds while it is full, and tells once when it has drained', async () => {
    const outbox = new Outbox(10);
    const writer = aWriter(8);
    outbox.offer(writer, frame('12345678'));
    await turns(2);
    assert.equal(writer.full, true);
    assert.equal(outbox.offer(writer, frame('123')), 'slow');
    writer.sink.drain();
    assert.deepEqual([writer.drains, writer.full, writer.backlog], [1, false, 0]);
    assert.equal(outbox.offer(writer, frame('123')), 'queued');
  });
  test('tells after the flush when it had said slow and the socket never was full', async () => {
    const outbox = new Outbox(4);
    const writer = aWriter();
    outbox.offer(writer, frame('1234'));
    outbox.offer(writer, frame('5'));
    assert.equal(writer.drains, 0);
    await turns(2);
    assert.equal(writer.drains, 1);
  });
  test('forgets what waits for a connection that is gone', async () => {
    const outbox = new Outbox(100);
    const writer = { ...aWriter(), tcp: null };
    outbox.offer(writer, frame('x'));
    await turns(2);
    assert.deepEqual(writer.sink.written, []);
  });
});
