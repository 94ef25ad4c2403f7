import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MessageFrame, StreamState } from '../protocol/frames.ts';
import type { Epoch, MessageId, TopicName } from '../protocol/ids.ts';
import type { NotRecoveredReason, Position, StreamName } from '../protocol/streams.ts';
import { nextRandom } from './backoff.ts';
import { InboxStream } from './inbox-stream.ts';
import { Inbox } from './inbox.ts';
import type { InboxItem } from './inbox.ts';

const NORMAL: StreamName = '@normal';
const E1 = 'e1' as Epoch;
const E2 = 'e2' as Epoch;

function anInbox(positions: readonly Position[] = [], more: { queueMax?: number; seenIdsMax?: number } = {}): Inbox {
  return new Inbox({ positions, seen: [], seenIdsMax: more.seenIdsMax ?? 1000, queueMax: more.queueMax ?? 1000 });
}
function aState(offset: number, more: Partial<StreamState> = {}): StreamState {
  return { stream: NORMAL, epoch: E1, offset, recovered: true, ...more };
}
function aMessage(offset: number, more: { prev?: number; stream?: StreamName; id?: string } = {}): MessageFrame {
  const { id = `m${offset}`, stream = NORMAL } = more;
  const base = { type: 'message', stream, id: id as MessageId, sentAtMs: 0, body: offset, offset } as const;
  return more.prev === undefined ? base : { ...base, prev: more.prev };
}
function aLive(id: string, stream: StreamName = 'news' as TopicName): MessageFrame {
  return { type: 'message', stream, id: id as MessageId, sentAtMs: 0, body: id };
}
/** Takes, "handles" and settles everything; answers the bodies handed on. */
function drain(inbox: Inbox): unknown[] {
  const items = inbox.take(10_000);
  inbox.settle(items);
  return items.flatMap((item) => (item.frame === null ? [] : [item.frame.body]));
}

describe('one connection', () => {
  test('hands each message once, in order, and holds what was settled', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    assert.deepEqual(
      [1, 2, 2, 1, 3].map((offset) => inbox.message(1, aMessage(offset))),
      ['queued', 'queued', 'duplicate', 'duplicate', 'queued'],
    );
    assert.deepEqual(inbox.position(NORMAL), null);
    assert.deepEqual(drain(inbox), [1, 2, 3]);
    assert.deepEqual(inbox.positions(), [{ stream: NORMAL, epoch: E1, offset: 3 }]);
    assert.deepEqual(inbox.acks(1, [NORMAL]), [{ stream: NORMAL, epoch: E1, offset: 3 }]);
  });

  test('a hole that prev explains is no gap; one that it does not explain is, once', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    assert.equal(inbox.message(1, aMessage(4, { prev: 0 })), 'queued');
    assert.equal(inbox.message(1, aMessage(7, { prev: 6 })), 'gap');
    assert.equal(inbox.message(1, aMessage(8)), 'dropped');
    assert.equal(inbox.counters().gaps, 1);
    assert.deepEqual(drain(inbox), [4]);
    inbox.welcome(2, [aState(4)]);
    for (const offset of [5, 6, 7, 8]) assert.equal(inbox.message(2, aMessage(offset)), 'queued');
    assert.deepEqual(drain(inbox), [5, 6, 7, 8]);
  });

  test('a message whose stream the connection never named is a gap: its epoch is unknown', () => {
    const inbox = anInbox();
    inbox.welcome(1, []);
    assert.equal(inbox.message(1, aMessage(1)), 'gap');
  });

  test('live messages have no place: handed once by id, never acked', () => {
    const inbox = anInbox();
    inbox.welcome(1, []);
    assert.equal(inbox.message(1, aLive('a')), 'queued');
    assert.equal(inbox.message(1, aLive('a')), 'duplicate');
    assert.equal(inbox.message(1, aLive('b')), 'queued');
    assert.deepEqual(drain(inbox), ['a', 'b']);
    assert.deepEqual(inbox.positions(), []);
  });

  test('higher lanes go first, then topics, then @low; each in its order', () => {
    const inbox = anInbox();
    const streams: StreamName[] = ['@low', 'news' as TopicName, '@normal', '@high'];
    inbox.welcome(
      1,
      streams.map((stream) => aState(0, { stream })),
    );
    for (const stream of streams)
      for (const offset of [1, 2]) inbox.message(1, aMessage(offset, { stream, id: `${stream}${offset}` }));
    const handed = inbox.take(100).flatMap(({ frame }) => (frame === null ? [] : [`${frame.stream}${frame.offset}`]));
    assert.deepEqual(handed, ['@high1', '@high2', '@normal1', '@normal2', 'news1', 'news2', '@low1', '@low2']);
  });

  test('a duplicate of what is held asks for the ack again, once', () => {
    const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 5 }]);
    inbox.welcome(1, [aState(3)]);
    inbox.message(1, aMessage(4));
    inbox.message(1, aMessage(5));
    assert.deepEqual(inbox.takeAcksAgain(), { streams: new Set([NORMAL]), ids: [] });
    assert.deepEqual(inbox.takeAcksAgain(), { streams: new Set(), ids: [] });
  });
});

