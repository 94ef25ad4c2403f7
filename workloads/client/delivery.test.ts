import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FetchedFrame, MessageFrame } from '../protocol/frames.ts';
import type { Epoch, MessageId, TopicName } from '../protocol/ids.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import { nextRandom } from './backoff.ts';
import { Bodies } from './bodies.ts';
import { Delivery } from './delivery.ts';
import { Inbox } from './inbox.ts';
import type { InboxItem, Place } from './inbox.ts';
import { NackError, nack, nackOf } from './nack.ts';
import type { Nack } from './nack.ts';
import { QuestionRefusedError } from './questions.ts';
import type { ReceivedMessage } from './received.ts';
import { openMemoryStorage } from './storage.ts';
import type { StoredMessage } from './storage.ts';

const NORMAL: StreamName = '@normal';
const NEWS = 'news' as TopicName;
const E1 = 'e1' as Epoch;

interface Ask {
  readonly item: InboxItem;
  readonly resolve: (frame: FetchedFrame) => void;
  readonly reject: (error: Error) => void;
}

/** Inbox, bodies and delivery with a storage in memory; fetches and handlers end when the test says. */
class Bench {
  readonly inbox = new Inbox({ positions: [], seen: [], seenIdsMax: 1000, queueMax: 1000 });
  readonly asks: Ask[] = [];
  readonly handed: ReceivedMessage[] = [];
  readonly nacks: { place: Place; nack: Nack }[] = [];
  readonly acked: Position[] = [];
  readonly errors: unknown[] = [];
  readonly saved: StoredMessage[] = [];
  resyncs = 0;
  onMessage: (message: ReceivedMessage) => unknown = () => {};
  readonly delivery: Delivery;

  constructor(atOnceMax = 0) {
    const storage = openMemoryStorage();
    const bodies = new Bodies({
      fetch: (item) => new Promise((resolve, reject) => this.asks.push({ item, resolve, reject })),
      onKnown: () => this.delivery.poke(),
    });
    this.delivery = new Delivery({
      inbox: this.inbox,
      storage: {
        ...storage,
        save: (changes) => {
          this.saved.push(...(changes.messages ?? []));
          return storage.save(changes);
        },
      },
      bodies,
      atOnceMax,
      onMessage: (message) => {
        this.handed.push(message);
        return this.onMessage(message);
      },
      onError: (error) => this.errors.push(error),
      onSaved: (positions) => this.acked.push(...positions),
      onNack: (_, place, given) => this.nacks.push({ place, nack: given }),
      onResync: () => this.resyncs++,
      after: () => () => {},
    });
    this.inbox.welcome(1, [state(NORMAL), state(NEWS)]);
  }
  async give(...frames: MessageFrame[]): Promise<void> {
    for (const frame of frames) this.inbox.message(1, frame);
    await this.turns();
  }
  async turns(): Promise<void> {
    this.delivery.poke();
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }
  get bodies(): unknown[] {
    return this.handed.map(({ body }) => body);
  }
  answer(ask: Ask, body: unknown = `body of ${ask.item.place?.offset}`): void {
    ask.resolve({ type: 'fetched', id: 1, body });
  }
}

function state(stream: StreamName) {
  return { stream, epoch: E1, offset: 0, recovered: true } as const;
}
function whole(offset: number, stream: StreamName = NORMAL): MessageFrame {
  return { type: 'message', stream, id: `${stream}${offset}` as MessageId, sentAtMs: 0, offset, body: offset };
}
function idOnly(offset: number, stream: StreamName = NORMAL): MessageFrame {
  const { body: _without, ...rest } = whole(offset, stream);
  return { ...rest, idOnly: true };
}

