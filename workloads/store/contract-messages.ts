// Contract of the store port: messages, their recipients in chunks and their records, kept for a while (R6, R10).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { account, anId, APP, aRecord, device, topicName, withStore } from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { Message, MessageState, MessageTarget, Store } from './port.ts';
import type { AppId, MessageId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';

/** A durable message to device d1, accepted and sent. */
export function aMessage(id: MessageId, more: Partial<Message> = {}): Message {
  return {
    app: APP,
    id,
    target: { kind: 'device', device: device('d1') },
    lane: 'normal',
    state: 'accepted',
    acceptedAtMs: 1_800_000_000_000,
    dueAtMs: 0,
    expiresAtMs: 0,
    recipients: 1,
    chunks: 0,
    chunksDone: 0,
    chunkMarks: '',
    record: null,
    options: '{}',
    ...more,
  };
}

export function messagesContract(subject: StoreSubject): void {
  rowsContract(subject);
  doneChunksContract(subject);
}

function rowsContract(subject: StoreSubject): void {
  test('messages come back as they were put, in the order asked; what is not there is null', () =>
    withStore(subject, {}, async ({ store }) => {
      const targets: MessageTarget[] = [
        { kind: 'device', device: device('a/b') },
        { kind: 'account', account: account('ann') },
        { kind: 'topic', topic: topicName('news') },
        { kind: 'devices' },
        { kind: 'accounts' },
        { kind: 'group', group: 'team:1' },
        { kind: 'dead-letters', action: 'redrive' },
      ];
      const asked = targets.map((target, i) =>
        aMessage(anId(), {
          target,
          lane: i % 2 === 0 ? 'high' : 'low',
          acceptedAtMs: 1_800_000_000_123 + i,
          expiresAtMs: 1_900_000_000_000 + i,
          recipients: i * 1000,
          chunks: i,
          chunksDone: i >> 1,
          chunkMarks: i < 4 ? '' : '1'.repeat(i >> 1).padStart(i, '0'),
          record: i % 3 === 0 ? aRecord(`body ${i}`) : null,
          options: JSON.stringify({ key: `ä "${i}"`, n: [1, null] }),
        }),
      );
      await store.putMessages(asked, []);
      const unknown = anId();
      const ids = [...asked.map(({ id }) => id).toReversed(), unknown];
      const found = await store.messages(APP, ids);
      assert.deepEqual(found.map(plain), [...asked.toReversed(), null].map(plain));
      assert.deepEqual(await store.messages('other' as AppId, [asked[0]!.id]), [null]);
    }));

  test('what is there already stays as it is', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = anId();
      const first = aMessage(id, { options: '{"n":1}', chunks: 1, record: aRecord('first', { id }) });
      await store.putMessages([first], [{ app: APP, id, index: 0, names: ['a'] }]);
      await store.putMessages(
        [{ ...first, options: '{"n":2}', state: 'cancelled', record: aRecord('second', { id }) }],
        [{ app: APP, id, index: 0, names: ['b'] }],
      );
      assert.deepEqual((await store.messages(APP, [id])).map(plain), [plain(first)]);
      assert.deepEqual(await store.messageChunk(APP, id, 0), ['a']);
    }));

  test('recipients come back chunk by chunk, at most so many in one', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = anId();
      const names = Array.from({ length: LIMITS.chunkRecipientsMax }, (_, i) => `user/${i}`.padEnd(50, 'x'));
      const chunk = { app: APP, id, index: 0, names };
      await store.putMessages([aMessage(id, { chunks: 2 })], [chunk, { ...chunk, index: 1, names: ['last'] }]);
      assert.deepEqual(await store.messageChunk(APP, id, 0), names);
      assert.deepEqual(await store.messageChunk(APP, id, 1), ['last']);
      assert.equal(await store.messageChunk(APP, id, 2), null);
      assert.equal(await store.messageChunk(APP, anId(), 0), null);
      const more = { ...chunk, index: 2, names: [...names, 'more'] };
      await assert.rejects(store.putMessages([], [more]), RangeError);
      assert.equal(await store.messageChunk(APP, id, 2), null);
    }));

  test('a hundred thousand recipients are put in one call', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = anId();
      const count = LIMITS.recipientsMax / LIMITS.chunkRecipientsMax;
      const chunks = Array.from({ length: count }, (_, index) => ({
        app: APP,
        id,
        index,
        names: Array.from({ length: LIMITS.chunkRecipientsMax }, (__, i) => `device-${index}-${i}`),
      }));
      await store.putMessages([aMessage(id, { target: { kind: 'devices' }, chunks: count })], chunks);
      assert.deepEqual(await store.messageChunk(APP, id, count - 1), chunks.at(-1)!.names);
    }));

  test('a message changes only from the states that are expected', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = anId();
      const message = aMessage(id, { state: 'expanding', chunks: 3, record: aRecord('x', { id }) });
      await store.putMessages([message], []);
      assert.equal(await store.changeMessage(APP, id, { state: 'cancelled', expect: ['scheduled', 'accepted'] }), null);
      const changed = await store.changeMessage(APP, id, { chunksDone: 2, expect: ['expanding'] });
      assert.deepEqual(plain(changed), plain({ ...message, chunksDone: 2 }));
      const ended = await store.changeMessage(APP, id, { state: 'expanded', chunksDone: 3, expect: ['expanding'] });
      assert.deepEqual([ended!.state, ended!.chunksDone], ['expanded', 3]);
      const [now] = await store.messages(APP, [id]);
      assert.deepEqual(plain(now), plain({ ...message, state: 'expanded', chunksDone: 3 }));
      assert.equal(await store.changeMessage(APP, anId(), { state: 'cancelled', expect: ['accepted'] }), null);
    }));

  test('of many changes from one state at once, one wins', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = anId();
      await store.putMessages([aMessage(id, { state: 'scheduled' })], []);
      const changes = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.changeMessage(APP, id, { state: i % 2 === 0 ? 'cancelled' : 'accepted', expect: ['scheduled'] }),
        ),
      );
      assert.equal(changes.filter((row) => row !== null).length, 1);
    }));

  test('bodies are the records kept with messages; null where there is none', () =>
    withStore(subject, {}, async ({ store }) => {
      const [id, bare] = [anId(), anId()];
      const record = aRecord('x'.repeat(LIMITS.bodyBytesMax), { id });
      await store.putMessages([aMessage(id, { record }), aMessage(bare)], []);
      const found = await store.bodies(APP, [bare, id, anId()]);
      assert.deepEqual([found[0], Buffer.from(found[1]!).equals(record), found[2]], [null, true, null]);
      assert.deepEqual(await store.bodies('other' as AppId, [id]), [null]);
    }));

  test('messages and their chunks are kept for their time, scheduled ones from when they are due', () =>
    withStore(subject, { messageKeptMs: 600 }, async ({ store, advance, nowMs }) => {
      const [now, later] = [anId(), anId()];
      await store.putMessages(
        [aMessage(now), aMessage(later, { state: 'scheduled', dueAtMs: nowMs() + 1000, record: aRecord('x') })],
        [now, later].map((id) => ({ app: APP, id, index: 0, names: ['a'] })),
      );
      const there = async (): Promise<boolean[]> => {
        await store.sweepExpired(100);
        const found = await store.messages(APP, [now, later]);
        for (const [i, id] of [now, later].entries())
          assert.equal(await store.messageChunk(APP, id, 0).then((row) => row !== null), found[i] !== null);
        return found.map((row) => row !== null);
      };
      await advance(50);
      assert.deepEqual(await there(), [true, true]);
      await advance(700);
      assert.deepEqual(await there(), [false, true]);
      await advance(1000);
      assert.deepEqual(await there(), [false, false]);
    }));

  test('a record is kept until it expires, since streams hold entries without their body until then', () =>
    withStore(subject, { messageKeptMs: 300 }, async ({ store, advance, nowMs }) => {
      const id = anId();
      const expiresAtMs = nowMs() + 2000;
      await store.putMessages([aMessage(id, { expiresAtMs, record: aRecord('x', { id, expiresAtMs }) })], []);
      await advance(500);
      await store.sweepExpired(100);
      assert.notEqual((await store.bodies(APP, [id]))[0], null);
      await advance(1600);
      await store.sweepExpired(100);
      assert.equal((await store.bodies(APP, [id]))[0], null);
    }));
}

