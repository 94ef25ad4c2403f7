import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Epoch, TopicName } from '../../protocol/ids.ts';
import {
  Cursor,
  decideHint,
  end,
  hasRoom,
  hear,
  isBehind,
  isEnded,
  moveOn,
  noteAck,
  noteOf,
  noteSent,
  place,
  rewind,
} from './cursor.ts';
import type { HintDecision } from './cursor.ts';
import { noteSaved, prepareMoves } from './cursor-move.ts';
import { Session } from '../connect/session.ts';
import type { Permission } from '../connect/session.ts';

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

/** A cursor at 0 that has sent these, the offsets between having expired. */
function sent(...offsets: number[]): Cursor {
  const cursor = aCursor(0);
  for (const offset of offsets) {
    end(cursor, cursor.seen + 1, offset - 1, 'expired');
    noteSent(cursor, offset, 1000);
  }
  return cursor;
}

describe('R4: entries that end above the first that has not', () => {
  test('leave the cursor where it is, and it goes over them once it gets there', () => {
    const cursor = sent(1, 2, 3, 4);
    assert.equal(end(cursor, 2, 3, 'acked'), 2);
    assert.deepEqual(
      [cursor.acked, cursor.inFlight, cursor.out, isEnded(cursor, 3), isEnded(cursor, 4)],
      [0, 2, 2, true, false],
    );
    noteAck(cursor, 1, 0);
    assert.deepEqual([cursor.acked, cursor.inFlight], [3, 1]);
    noteAck(cursor, 4, 0);
    assert.deepEqual([cursor.acked, cursor.inFlight, cursor.detail], [4, 0, null], 'and nothing is kept of it');
  });
  test('are at most a window', () => {
    const cursor = sent(1, 2, 3, 4);
    end(cursor, 2, 4, 'acked');
    for (let offset = 5; hasRoom(cursor, WINDOW); offset++) {
      noteSent(cursor, offset, 0);
      end(cursor, offset, offset, 'acked');
    }
    assert.equal(cursor.high, 5);
  });
  test('end once, whatever is said of them later', () => {
    const cursor = sent(1, 2, 3);
    assert.deepEqual([end(cursor, 2, 2, 'dead'), end(cursor, 2, 2, 'acked'), end(cursor, 1, 3, 'expired')], [1, 0, 2]);
    assert.deepEqual(cursor.detail?.tally, { filtered: 0, expired: 2, cancelled: 0, dead: 1 });
  });
  test('that nobody was given are passed without an ack', () => {
    const cursor = aCursor(10);
    assert.equal(end(cursor, 11, 14, 'filtered'), 0);
    assert.deepEqual(
      [cursor.acked, cursor.seen, cursor.sent, cursor.inFlight],
      [14, 14, 10, 0],
      'prev of the next one is 10',
    );
    noteSent(cursor, 15, 0);
    assert.deepEqual([cursor.inFlight, cursor.acked, cursor.attempts], [1, 14, 1]);
  });
  test('stay ended while others are written again', () => {
    const cursor = sent(1, 2, 3, 4);
    end(cursor, 2, 2, 'acked');
    rewind(cursor, 1, 0);
    assert.deepEqual([cursor.sent, cursor.seen, cursor.out, cursor.inFlight], [0, 0, 0, 3]);
    end(cursor, 4, 4, 'acked');
    assert.deepEqual([cursor.seen, cursor.inFlight], [0, 2], 'what is before it is still to be written');
    noteSent(cursor, 1, 0);
    noteSent(cursor, 3, 0);
    assert.deepEqual([cursor.out, cursor.inFlight, cursor.attempts], [2, 2, 2]);
    noteAck(cursor, 3, 0);
    assert.deepEqual([cursor.acked, cursor.inFlight, cursor.out], [4, 0, 0]);
  });
});