describe('limits', () => {
  test('at queueMax durable messages wait to come again, live ones are dropped and counted', () => {
    const inbox = anInbox([], { queueMax: 3 });
    inbox.welcome(1, [aState(0)]); // the position takes one place
    assert.equal(inbox.message(1, aMessage(1)), 'queued');
    assert.equal(inbox.message(1, aLive('a')), 'queued');
    assert.equal(inbox.message(1, aLive('b')), 'dropped');
    assert.equal(inbox.message(1, aMessage(2)), 'dropped');
    assert.equal(inbox.message(1, aMessage(3)), 'dropped');
    assert.equal(inbox.counters().overflowed, 1);
    drain(inbox);
    assert.equal(inbox.message(1, aMessage(2)), 'queued');
    assert.equal(inbox.message(1, aMessage(3)), 'queued');
  });

  test('remembers seenIdsMax ids, not one more', () => {
    const inbox = anInbox([], { seenIdsMax: 2 });
    inbox.welcome(1, []);
    for (const id of ['a', 'b']) inbox.message(1, aLive(id));
    assert.equal(inbox.message(1, aLive('a')), 'duplicate');
    inbox.message(1, aLive('c'));
    assert.equal(inbox.message(1, aLive('a')), 'queued');
  });
});

describe('two connections in a drain', () => {
  test('messages on both are handed once, whoever comes first', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    for (const offset of [1, 2, 3]) inbox.message(1, aMessage(offset));
    inbox.settle(inbox.take(2)); // held: 1
    inbox.welcome(2, [aState(1)]);
    assert.equal(inbox.message(2, aMessage(2)), 'duplicate');
    assert.equal(inbox.message(1, aMessage(4)), 'queued');
    assert.equal(inbox.message(2, aMessage(3)), 'duplicate');
    assert.equal(inbox.message(2, aMessage(4)), 'duplicate');
    assert.equal(inbox.message(2, aMessage(5)), 'queued');
    assert.equal(inbox.message(1, aMessage(5)), 'duplicate');
    assert.deepEqual(drain(inbox), [2, 3, 4, 5]);
  });

  test('a gap on the old connection is left to the new one', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    inbox.welcome(2, [aState(0)]);
    assert.equal(inbox.message(1, aMessage(3)), 'dropped');
    assert.equal(inbox.counters().gaps, 0);
  });

  test('the old connection of an earlier epoch is not listened to', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    inbox.message(1, aMessage(1));
    inbox.welcome(2, [aState(0, { epoch: E2 })]);
    assert.equal(inbox.message(1, aMessage(2)), 'dropped');
    assert.equal(inbox.message(2, aMessage(1, { id: 'n1' })), 'queued');
    assert.deepEqual(drain(inbox), [1, 1]);
    assert.deepEqual(inbox.acks(1, [NORMAL]), []);
    assert.deepEqual(inbox.acks(2, [NORMAL]), [{ stream: NORMAL, epoch: E2, offset: 1 }]);
  });
});