describe('a message without its body', () => {
  test('goes to the application with the body that was fetched, in its place; other streams do not wait', async () => {
    const bench = new Bench();
    await bench.give(whole(1), idOnly(2), whole(3), whole(1, NEWS));
    assert.deepEqual(bench.bodies, [1, 1]);
    assert.equal(bench.asks.length, 1);
    bench.asks[0]!.resolve({ type: 'fetched', id: 1, encoding: 'base64', body: 'AAH/' });
    await bench.turns();
    assert.deepEqual(bench.bodies.slice(2), [Uint8Array.of(0, 1, 255), 3]);
    assert.equal(bench.saved.find(({ id }) => id === '@normal2')?.body, 'AAH/');
  });

  test('is fetched before its turn, at most 16 at once', async () => {
    const bench = new Bench();
    await bench.give(...Array.from({ length: 20 }, (_, i) => idOnly(i + 1)));
    assert.equal(bench.asks.length, 16);
    bench.answer(bench.asks[3]!);
    await bench.turns();
    assert.equal(bench.asks.length, 17);
    assert.deepEqual(bench.bodies, []);
    for (let i = 0; i < 20; i++) {
      bench.answer(bench.asks[i]!);
      await bench.turns();
    }
    assert.deepEqual(
      bench.bodies,
      Array.from({ length: 20 }, (_, i) => `body of ${i + 1}`),
    );
  });

  test('that is not held any more is passed over, and counted', async () => {
    const bench = new Bench();
    await bench.give(idOnly(1), whole(2));
    bench.asks[0]!.reject(new QuestionRefusedError('position-unknown', 'expired'));
    await bench.turns();
    assert.deepEqual(bench.bodies, [2]);
    assert.equal(bench.delivery.counters().bodiesGone, 1);
    assert.deepEqual(bench.acked.at(-1), { stream: NORMAL, epoch: E1, offset: 2 });
  });

  test('that cannot be fetched counts as failed: nacked, and awaited again', async () => {
    const bench = new Bench();
    await bench.give(idOnly(1), whole(2));
    bench.asks[0]!.reject(new QuestionRefusedError('overloaded', 'still'));
    await bench.turns();
    assert.deepEqual(
      bench.nacks.map(({ nack: { reason } }) => reason),
      ['its body could not be fetched'],
    );
    await bench.give(whole(1), whole(2));
    assert.deepEqual(bench.bodies, [1, 2]);
  });
});

describe('what the application fails at', () => {
  test('is nacked with its message, and comes again with what is behind it', async () => {
    const bench = new Bench();
    bench.onMessage = ({ body }) => {
      if (body === 2 && bench.handed.length < 3) throw new Error('not now');
    };
    await bench.give(whole(1), whole(2), whole(3));
    assert.deepEqual(bench.nacks, [{ place: { epoch: E1, offset: 2 }, nack: { reason: 'not now' } }]);
    assert.equal(bench.errors.length, 1);
    assert.deepEqual(bench.inbox.position(NORMAL), { epoch: E1, offset: 1 });
    await bench.give({ ...whole(2), attempt: 2 }, whole(3));
    assert.deepEqual(
      bench.handed.map(({ body, attempt }) => [body, attempt]),
      [
        [1, 1],
        [2, 1],
        [2, 2],
        [3, 1],
      ],
    );
  });

  test('may be returned or thrown as a nack, with when to try again and whether; that is no error', async () => {
    const bench = new Bench();
    bench.onMessage = ({ stream }) => {
      if (stream === NORMAL) return nack('busy', { retryAfterMs: 50 });
      throw new NackError('no such article', { final: 'person' });
    };
    await bench.give(whole(1), whole(1, NEWS));
    assert.deepEqual(
      bench.nacks.map((one) => one.nack),
      [
        { reason: 'busy', retryAfterMs: 50 },
        { reason: 'no such article', final: 'person' },
      ],
    );
    assert.deepEqual(bench.errors, []);
    assert.equal(bench.delivery.counters().nacked, 2);
  });

  test('is said in a reason that fits its frame, however it was thrown', () => {
    assert.deepEqual(nackOf(new Error('x'.repeat(300))), { reason: 'x'.repeat(200) });
    assert.deepEqual(nackOf(new Error('')), { reason: 'the application failed' });
    assert.deepEqual(nackOf('text'), { reason: 'text' });
    assert.deepEqual(nackOf(nack('r', { retryAfterMs: 9e9 })), { reason: 'r', retryAfterMs: 3600_000 });
    assert.deepEqual(nackOf(nack('r', { retryAfterMs: -1 })), { reason: 'r', retryAfterMs: 0 });
  });

  test('is not remembered where it was taken in while the store was away: it is given once more with its place', async () => {
    const bench = new Bench();
    bench.onMessage = () => {
      if (bench.handed.length === 1) throw new Error('not now');
    };
    const { offset: _none, ...later } = whole(1);
    await bench.give({ ...later, later: true });
    assert.deepEqual([bench.saved, bench.nacks], [[], []]);
    await bench.give(whole(1));
    assert.deepEqual(bench.bodies, [1, 1]);
  });
});

test('a message that was delivered before is saved before the next one is handed over, which may crash the application', async () => {
  const bench = new Bench();
  const saved: unknown[] = [];
  bench.onMessage = () => void saved.push(bench.saved.length);
  await bench.give({ ...whole(1), attempt: 2 }, whole(2), whole(3));
  assert.deepEqual(saved, [0, 1, 1]);
});

