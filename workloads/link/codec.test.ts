import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LIMITS } from '../protocol/limits.ts';
import type { LinkFrame } from '../protocol/link.ts';
import { decodeFrame } from './codec.ts';
import { LinkFrameError } from './frame-kinds.ts';
import { FrameWriter } from './frame-writer.ts';
import { Framer } from './framer.ts';
import { EVERY_FRAME, aDelivery, plain, seeded } from './fixtures.ts';

function encode(frames: readonly LinkFrame[]): Buffer {
  const writer = new FrameWriter();
  for (const frame of frames) writer.write(frame);
  return writer.take();
}
function faultOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof LinkFrameError) return error.fault;
    throw error;
  }
  return 'none';
}

test('every frame is read as it was written, wherever the bytes are cut', () => {
  const bytes = encode(EVERY_FRAME);
  const seed = Date.now() % 1_000_000;
  console.log(`seed ${seed}`);
  const random = seeded(seed);
  for (let round = 0; round < 300; round++) {
    const framer = new Framer(LIMITS.linkFrameBytesMax);
    const got: LinkFrame[] = [];
    const longest = round % 3 === 0 ? 4 : round % 3 === 1 ? 40 : bytes.length;
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + Math.floor(random() * longest);
      framer.feed(bytes.subarray(at, end), (payload) => got.push(decodeFrame(payload)));
      at = end;
    }
    assert.deepEqual(plain(got), plain(EVERY_FRAME));
  }
});

test('a record that lies within one chunk is a view into it, not a copy', () => {
  const bytes = encode([aDelivery()]);
  new Framer(1000).feed(bytes, (payload) => {
    const frame = decodeFrame(payload);
    assert.ok('record' in frame && frame.record.buffer === bytes.buffer);
  });
});

test('a payload of the largest size passes, one byte more is refused before its bytes are kept', () => {
  const header = (length: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(length);
    return bytes;
  };
  const feed = (length: number) => () =>
    new Framer(LIMITS.linkFrameBytesMax).feed(header(length), () => assert.fail('nothing is whole yet'));
  assert.equal(faultOf(feed(LIMITS.linkFrameBytesMax)), 'none');
  assert.equal(faultOf(feed(LIMITS.linkFrameBytesMax + 1)), 'too-large');
  assert.equal(faultOf(feed(0)), 'malformed');
});

test('the writer takes a frame of the largest size and refuses one byte more, leaving the others as they were', () => {
  const writer = new FrameWriter();
  writer.write({ kind: 'ping', seq: 1 });
  const rest = encode([aDelivery({ record: new Uint8Array(0) })]).length - 4;
  const largest = new Uint8Array(LIMITS.linkFrameBytesMax - rest);
  writer.write(aDelivery({ record: largest }));
  const before = writer.length;
  const over = new Uint8Array(largest.length + 1);
  assert.equal(
    faultOf(() => writer.write(aDelivery({ record: over }))),
    'too-large',
  );
  assert.equal(writer.length, before);
});

test('a taken buffer is written again only once it was given back', () => {
  const writer = new FrameWriter();
  writer.write({ kind: 'ping', seq: 1 });
  const first = writer.take();
  const kept = Buffer.from(first);
  writer.write({ kind: 'ping', seq: 2 });
  assert.deepEqual(first, kept);
  writer.giveBack(first);
  writer.take();
  writer.write({ kind: 'ping', seq: 3 });
  assert.equal(writer.take().buffer, first.buffer);
});

describe('a payload is refused', () => {
  const whole = encode([aDelivery()]).subarray(4);
  const cases: readonly [title: string, payload: Buffer, fault: string][] = [
    ['of an unknown kind', Buffer.from([16]), 'unknown-kind'],
    ['of kind 0', Buffer.from([0]), 'unknown-kind'],
    ['with bytes left over', Buffer.concat([whole, Buffer.from([0])]), 'malformed'],
    ['with an outcome that is not in the list', Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]), 'malformed'],
    ['with a text that runs past its end', Buffer.from([4, 255, 255, 65]), 'malformed'],
  ];
  for (const [title, payload, fault] of cases)
    test(title, () => {
      assert.equal(
        faultOf(() => decodeFrame(payload)),
        fault,
      );
    });
  test('cut anywhere, of every kind', () => {
    for (const frame of EVERY_FRAME) {
      const payload = encode([frame]).subarray(4);
      const step = Math.max(1, Math.floor(payload.length / 200));
      for (let length = 1; length < payload.length; length += step)
        assert.equal(
          faultOf(() => decodeFrame(payload.subarray(0, length))),
          'malformed',
          `${frame.kind} at ${length}`,
        );
    }
  });

  test('with a count of rows that the frame cannot hold, without room being made for them', () => {
    for (const frame of EVERY_FRAME) {
      if (frame.kind !== 'answer-many' || frame.slow.length > 0) continue;
      const payload = Buffer.from(encode([frame]).subarray(4));
      payload.writeUInt32LE(0xffff_ffff, 9); // kind, seq, then the first count
      const before = process.memoryUsage().heapUsed;
      assert.equal(
        faultOf(() => decodeFrame(payload)),
        'malformed',
      );
      assert.ok(process.memoryUsage().heapUsed - before < 1024 * 1024);
    }
    const many = encode([EVERY_FRAME.find((frame) => frame.kind === 'deliver-many' && frame.rows.length === 0)!]);
    const forged = Buffer.from(many.subarray(4));
    forged.writeUInt32LE(0xffff_ffff, forged.length - 4); // the count comes last where there are no rows
    assert.equal(
      faultOf(() => decodeFrame(forged)),
      'malformed',
    );
  });
});

test('random bytes never end in anything but frames or a named fault', () => {
  const seed = Date.now() % 1_000_000;
  console.log(`seed ${seed}`);
  const random = seeded(seed);
  const good = encode(EVERY_FRAME);
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.from(good);
    for (let i = 0; i < 3; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    const fault = faultOf(() => new Framer(LIMITS.linkFrameBytesMax).feed(bytes, (payload) => decodeFrame(payload)));
    assert.ok(['none', 'malformed', 'unknown-kind', 'too-large'].includes(fault));
  }
});
