import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameWriter } from '../../link/frame-writer.ts';
import type { BootId, DeviceId, Epoch } from '../../protocol/ids.ts';
import { SHOP } from '../fixtures.ts';
import { MANY_FRAME_BYTES_MAX, MANY_ROWS_MAX, framesOfMany } from './many.ts';

const BOOT = 'boot-1' as BootId;
function aMany(rows: number, options: { recordBytes?: number; nameChars?: number } = {}) {
  return {
    app: SHOP,
    lane: 'normal' as const,
    record: new Uint8Array(options.recordBytes ?? 100),
    rows: Array.from({ length: rows }, (_, i) => ({
      device: `d-${i}`.padEnd(options.nameChars ?? 8, 'x') as DeviceId,
      epoch: 'e'.repeat(22) as Epoch,
      offset: i + 1,
      prev: i,
    })),
  };
}
const bytesOf = (frame: ReturnType<typeof framesOfMany>[number]): number => {
  const writer = new FrameWriter();
  writer.write({ ...frame, seq: 1 });
  return writer.length;
};

test('rows of one gateway go in frames of at most 500, in their order', () => {
  const many = aMany(1201);
  const frames = framesOfMany(many, BOOT);
  assert.deepEqual(
    frames.map(({ rows }) => rows.length),
    [500, 500, 201],
  );
  assert.deepEqual(
    frames.flatMap(({ rows }) => rows),
    many.rows,
  );
  assert.equal(framesOfMany(aMany(MANY_ROWS_MAX), BOOT).length, 1);
});

test('no frame passes 256 KiB, whatever the size of its record and its names', () => {
  for (const recordBytes of [0, 37_000, 200_000])
    for (const nameChars of [8, 128]) {
      const many = aMany(3000, { recordBytes, nameChars });
      const frames = framesOfMany(many, BOOT);
      for (const frame of frames) assert.ok(bytesOf(frame) <= MANY_FRAME_BYTES_MAX, String(bytesOf(frame)));
      assert.equal(frames.flatMap(({ rows }) => rows).length, 3000);
    }
});

test('a record larger than a frame’s share goes with one row a frame', () => {
  assert.deepEqual(
    framesOfMany(aMany(3, { recordBytes: MANY_FRAME_BYTES_MAX }), BOOT).map(({ rows }) => rows.length),
    [1, 1, 1],
  );
});

test('no rows, no frame', () => assert.deepEqual(framesOfMany(aMany(0), BOOT), []));