describe('epochs', () => {
  test('a stream that went on under a new epoch with nothing missing is not reported', () => {
    const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 9 }]);
    assert.deepEqual(inbox.welcome(1, [aState(0, { epoch: E2 })]), []);
    assert.equal(inbox.message(1, aMessage(1)), 'queued');
    drain(inbox);
    assert.deepEqual(inbox.position(NORMAL), { epoch: E2, offset: 1 });
  });

  test('the position moves to the new epoch only behind what still waits of the old one', () => {
    const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 0 }]);
    inbox.welcome(1, [aState(0)]);
    inbox.message(1, aMessage(1));
    inbox.streamState(1, aState(0, { epoch: E2 }));
    inbox.settle(inbox.take(1));
    assert.deepEqual(inbox.position(NORMAL), { epoch: E1, offset: 1 });
    inbox.settle(inbox.take(1));
    assert.deepEqual(inbox.position(NORMAL), { epoch: E2, offset: 0 });
  });

  test('what was handed on before the store lost its tail is not handed on again under the new epoch', () => {
    const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 0 }]);
    inbox.welcome(1, [aState(0)]);
    for (const offset of [1, 2, 3]) inbox.message(1, aMessage(offset));
    drain(inbox);
    const gaps = inbox.welcome(2, [aState(0, { epoch: E2, recovered: false, reason: 'ahead' })]);
    assert.deepEqual(gaps, [
      { stream: NORMAL, reason: 'ahead', from: { epoch: E1, offset: 3 }, to: { epoch: E2, offset: 0 } },
    ]);
    assert.equal(inbox.message(2, aMessage(1, { id: 'm3' })), 'duplicate');
    assert.equal(inbox.message(2, aMessage(2, { id: 'm4' })), 'queued');
    assert.deepEqual(drain(inbox), [2]);
    assert.deepEqual(inbox.position(NORMAL), { epoch: E2, offset: 2 });
  });

  test('a new connection that begins in the earlier epoch again repeats nothing', () => {
    const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 1 }]);
    inbox.welcome(1, [aState(1)]);
    inbox.message(1, aMessage(2));
    inbox.streamState(1, aState(0, { epoch: E2 }));
    inbox.message(1, aMessage(1, { id: 'n1' }));
    inbox.welcome(2, [aState(1)]); // the hello named what was held
    assert.equal(inbox.message(2, aMessage(2)), 'duplicate');
    inbox.streamState(2, aState(0, { epoch: E2 }));
    assert.equal(inbox.message(2, aMessage(1, { id: 'n1' })), 'duplicate');
    assert.equal(inbox.message(2, aMessage(2, { id: 'n2' })), 'queued');
    assert.deepEqual(drain(inbox), [2, 1, 2]);
    assert.deepEqual(inbox.position(NORMAL), { epoch: E2, offset: 2 });
  });

  const reasons: readonly { reason: NotRecoveredReason; at: number; reported: boolean; name: string }[] = [
    { name: 'trimmed beyond us', reason: 'trimmed', at: 20, reported: true },
    { name: 'trimmed before what the old connection had brought', reason: 'trimmed', at: 4, reported: false },
    {
      name: 'no position named, and the cursor of the server is not beyond us',
      reason: 'no-position',
      at: 5,
      reported: false,
    },
  ];
  for (const { name, reason, at, reported } of reasons) {
    test(`not recovered, ${name}: ${reported ? '' : 'not '}reported`, () => {
      const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 5 }]);
      const gaps = inbox.welcome(1, [aState(at, { recovered: false, reason })]);
      assert.equal(gaps.length, reported ? 1 : 0);
      assert.equal(inbox.message(1, aMessage(Math.max(at, 5) + 1)), 'queued');
    });
  }

  test('a stream that begins with this client is no loss', () => {
    assert.deepEqual(anInbox().welcome(1, [aState(40, { recovered: false, reason: 'no-position' })]), []);
  });
});

