// Contract of the store port: appending, its idempotence and its limits, settling.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  anAck,
  anAppend,
  anId,
  anOpenSession,
  appendAll,
  appended,
  counted,
  device,
  lane,
  opened,
  register,
  texts,
  topic,
  withStore,
} from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { Epoch } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';

export function streamsContract(subject: StoreSubject): void {
  appendContract(subject);
  boundsContract(subject);
  settleContract(subject);
}

function appendContract(subject: StoreSubject): void {
  test('appends get offsets 1, 2, 3 in one epoch, each with the offset held before it', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const outcomes = (await appendAll(store, lane('d1'), ['a', 'b', 'c'])).map(appended);
      assert.deepEqual(
        outcomes.map((o) => [o.offset, o.prev, o.duplicate]),
        [
          [1, 0, false],
          [2, 1, false],
          [3, 2, false],
        ],
      );
      assert.equal(new Set(outcomes.map((o) => o.epoch)).size, 1);
      assert.match(outcomes[0]!.epoch, /^.{1,64}$/);
    }));

  test('lanes, devices and topics are streams of their own', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      await register(store, 'd2');
      const refs = [lane('d1'), lane('d1', 'high'), lane('d1', 'low'), lane('d2'), topic('d1'), topic('$all')];
      const outcomes = await store.append(refs.map((ref) => anAppend(ref, 'x')));
      assert.deepEqual(
        outcomes.map((o) => appended(o).offset),
        [1, 1, 1, 1, 1, 1],
      );
      assert.deepEqual(
        (await store.heads(refs)).map((h) => h.head),
        [1, 1, 1, 1, 1, 1],
      );
    }));

  test('a device that never registered is refused, a topic needs nothing', () =>
    withStore(subject, {}, async ({ store }) => {
      const outcomes = await store.append([anAppend(lane('nobody'), 'x'), anAppend(topic('news'), 'x')]);
      assert.deepEqual(outcomes[0], { kind: 'refused', reason: 'device-unknown' });
      assert.equal(appended(outcomes[1]).offset, 1);
      assert.deepEqual(await store.heads([lane('nobody')]), [{ epoch: null, head: 0 }]);
    }));

  test('the same message id again answers the first offset and stores nothing', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const id = anId();
      await store.append([anAppend(lane('d1'), 'before')]);
      const [first, again] = (
        await store.append([anAppend(lane('d1'), 'x', { id }), anAppend(lane('d1'), 'x', { id })])
      ).map(appended);
      await store.append([anAppend(lane('d1'), 'after')]);
      const later = appended((await store.append([anAppend(lane('d1'), 'x', { id })]))[0]);
      assert.deepEqual([first!.offset, first!.prev, first!.duplicate], [2, 1, false]);
      assert.deepEqual(again, { ...first, duplicate: true });
      assert.deepEqual(later, { ...first, duplicate: true });
      assert.deepEqual(texts((await store.read([{ stream: lane('d1'), after: null, entriesMax: 10 }]))[0]!.entries), [
        'before',
        'x',
        'after',
      ]);
    }));

  test('the same message id in another stream is another entry', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const id = anId();
      const outcomes = await store.append(
        [lane('d1'), lane('d1', 'high'), topic('t')].map((ref) => anAppend(ref, 'x', { id })),
      );
      assert.deepEqual(
        outcomes.map((o) => appended(o).duplicate),
        [false, false, false],
      );
    }));

  test('a message id stays known after its entry was settled', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const id = anId();
      const { epoch, offset } = appended((await store.append([anAppend(lane('d1'), 'x', { id })]))[0]);
      await store.settle([anAck('d1', { epoch, offset, generation })]);
      assert.equal(appended((await store.append([anAppend(lane('d1'), 'x', { id })]))[0]).duplicate, true);
    }));

  test('a message id is known through the whole window of entries and forgotten past twice that', () =>
    withStore(subject, { duplicateWindowEntries: 10 }, async ({ store }) => {
      const id = anId();
      await store.append([anAppend(topic('t'), 'x', { id })]);
      await appendAll(
        store,
        topic('t'),
        Array.from({ length: 9 }, () => 'y'),
      );
      assert.equal(appended((await store.append([anAppend(topic('t'), 'x', { id })]))[0]).duplicate, true);
      await appendAll(
        store,
        topic('t'),
        Array.from({ length: 12 }, () => 'y'),
      );
      assert.equal(appended((await store.append([anAppend(topic('t'), 'x', { id })]))[0]).duplicate, false);
    }));

  test('a message id is forgotten past twice the window of time, in a sweep or on an append', () =>
    withStore(subject, { duplicateWindowMs: 600 }, async ({ store, advance }) => {
      const id = anId();
      await store.append([anAppend(topic('t'), 'x', { id })]);
      await advance(50);
      assert.equal(appended((await store.append([anAppend(topic('t'), 'x', { id })]))[0]).duplicate, true);
      await advance(650);
      await store.sweepExpired(100);
      await advance(650);
      await store.sweepExpired(100);
      assert.equal(appended((await store.append([anAppend(topic('t'), 'x', { id })]))[0]).duplicate, false);
    }));

  test('many appends to one stream at once have offsets 1 to n without a gap, in the order asked', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const outcomes = await Promise.all(
        Array.from({ length: 100 }, (_, i) => appendAll(store, lane('d1'), [`${i}a`, `${i}b`, `${i}c`])),
      );
      assert.deepEqual(
        outcomes.flat().map((o) => appended(o).offset),
        Array.from({ length: 300 }, (_, i) => i + 1),
      );
    }));

  test('a record of the largest body and any bytes comes back byte for byte', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const every = Uint8Array.from(
        { length: LIMITS.bodyBytesMax + LIMITS.attributesBytesMax },
        (_, i) => (i * 7) & 0xff,
      );
      const tricky = [
        every,
        new Uint8Array(0),
        Uint8Array.of(0),
        Buffer.from('\r\n$3\r\n'),
        Uint8Array.of(0xff, 0xfe, 0xc3, 0x28),
      ];
      for (const ref of [lane('d1'), topic('t')]) {
        await store.append(tricky.map((record) => anAppend(ref, record)));
        const [read] = await store.read([{ stream: ref, after: null, entriesMax: 10 }]);
        assert.deepEqual(
          read!.entries.map((e) => Buffer.from(e.record).toString('hex')),
          tricky.map((r) => Buffer.from(r).toString('hex')),
        );
      }
    }));

  test('the heads of many streams come in the order asked', () =>
    withStore(subject, {}, async ({ store }) => {
      const refs = Array.from({ length: 200 }, (_, i) => topic(`t${i}`));
      await store.append(refs.flatMap((ref, i) => Array.from({ length: i % 3 }, () => anAppend(ref, 'x'))));
      assert.deepEqual(
        (await store.heads(refs)).map((h) => h.head),
        refs.map((_, i) => i % 3),
      );
      assert.deepEqual(await store.append([]), []);
      assert.deepEqual(await store.heads([]), []);
    }));
}

