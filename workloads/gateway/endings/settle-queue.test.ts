import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Connection } from '../connect/connection.ts';
import { seeded } from '../../link/fixtures.ts';
import { Cursor } from './cursor.ts';
import { SETTLE_ENTRIES_MAX, SettleQueue } from './settle-queue.ts';

const LATEST_MS = 5000;
const PER_SECOND = 10;
const connection = {} as Connection;

function aLane(): Cursor {
  return new Cursor('@normal', { epoch: null, head: 0 });
}

/** A queue with its clock, and lanes by number. */
class Bench {
  readonly queue: SettleQueue;
  readonly lanes: Cursor[] = [];
  nowMs = 0;

  constructor(perSecond = PER_SECOND) {
    this.queue = new SettleQueue({ perSecond, latestMs: LATEST_MS, nowMs: 0 });
  }
  ack(lane: number, entries = 1): void {
    const cursor = (this.lanes[lane] ??= aLane());
    cursor.acked += entries;
    this.queue.note(connection, cursor, this.nowMs);
  }
  ackMany(from: number, to: number): void {
    for (let lane = from; lane <= to; lane++) this.ack(lane);
  }
  /** The lanes that go now; the store has them from then on. */
  take(max = 1000): number[] {
    if (!this.queue.isReady(this.nowMs)) return [];
    const taken = this.queue.take(max, this.nowMs).map(({ cursor }) => cursor);
    for (const cursor of taken) cursor.saved = cursor.acked;
    return taken.map((cursor) => this.lanes.indexOf(cursor));
  }
}

describe('acks of lanes go to the store', () => {
  test('at once while they are within the budget', () => {
    const bench = new Bench();
    bench.ackMany(0, 9);
    assert.deepEqual(bench.take(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(bench.queue.waiting, 0);
  });

  test('beyond it when it has grown again, oldest first', () => {
    const bench = new Bench();
    bench.ackMany(0, 14);
    assert.equal(bench.take().length, 10);
    assert.deepEqual(bench.take(), []);
    assert.equal(bench.queue.waiting, 5);
    bench.nowMs = 200;
    assert.deepEqual(bench.take(), [10, 11]);
    bench.nowMs = 300;
    assert.deepEqual(bench.take(), [12]);
  });

  test('after the longest time whatever the budget is, and not a millisecond sooner', () => {
    const bench = new Bench(0);
    bench.ackMany(0, 3);
    assert.deepEqual(bench.take(), [0], 'one token was there');
    bench.nowMs = LATEST_MS - 1;
    assert.deepEqual(bench.take(), []);
    bench.nowMs = LATEST_MS;
    assert.deepEqual(bench.take(), [1, 2, 3]);
  });

  test('once for all that was acked meanwhile', () => {
    const bench = new Bench(0);
    bench.ackMany(0, 1);
    bench.take();
    for (let i = 0; i < 5; i++) bench.ack(1);
    bench.nowMs = LATEST_MS;
    assert.deepEqual(bench.take(), [1]);
    assert.equal(bench.lanes[1]!.saved, 6);
  });

  test(`at once with ${SETTLE_ENTRIES_MAX} entries, which the stream would hold until then`, () => {
    const bench = new Bench(0);
    bench.ackMany(0, 2);
    bench.take();
    bench.ack(1, SETTLE_ENTRIES_MAX - 2);
    assert.deepEqual(bench.take(), []);
    bench.ack(1);
    assert.deepEqual(bench.take(), [1]);
    assert.equal(bench.queue.waiting, 1);
  });

  test('at once when they settle an entry for others, and only those', () => {
    const bench = new Bench(0);
    bench.ackMany(0, 2);
    bench.take();
    bench.lanes[2]!.hurriesTo = 2;
    bench.ack(2);
    assert.deepEqual(bench.take(), [2]);
    bench.ack(2);
    assert.deepEqual(bench.take(), [], 'that entry is settled');
  });

  test('at once when an entry expires before a settle that waited would be there, and not when it expires later', () => {
    const bench = new Bench(0);
    bench.ackMany(0, 2);
    bench.take();
    bench.lanes[1]!.expiresFirstMs = LATEST_MS + 2001;
    bench.lanes[2]!.expiresFirstMs = LATEST_MS + 2000;
    bench.ack(1);
    bench.ack(2);
    assert.deepEqual(bench.take(), [2]);
    bench.nowMs = 1;
    bench.ack(1);
    assert.deepEqual(bench.take(), [1]);
  });

  test('at once when its session ends, and when all are asked for', () => {
    const bench = new Bench(0);
    bench.ackMany(0, 5);
    bench.take();
    bench.queue.hurry(connection, bench.lanes[3]!);
    assert.deepEqual(bench.take(), [3]);
    bench.queue.hurryAll();
    assert.deepEqual(bench.take(), [1, 2, 4, 5]);
    assert.equal(bench.queue.waiting, 0);
  });

  test('no more of them in one call than it takes', () => {
    const bench = new Bench();
    bench.ackMany(0, 9);
    assert.equal(bench.take(4).length, 4);
    for (const lane of [0, 1]) bench.queue.hurry(connection, bench.lanes[lane]!);
    assert.deepEqual(bench.take(4), [0, 1, 4, 5]);
    assert.deepEqual(bench.take(4), [6, 7, 8, 9]);
  });
});

test('every ack reaches the store within the longest time, and what waits is counted (walk)', () => {
  const seed = 20_261_127;
  const chance = seeded(seed);
  const random = (below: number): number => Math.floor(chance() * below);
  const bench = new Bench(50);
  const sinceMs = new Map<number, number>();
  for (let step = 0; step < 20_000; step++) {
    bench.nowMs += random(20);
    const lane = random(300);
    bench.ack(lane, 1 + random(3));
    if (!sinceMs.has(lane)) sinceMs.set(lane, bench.nowMs);
    if (random(50) === 0) bench.queue.hurry(connection, bench.lanes[random(bench.lanes.length)] ?? bench.lanes[lane]!);
    if (random(3) === 0) for (const taken of bench.take(1 + random(40))) sinceMs.delete(taken);
    const behind = bench.lanes.filter((cursor) => cursor !== undefined && cursor.acked > cursor.saved).length;
    const idle = bench.lanes.filter((cursor) => cursor?.settling === 'due' && cursor.acked === cursor.saved).length;
    assert.equal(bench.queue.waiting, behind + idle, `seed ${seed}, step ${step}`);
    const oldest = Math.min(...sinceMs.values());
    assert.ok(
      bench.nowMs - oldest <= LATEST_MS + 500,
      `seed ${seed}, step ${step}: waits for ${bench.nowMs - oldest} ms`,
    );
  }
});