function doneChunksContract(subject: StoreSubject): void {
  const aListOf = async (store: Store, more: Partial<Message>): Promise<MessageId> => {
    const id = anId();
    await store.putMessages([aMessage(id, { target: { kind: 'devices' }, state: 'expanding', ...more })], []);
    return id;
  };
  const mark = async (store: Store, id: MessageId, [from, to]: readonly [number, number]) => {
    const row = await store.changeMessage(APP, id, { done: { from, to }, expect: ['expanding', 'expanded'] });
    return row === null ? null : ([row.state, row.chunksDone, row.chunkMarks] as const);
  };

  test('chunks are done in any order, each counts once however often it is marked, and the last one makes the list expanded', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = await aListOf(store, { chunks: 7 });
      const marked = async (from: number, to: number): Promise<unknown> => await mark(store, id, [from, to]);
      assert.deepEqual(await marked(4, 6), ['expanding', 2, '0000110']);
      assert.deepEqual(await marked(0, 2), ['expanding', 4, '1100110']);
      assert.deepEqual(await marked(4, 6), ['expanding', 4, '1100110']);
      assert.deepEqual(await marked(1, 5), ['expanding', 6, '1111110']);
      assert.deepEqual(await marked(3, 3), ['expanding', 6, '1111110']);
      assert.deepEqual(await marked(6, 9), ['expanded', 7, '1111111'], 'chunks that there are not are no chunks');
      assert.deepEqual(await marked(0, 7), ['expanded', 7, '1111111']);
      const [now] = await store.messages(APP, [id]);
      assert.deepEqual([now?.state, now?.chunksDone, now?.chunkMarks], ['expanded', 7, '1111111']);
      const none = await aListOf(store, { chunks: 0 });
      assert.deepEqual(await mark(store, none, [0, 0]), ['expanded', 0, '']);
    }));

  test('a list without marks has done as many as it says, from the first; 200 chunks have a mark each', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = await aListOf(store, { chunks: 6, chunksDone: 2 });
      assert.deepEqual(await mark(store, id, [4, 5]), ['expanding', 3, '110010']);
      const long = await aListOf(store, { chunks: 200 });
      for (let from = 190; from > 0; from -= 10) await mark(store, long, [from, from + 10]);
      assert.deepEqual(await mark(store, long, [1, 10]), ['expanding', 199, '0'.padEnd(200, '1')]);
      assert.deepEqual(await mark(store, long, [0, 1]), ['expanded', 200, '1'.repeat(200)]);
    }));

  test('of many that mark at once, none takes back what another did', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = await aListOf(store, { chunks: 40 });
      const rows = await Promise.all(
        Array.from({ length: 80 }, (_, i) => {
          const from = (i * 7) % 40;
          return store.changeMessage(APP, id, { done: { from, to: from + 1 }, expect: ['expanding'] });
        }),
      );
      const ended = rows.filter((row) => row?.state === 'expanded');
      assert.deepEqual([ended.length, ended[0]?.chunksDone], [1, 40], 'expanding is over once');
    }));

  test('a cancel among the marks: what came before it is done, what comes after it changes nothing', () =>
    withStore(subject, {}, async ({ store }) => {
      const id = await aListOf(store, { chunks: 20 });
      const open: readonly MessageState[] = ['expanding'];
      const marks = (from: number) =>
        Array.from({ length: 10 }, (_, i) =>
          store.changeMessage(APP, id, { done: { from: from + i, to: from + i + 1 }, expect: open }),
        );
      const asked = [...marks(10), store.changeMessage(APP, id, { state: 'cancelled', expect: open }), ...marks(0)];
      const rows = await Promise.all(asked);
      const kept = rows.filter((row) => row !== null && row.state === 'expanding').length;
      const [now] = await store.messages(APP, [id]);
      assert.deepEqual([now?.state, now?.chunksDone], ['cancelled', kept]);
      assert.equal(await mark(store, id, [0, 20]), null);
      assert.deepEqual(await store.messages(APP, [id]), [now]);
    }));
}

/** A message to compare: its bytes as text, whatever class of bytes it is. */
function plain(message: Message | null | undefined): unknown {
  if (message === null || message === undefined) return null;
  return { ...message, record: message.record === null ? null : Buffer.from(message.record).toString('hex') };
}