function boundsContract(subject: StoreSubject): void {
  test('a device stream takes entries up to its limit and refuses one more', () =>
    withStore(subject, { deviceStreamEntriesMax: 3 }, async ({ store }) => {
      await register(store, 'd1');
      const outcomes = await appendAll(store, lane('d1'), ['a', 'b', 'c', 'd']);
      assert.deepEqual(
        outcomes.map((o) => o.kind),
        ['appended', 'appended', 'appended', 'refused'],
      );
      assert.deepEqual(outcomes[3], { kind: 'refused', reason: 'stream-full' });
      assert.equal((await store.heads([lane('d1')]))[0]!.head, 3);
      assert.equal(
        appended((await appendAll(store, lane('d1', 'high'), ['a']))[0]).offset,
        1,
        'another lane has its own room',
      );
    }));

  test('a device stream takes bytes up to its limit and refuses one more', () =>
    withStore(subject, { deviceStreamBytesMax: 10 }, async ({ store }) => {
      await register(store, 'd1');
      const outcomes = await appendAll(store, lane('d1'), ['12345', '12345', '1']);
      assert.deepEqual(
        outcomes.map((o) => o.kind),
        ['appended', 'appended', 'refused'],
      );
      assert.deepEqual((await appendAll(store, lane('d1', 'high'), ['12345678901']))[0], {
        kind: 'refused',
        reason: 'stream-full',
      });
    }));

  test('a full stream still answers a repeated message id with its offset', () =>
    withStore(subject, { deviceStreamEntriesMax: 1 }, async ({ store }) => {
      await register(store, 'd1');
      const id = anId();
      await store.append([anAppend(lane('d1'), 'a', { id })]);
      assert.equal(appended((await store.append([anAppend(lane('d1'), 'a', { id })]))[0]).duplicate, true);
    }));

  test('settled and expired entries make room in a full stream', () =>
    withStore(subject, { deviceStreamEntriesMax: 2 }, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const { epoch } = appended(
        (await store.append([anAppend(lane('d1'), 'a'), anAppend(lane('d1'), 'b', { expiresAtMs: nowMs() + 500 })]))[0],
      );
      await store.settle([anAck('d1', { epoch, offset: 1, generation })]);
      const third = appended((await appendAll(store, lane('d1'), ['c']))[0]);
      assert.deepEqual([third.offset, third.prev], [3, 2]);
      assert.equal((await appendAll(store, lane('d1'), ['d']))[0]!.kind, 'refused');
      await advance(550);
      assert.equal(appended((await appendAll(store, lane('d1'), ['d']))[0]).offset, 4);
      assert.deepEqual(texts((await store.read([{ stream: lane('d1'), after: null, entriesMax: 9 }]))[0]!.entries), [
        'c',
        'd',
      ]);
    }));

  test('a topic keeps its newest entries by count', () =>
    withStore(subject, { topicStreamEntriesMax: 3 }, async ({ store }) => {
      await appendAll(store, topic('t'), ['a', 'b', 'c']);
      assert.equal((await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]))[0]!.entries.length, 3);
      await appendAll(store, topic('t'), ['d']);
      const [read] = await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]);
      assert.deepEqual([texts(read!.entries), read!.from, read!.head], [['b', 'c', 'd'], 1, 4]);
    }));

  test('a topic keeps its newest entries by bytes, and the last one however large', () =>
    withStore(subject, { topicStreamBytesMax: 10 }, async ({ store }) => {
      await appendAll(store, topic('t'), ['12345', '67890']);
      assert.equal((await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]))[0]!.entries.length, 2);
      await appendAll(store, topic('t'), ['x']);
      assert.deepEqual(texts((await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]))[0]!.entries), [
        '67890',
        'x',
      ]);
      await appendAll(store, topic('t'), ['longer than ten']);
      assert.deepEqual(texts((await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]))[0]!.entries), [
        'longer than ten',
      ]);
    }));

  test('a topic forgets entries past its age, on the next append, on a read and in a sweep', () =>
    withStore(subject, { topicStreamAgeMs: 1200 }, async ({ store, advance }) => {
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b']))[0]);
      await advance(700);
      await appendAll(store, topic('t'), ['c']);
      await advance(600);
      const [read] = await store.read([{ stream: topic('t'), after: { epoch, offset: 1 }, entriesMax: 9 }]);
      assert.deepEqual([texts(read!.entries), read!.notRecovered, read!.from], [['c'], 'trimmed', 2]);
      await store.sweepExpired(100);
      await advance(700);
      await appendAll(store, topic('t'), ['d']);
      assert.deepEqual(texts((await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]))[0]!.entries), [
        'd',
      ]);
    }));
}