describe('an application that fails', () => {
  test('gets the message, and those behind it, again; nothing of them is acked', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    for (const offset of [1, 2, 3, 4]) inbox.message(1, aMessage(offset));
    const [start, one, two] = inbox.take(3);
    inbox.settle([start!, one!]);
    assert.equal(inbox.giveBack([two!]), false);
    assert.equal(inbox.take(10).length, 0);
    assert.equal(inbox.message(1, aMessage(5)), 'dropped');
    assert.equal(inbox.counters().gaps, 0);
    assert.deepEqual(inbox.acks(1, [NORMAL])[0]?.offset, 1);
    for (const offset of [2, 3, 4, 5]) assert.equal(inbox.message(1, aMessage(offset)), 'queued');
    assert.deepEqual(drain(inbox), [2, 3, 4, 5]);
  });

  test('does not skip what it failed at when the stream moves to another epoch meanwhile', () => {
    const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 0 }]);
    inbox.welcome(1, [aState(0)]);
    inbox.message(1, aMessage(1));
    inbox.giveBack(inbox.take(1));
    assert.equal(inbox.streamState(1, aState(0, { epoch: E2 })), 'resync');
    assert.equal(inbox.message(1, aMessage(1, { id: 'n1' })), 'dropped');
    assert.deepEqual(inbox.positions(), [{ stream: NORMAL, epoch: E1, offset: 0 }]);
  });

  test('at a message of an epoch that is over: only connecting anew brings it back', () => {
    const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 0 }]);
    inbox.welcome(1, [aState(0)]);
    inbox.message(1, aMessage(1));
    inbox.streamState(1, aState(0, { epoch: E2 }));
    inbox.message(1, aMessage(1, { id: 'n1' }));
    assert.equal(inbox.giveBack(inbox.take(1)), true);
    inbox.welcome(2, [aState(0)]);
    assert.equal(inbox.message(2, aMessage(1)), 'queued');
    inbox.streamState(2, aState(0, { epoch: E2 }));
    assert.equal(inbox.message(2, aMessage(1, { id: 'n1' })), 'queued');
    assert.deepEqual(drain(inbox), [1, 1]);
  });
});

describe('messages that are settled one by one', () => {
  /** Five messages, taken; answers them. */
  const fiveTaken = (inbox: Inbox): InboxItem[] => {
    inbox.welcome(1, [aState(0)]);
    for (const offset of [1, 2, 3, 4, 5]) inbox.message(1, aMessage(offset));
    const [start, ...items] = inbox.take(10);
    inbox.settle([start!]);
    return items;
  };

  test('the position moves up to the first that is not settled; those above it are acked by id', () => {
    const inbox = anInbox();
    const [one, two, three, four] = fiveTaken(inbox) as [InboxItem, InboxItem, InboxItem, InboxItem];
    assert.deepEqual(inbox.heldWith([two, three]), []);
    inbox.settle([two, three]);
    assert.deepEqual(inbox.position(NORMAL), { epoch: E1, offset: 0 });
    assert.deepEqual(inbox.idAcks(1, [two, three]), [
      { stream: NORMAL, id: 'm2' },
      { stream: NORMAL, id: 'm3' },
    ]);
    assert.deepEqual(inbox.heldWith([one]), [{ stream: NORMAL, epoch: E1, offset: 3 }]);
    inbox.settle([one]);
    assert.deepEqual(inbox.idAcks(1, [one]), []);
    inbox.settle([four]);
    assert.deepEqual(inbox.position(NORMAL), { epoch: E1, offset: 4 });
  });

  test('one that failed is taken when it comes again, and only it', () => {
    const inbox = anInbox();
    const [one, two] = fiveTaken(inbox);
    inbox.settle([one!]);
    assert.equal(inbox.giveBackOne(two!), false);
    assert.equal(inbox.message(1, aMessage(3)), 'duplicate');
    assert.equal(inbox.message(1, aMessage(2)), 'queued');
    assert.equal(inbox.message(1, aMessage(2)), 'duplicate');
    assert.deepEqual(drain(inbox), [2]);
    assert.deepEqual(inbox.position(NORMAL), { epoch: E1, offset: 2 });
  });

  test('one that the gateway ended is not waited for once it says where it stands', () => {
    const inbox = anInbox();
    const [one, two, three] = fiveTaken(inbox);
    inbox.giveBackOne(one!);
    inbox.settle([two!, three!]);
    assert.deepEqual(inbox.welcome(2, [aState(3)]), []);
    assert.deepEqual(drain(inbox), []);
    assert.deepEqual(inbox.position(NORMAL), { epoch: E1, offset: 3 });
  });

  test('one that is not yet ended is waited for on the next connection', () => {
    const inbox = anInbox();
    const [one, two] = fiveTaken(inbox);
    inbox.giveBackOne(one!);
    inbox.settle([two!]);
    inbox.welcome(2, [aState(0)]);
    assert.equal(inbox.message(2, aMessage(1)), 'queued');
    assert.equal(inbox.message(2, aMessage(2)), 'duplicate');
    assert.deepEqual(inbox.takeAcksAgain(), { streams: new Set(), ids: [{ stream: NORMAL, id: 'm2' }] });
  });

  test('a stream that leaves for another epoch while one is awaited is asked for anew', () => {
    const inbox = anInbox([{ stream: NORMAL, epoch: E1, offset: 0 }]);
    inbox.welcome(1, [aState(0)]);
    inbox.message(1, aMessage(1));
    inbox.giveBackOne(inbox.take(1)[0]!);
    assert.equal(inbox.streamState(1, aState(0, { epoch: E2 })), 'resync');
  });

  test('500 settled above one that the gateway does not send: it is asked where the stream stands', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    drain(inbox);
    inbox.message(1, aMessage(1));
    inbox.giveBackOne(inbox.take(1)[0]!);
    const asked = Array.from({ length: 1000 }, (_, i) => {
      inbox.message(1, aMessage(i + 2));
      return inbox.settle(inbox.take(1));
    });
    assert.deepEqual(
      asked.flatMap((isLost, i) => (isLost ? [i + 1] : [])),
      [500, 1000],
    );
  });
});