test('a message that was taken in while the store was away is remembered by the storage', async () => {
  const bench = new Bench();
  const { offset: _none, ...later } = whole(1);
  await bench.give({ ...later, later: true }, { ...later, id: 'live' as MessageId, stream: NEWS });
  assert.deepEqual(
    bench.saved.map(({ id }) => id),
    ['@normal1'],
  );
});

describe('messages that are settled one by one', () => {
  test('go to the application without waiting for each other, up to the limit, and end in any order', async () => {
    const bench = new Bench(2);
    const ends = new Map<unknown, (outcome: unknown) => void>();
    bench.onMessage = ({ body }) => new Promise((resolve) => ends.set(body, resolve));
    await bench.give(whole(1), whole(2), whole(3));
    assert.deepEqual(bench.bodies, [1, 2]);
    ends.get(2)!(null);
    await bench.turns();
    assert.deepEqual(bench.bodies, [1, 2, 3]);
    assert.deepEqual(
      bench.acked.filter(({ offset }) => offset > 0),
      [],
    );
    ends.get(1)!(null);
    await bench.turns();
    assert.deepEqual(bench.acked.at(-1), { stream: NORMAL, epoch: E1, offset: 2 });
    ends.get(3)!(nack('no'));
    await bench.turns();
    assert.deepEqual(bench.nacks, [{ place: { epoch: E1, offset: 3 }, nack: { reason: 'no' } }]);
    await bench.give(whole(3));
    assert.deepEqual(bench.bodies, [1, 2, 3, 3]);
  });

  test('leave topics as they are: one after the other', async () => {
    const bench = new Bench(4);
    const ends: (() => void)[] = [];
    bench.onMessage = () => new Promise<void>((resolve) => ends.push(resolve));
    await bench.give(whole(1, NEWS), whole(2, NEWS));
    assert.deepEqual(bench.bodies, [1]);
    ends[0]!();
    await bench.turns();
    assert.deepEqual(bench.bodies, [1, 2]);
    ends[1]!();
  });

  test('are waited for when the client is closed', async () => {
    const bench = new Bench(4);
    let end = (): void => {};
    bench.onMessage = () => new Promise<void>((resolve) => (end = resolve));
    await bench.give(whole(1));
    let isStopped = false;
    const stopped = bench.delivery.stop().then(() => (isStopped = true));
    await bench.turns();
    assert.equal(isStopped, false);
    end();
    await stopped;
    assert.deepEqual(bench.acked.at(-1), { stream: NORMAL, epoch: E1, offset: 1 });
  });
});

test('seeded walks (bodies fetched, gone, refused; handlers that fail): each once, in order, never without its body', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const bench = new Bench();
    let random = seed;
    const dice = (n: number): number => {
      const next = nextRandom(random);
      random = next.seed;
      return Math.floor(next.value * n);
    };
    const gone = new Set<number>();
    const done: number[] = [];
    bench.onMessage = ({ offset, body }) => {
      assert.equal(body, offset, `seed ${seed}: without its body`);
      if (dice(8) === 0) throw new Error('not now');
      done.push(offset!);
    };
    const total = 40;
    const answer = (): void => {
      const ask = bench.asks.splice(dice(bench.asks.length), 1)[0];
      if (ask === undefined) return;
      const offset = ask.item.place!.offset;
      if (gone.has(offset) || dice(12) === 0) {
        gone.add(offset);
        ask.reject(new QuestionRefusedError('position-unknown', 'gone'));
      } else if (dice(10) === 0) ask.reject(new Error('no'));
      else bench.answer(ask, offset);
    };
    let held = 0;
    for (let i = 0; i < 4000 && held < total; i++) {
      held = bench.inbox.position(NORMAL)?.offset ?? 0;
      // The gateway goes on from what is held: what was nacked, and what is behind it.
      const offset = Math.min(total, held + 1 + dice(6));
      for (let n = held + 1; n <= offset; n++)
        bench.inbox.message(1, dice(2) === 0 || gone.has(n) ? idOnly(n) : whole(n));
      bench.delivery.poke();
      answer();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const expected = Array.from({ length: total }, (_, i) => i + 1).filter((n) => !gone.has(n) || done.includes(n));
    assert.deepEqual(done, expected, `seed ${seed}`);
    await bench.delivery.stop();
  }
});