function settleContract(subject: StoreSubject): void {
  test('settling drops entries up to the offset, and an older offset changes nothing', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const { epoch } = appended((await appendAll(store, lane('d1'), ['a', 'b', 'c', 'd']))[0]);
      const ack = (offset: number) => anAck('d1', { epoch, offset, generation });
      assert.deepEqual(counted(await store.settle([ack(1), ack(3), ack(2), ack(3)])), [true, true, true, true]);
      const session = opened(await store.openSession(anOpenSession('d1')));
      assert.deepEqual(
        session.lanes.map(({ lane, epoch, head, settled }) => ({ lane, epoch, head, settled })),
        [{ lane: 'normal', epoch, head: 4, settled: 3 }],
      );
      assert.deepEqual(texts((await store.read([{ stream: lane('d1'), after: null, entriesMax: 9 }]))[0]!.entries), [
        'd',
      ]);
    }));

  test('an ack of an older generation, an unknown epoch or past the head does not count', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const old = opened(await store.openSession(anOpenSession('d1')));
      const { epoch } = appended((await appendAll(store, lane('d1'), ['a', 'b']))[0]);
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const ack = anAck('d1', { epoch, offset: 1, generation });
      const refused = [
        { ...ack, generation: old.generation },
        { ...ack, generation: generation + 1 },
        { ...ack, epoch: 'never' as Epoch },
        { ...ack, offset: 3 },
        { ...ack, lane: 'high' as const },
        { ...ack, device: device('nobody') },
      ];
      assert.deepEqual(
        counted(await store.settle(refused)),
        refused.map(() => false),
      );
      assert.equal((await store.read([{ stream: lane('d1'), after: null, entriesMax: 9 }]))[0]!.entries.length, 2);
      assert.deepEqual(counted(await store.settle([ack, { ...ack, offset: 2 }])), [true, true]);
    }));
}
