import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Epoch, TopicName } from '../protocol/ids.ts';
import { Cursor, decideHint, end, hasRoom, hear, isBehind, noteAck, noteSent, place, rewind } from './cursor.ts';
import type { HintDecision } from './cursor.ts';

const E = 'e' as Epoch;
const OTHER = 'other' as Epoch;
const WINDOW = 4;

/** A cursor that has sent and had acked up to `offset`. */
function aCursor(offset = 10, changes: Partial<Cursor> = {}): Cursor {
  const cursor = new Cursor('news' as TopicName, { epoch: E, head: offset });
  place(cursor, E, offset);
  return Object.assign(cursor, changes);
}

describe('a hint', () => {
  const cases: readonly [title: string, cursor: Cursor, hint: [Epoch, number, number], decision: HintDecision][] = [
    ['continues the position', aCursor(), [E, 11, 10], 'deliver'],
    ['continues it over a hole', aCursor(), [E, 15, 10], 'deliver'],
    ['reaches back before the position', aCursor(), [E, 11, 3], 'deliver'],
    ['comes again', aCursor(), [E, 10, 9], 'known'],
    ['is older', aCursor(), [E, 3, 2], 'known'],
    ['leaves a gap', aCursor(), [E, 12, 11], 'read'],
    ['is of another epoch', aCursor(), [OTHER, 11, 10], 'read'],
    ['finds the window full', aCursor(10, { out: WINDOW }), [E, 11, 10], 'wait'],
    ['finds a gap and a full window', aCursor(10, { out: WINDOW }), [E, 13, 12], 'read'],
    ['finds a read under way', aCursor(10, { reading: true }), [E, 11, 10], 'wait'],
    ['opens a stream nobody had written', new Cursor('@low', { epoch: null, head: 0 }), [E, 1, 0], 'deliver'],
    ['comes second to a stream nobody had written', new Cursor('@low', { epoch: null, head: 0 }), [E, 2, 1], 'read'],
  ];
  for (const [title, cursor, [epoch, offset, prev], decision] of cases)
    test(`that ${title}: ${decision}`, () =>
      assert.equal(decideHint(cursor, { epoch, offset, prev }, WINDOW), decision));
});

describe('acks', () => {
  const sent = (...offsets: number[]): Cursor => {
    const cursor = aCursor(0);
    for (const offset of offsets) noteSent(cursor, offset, 1000);
    return cursor;
  };
  test('are cumulative and say how many deliveries they settle', () => {
    const cursor = sent(1, 2, 3);
    assert.deepEqual(noteAck(cursor, 2, 2000), { kind: 'moved', settled: 2 });
    assert.deepEqual([cursor.acked, cursor.inFlight, cursor.sinceMs], [2, 1, 2000]);
    assert.deepEqual(noteAck(cursor, 3, 2000), { kind: 'moved', settled: 1 });
    assert.equal(cursor.inFlight, 0);
  });
  test('that repeat or go back change nothing', () => {
    const cursor = sent(1, 2);
    noteAck(cursor, 2, 0);
    assert.deepEqual([noteAck(cursor, 2, 0).kind, noteAck(cursor, 1, 0).kind], ['nothing-new', 'nothing-new']);
  });
  test('of what was never written are beyond', () => assert.equal(noteAck(sent(1, 2), 3, 0).kind, 'beyond'));
  test('over holes count exactly (R4)', () => {
    const cursor = aCursor(0);
    for (const offset of [5, 10, 20]) {
      end(cursor, cursor.seen + 1, offset - 1, 'expired');
      noteSent(cursor, offset, 1000);
    }
    assert.deepEqual([cursor.acked, cursor.inFlight, cursor.out], [4, 3, 3], 'what is before the first has ended');
    assert.deepEqual(noteAck(cursor, 10, 0), { kind: 'moved', settled: 2 });
    assert.deepEqual([cursor.acked, cursor.inFlight], [19, 1]);
    noteAck(cursor, 20, 0);
    assert.deepEqual([cursor.acked, cursor.inFlight, cursor.out], [20, 0, 0]);
    assert.deepEqual(cursor.detail?.tally, { filtered: 0, expired: 17, cancelled: 0, dead: 0 });
  });
  test('count for what was written before a rewind', () => {
    const cursor = sent(1, 2, 3);
    noteAck(cursor, 1, 0);
    rewind(cursor, 2, 5000);
    assert.deepEqual([cursor.sent, cursor.seen, cursor.high, cursor.inFlight], [1, 1, 3, 2]);
    assert.equal(noteSent(cursor, 2, 6000), 0, 'written again, so not one more');
    assert.deepEqual(noteAck(cursor, 3, 0), { kind: 'moved', settled: 2 });
    assert.deepEqual([cursor.sent, cursor.seen, cursor.attempts], [3, 3, 0]);
  });
});

describe('a cursor', () => {
  test('is behind when the stream reaches further or has another epoch', () => {
    const cursor = aCursor(5);
    assert.equal(isBehind(cursor), false);
    hear(cursor.stream, E, 4);
    assert.equal(isBehind(cursor), false, 'an older head says nothing');
    hear(cursor.stream, E, 6);
    assert.equal(isBehind(cursor), true);
    hear(cursor.stream, OTHER, 1);
    assert.deepEqual([isBehind(cursor), cursor.stream.head], [true, 1]);
  });
  test('has room below the window and none at it', () => {
    const cursor = aCursor(0);
    for (let offset = 1; offset < WINDOW; offset++) noteSent(cursor, offset, 0);
    assert.equal(hasRoom(cursor, WINDOW), true);
    noteSent(cursor, WINDOW, 0);
    assert.equal(hasRoom(cursor, WINDOW), false);
    rewind(cursor, 1, 0);
    assert.equal(hasRoom(cursor, WINDOW), true, 'what is written again needs none');
  });
  test('goes to another epoch only with nothing under way', () => {
    const cursor = aCursor(0);
    noteSent(cursor, 1, 0);
    hear(cursor.stream, OTHER, 1);
    assert.equal(hasRoom(cursor, WINDOW), false);
    noteAck(cursor, 1, 0);
    assert.equal(hasRoom(cursor, WINDOW), true);
  });
});