test('what is settled after it was given back with those behind it counts for nothing', () => {
  const stream = new InboxStream();
  const [one, two] = [1, 2].map((offset) => ({ epoch: E1, offset }));
  stream.receive(one!);
  stream.receive(two!);
  stream.rewind();
  stream.settle(two!);
  stream.settle(one!);
  assert.deepEqual([stream.held, stream.settledAbove], [null, 0]);
});

test('what nobody sends the missing part of is asked for again when it came three times', () => {
  const inbox = anInbox();
  inbox.welcome(1, [aState(0)]);
  drain(inbox);
  inbox.message(1, aMessage(1));
  inbox.giveBack(inbox.take(1));
  const arrivals = [3, 4, 3, 4, 3, 4].map((offset) => inbox.message(1, aMessage(offset)));
  assert.deepEqual(arrivals, ['dropped', 'dropped', 'dropped', 'dropped', 'gap', 'dropped']);
});

describe('a message that was taken in while the store was away', () => {
  const later = (id: string): MessageFrame => ({ ...aLive(id, NORMAL), later: true });

  test('is not handed on again when it comes with its place', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    assert.equal(inbox.message(1, later('m1')), 'queued');
    assert.equal(inbox.message(1, later('m1')), 'duplicate');
    assert.equal(inbox.message(1, aMessage(1)), 'duplicate');
    assert.deepEqual(drain(inbox), ['m1']);
    assert.deepEqual(inbox.position(NORMAL), { epoch: E1, offset: 1 });
  });

  test('comes again with its place when the application failed at it', () => {
    const inbox = anInbox();
    inbox.welcome(1, [aState(0)]);
    drain(inbox);
    inbox.message(1, later('m1'));
    inbox.giveBackOne(inbox.take(1)[0]!);
    assert.equal(inbox.message(1, aMessage(1)), 'queued');
  });

  test('is remembered however many live messages come meanwhile', () => {
    const inbox = anInbox([], { seenIdsMax: 2 });
    inbox.welcome(1, [aState(0)]);
    inbox.message(1, later('m1'));
    for (const id of ['a', 'b', 'c', 'd']) inbox.message(1, aLive(id));
    assert.equal(inbox.message(1, aMessage(1)), 'duplicate');
  });
});

test('what may not go yet holds back its stream, and nothing else', () => {
  const inbox = anInbox();
  const news = 'news' as TopicName;
  inbox.welcome(1, [aState(0), aState(0, { stream: news })]);
  drain(inbox);
  for (const offset of [1, 2]) inbox.message(1, aMessage(offset));
  for (const offset of [1, 2]) inbox.message(1, aMessage(offset, { stream: news, id: `n${offset}` }));
  const mayGo = ({ frame }: InboxItem): boolean => frame?.id !== 'm1';
  const ids = (items: readonly InboxItem[]): unknown[] => items.map(({ frame }) => frame?.id);
  assert.deepEqual(ids(inbox.take(10, mayGo)), ['n1', 'n2']);
  assert.equal(inbox.waiting, 2);
  assert.deepEqual(ids(inbox.take(10)), ['m1', 'm2']);
});