describe('a rewind', () => {
  test('to an entry further up leaves those before it under way', () => {
    const cursor = sent(1, 2, 3, 4);
    rewind(cursor, 3, 0);
    assert.deepEqual([cursor.sent, cursor.seen, cursor.out, cursor.inFlight], [2, 2, 2, 4]);
  });
  test('begins after what the client was given last: over holes, but not over what it was given', () => {
    const holes = sent(1, 2, 6);
    rewind(holes, 6, 0);
    assert.equal(holes.sent, 2);
    const acked = sent(1, 2, 3);
    end(acked, 2, 2, 'acked');
    rewind(acked, 3, 0);
    assert.equal(acked.sent, 2);
  });
  test('begins where the client itself stands, when all before it has ended otherwise', () => {
    const cursor = sent(1, 2, 3);
    noteAck(cursor, 1, 0);
    end(cursor, 2, 2, 'dead');
    rewind(cursor, 3, 0);
    assert.deepEqual([cursor.acked, cursor.sent, cursor.seen], [2, 1, 2], 'it may never have taken the dead one');
  });
  test('never goes forward', () => {
    const cursor = sent(1, 2, 3);
    rewind(cursor, 1, 0);
    rewind(cursor, 3, 0);
    assert.deepEqual([cursor.sent, cursor.seen], [0, 0]);
  });
});

describe('R9: attempts', () => {
  test('are those of the lowest entry, and start over with the next one', () => {
    const cursor = sent(1, 2);
    for (let i = 0; i < 3; i++) {
      rewind(cursor, 1, 0);
      noteSent(cursor, 1, 0);
      noteSent(cursor, 2, 0);
    }
    assert.equal(cursor.attempts, 4);
    end(cursor, 1, 1, 'dead');
    assert.equal(cursor.attempts, 1, 'or a client that stalls would lose its window at once');
  });
  test('of earlier sessions count for their entry alone', () => {
    const cursor = aCursor(0);
    noteOf(cursor, 1).attempts = 3;
    noteSent(cursor, 1, 0);
    assert.equal(cursor.attempts, 4);
    const other = aCursor(0);
    noteOf(other, 1).attempts = 3;
    end(other, 1, 1, 'expired');
    noteSent(other, 2, 0);
    assert.equal(other.attempts, 1);
  });
});

describe('R12: what lies between the row in the store and the cursor', () => {
  test('is told by how it ended', () => {
    const cursor = sent(1, 4);
    end(cursor, 5, 6, 'filtered');
    noteSent(cursor, 7, 0);
    end(cursor, 8, 8, 'cancelled');
    noteAck(cursor, 7, 0);
    assert.equal(cursor.acked, 8);
    assert.deepEqual(cursor.detail?.tally, { filtered: 2, expired: 2, cancelled: 1, dead: 0 });
  });
  test('is counted only above the row: what a client asks for again was counted before', () => {
    const cursor = aCursor(2);
    cursor.saved = 5;
    end(cursor, 3, 7, 'filtered');
    assert.equal(cursor.detail?.tally.filtered, 2);
  });
  test('is gone (expired) when the stream goes on behind a gap or under another epoch', () => {
    const cursor = sent(1, 2, 3);
    noteAck(cursor, 1, 0);
    assert.equal(moveOn(cursor, OTHER, 9), 2, 'deliveries that ended by it');
    assert.deepEqual([cursor.epoch, cursor.acked, cursor.saved, cursor.inFlight], [OTHER, 9, 0, 0]);
    assert.equal(cursor.detail?.tally.expired, 8);
  });
  test('is told once: a move that arrives takes off what it told, and nothing where the cursor was placed anew meanwhile', () => {
    const permission = { app: 'a', account: 'a', device: 'd', topics: [], presence: false, issuedAtS: 0 };
    const session = new Session(permission as unknown as Permission, 1);
    const cursor = sent(1, 2, 3, 4);
    session.add(cursor);
    end(cursor, 1, 2, 'dead');
    const first = prepareMoves(session, false);
    end(cursor, 3, 3, 'dead');
    noteSaved(first);
    assert.deepEqual([cursor.saved, cursor.acked, cursor.detail?.tally.dead], [2, 3, 1]);
    const second = prepareMoves(session, false);
    place(cursor, OTHER, 7);
    end(cursor, 8, 8, 'dead');
    noteSaved(second);
    assert.deepEqual([cursor.saved, cursor.acked, cursor.detail?.tally.dead], [7, 8, 1]);
  });
  test('starts over when the stream goes back: the store lost its tail', () => {
    const cursor = aCursor(10);
    moveOn(cursor, OTHER, 4);
    assert.deepEqual([cursor.acked, cursor.saved, cursor.unstored, cursor.detail], [4, 4, true, null]);
  });
});