/** A store and gateways that lose, repeat and cut; messages are numbered over all epochs. */
class Walk {
  readonly inbox = anInbox();
  readonly random: (n: number) => number;
  readonly handed: number[] = [];
  readonly epochs: { epoch: Epoch; ids: number[] }[] = [{ epoch: E1, ids: [] }];
  lines: { conn: number; at: { epoch: number; offset: number } }[] = [];
  conns = 0;
  published = 0;

  constructor(seed: number) {
    let state = seed;
    this.random = (n) => {
      const next = nextRandom(state);
      state = next.seed;
      return Math.floor(next.value * n);
    };
  }
  publish(): void {
    this.epochs.at(-1)!.ids.push(this.published++);
  }
  /** Nothing lost: what follows continues under another name. */
  newEpoch(): void {
    this.epochs.push({ epoch: `e${this.epochs.length + 1}` as Epoch, ids: [] });
  }
  connect(): void {
    const held = this.inbox.position(NORMAL);
    const epoch = Math.max(
      0,
      this.epochs.findIndex((e) => e.epoch === held?.epoch),
    );
    const line = { conn: ++this.conns, at: { epoch, offset: held?.offset ?? 0 } };
    this.lines = this.random(2) === 0 ? [line] : [...this.lines.slice(-1), line];
    const gaps = this.inbox.welcome(line.conn, [aState(line.at.offset, { epoch: this.epochs[epoch]!.epoch })]);
    assert.deepEqual(gaps, []);
  }
  /** The next entry of a line, or one further on (a hint that overtook), or one before (sent again). */
  deliver(): void {
    const line = this.lines[this.random(this.lines.length)];
    if (line === undefined) return;
    const { epoch, ids } = this.epochs[line.at.epoch]!;
    if (line.at.offset >= ids.length) {
      if (line.at.epoch + 1 >= this.epochs.length) return;
      line.at = { epoch: line.at.epoch + 1, offset: 0 };
      const gone = this.inbox.streamState(line.conn, aState(0, { epoch: this.epochs[line.at.epoch]!.epoch }));
      if (gone === 'resync') this.connect();
      else assert.equal(gone, null);
      return;
    }
    const dice = this.random(10);
    const offset =
      dice === 0 ? line.at.offset + 2 : dice === 1 ? Math.max(1, line.at.offset - this.random(3)) : line.at.offset + 1;
    if (offset > ids.length) return;
    if (offset === line.at.offset + 1) line.at = { epoch: line.at.epoch, offset };
    const number = ids[offset - 1]!;
    const arrival = this.inbox.message(line.conn, { ...aMessage(offset, { id: `n${number}` }), body: number });
    assert.ok(epoch !== '');
    if (arrival === 'gap') this.connect();
  }
  handle(): void {
    const items = this.inbox.take(1 + this.random(4));
    for (const [i, item] of items.entries()) {
      if (item.frame !== null && this.random(20) === 0) {
        this.inbox.settle(items.slice(0, i));
        if (this.inbox.giveBack(items.slice(i)) || this.random(2) === 0) this.connect();
        return;
      }
      if (item.frame !== null) this.handed.push(item.frame.body as number);
    }
    this.inbox.settle(items);
  }
}

test('seeded walks (loss, repetition, reordering, cuts, epochs, failing handlers): each message once and in order', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const walk = new Walk(seed);
    walk.connect();
    for (let i = 0; i < 400; i++) {
      const dice = walk.random(20);
      if (dice < 5) walk.publish();
      else if (dice < 13) walk.deliver();
      else if (dice < 18) walk.handle();
      else if (dice < 19) walk.connect();
      else if (walk.random(4) === 0) walk.newEpoch();
    }
    // Then all calms down: connect anew until everything came.
    for (let i = 0; i < 3000 && walk.handed.length < walk.published; i++) {
      if (i % 200 === 0) walk.connect();
      walk.deliver();
      walk.handle();
    }
    const expected = Array.from({ length: walk.published }, (_, i) => i);
    assert.deepEqual(walk.handed, expected, `seed ${seed}`);
  }
});
