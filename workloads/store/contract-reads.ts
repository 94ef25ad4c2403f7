// Contract of the store port: reading after positions; holes; expiry and its sweep.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  anAck,
  anAppend,
  anOpenSession,
  appendAll,
  appended,
  lane,
  opened,
  register,
  texts,
  topic,
  withStore,
} from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { Epoch } from '../protocol/ids.ts';

export function readsContract(subject: StoreSubject): void {
  positionsContract(subject);
  holesContract(subject);
  sweepContract(subject);
}

function positionsContract(subject: StoreSubject): void {
  test('a read after a position gets exactly what follows, in order, in pages', () =>
    withStore(subject, {}, async ({ store }) => {
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b', 'c', 'd', 'e']))[0]);
      const [page] = await store.read([{ stream: topic('t'), after: { epoch, offset: 1 }, entriesMax: 2 }]);
      assert.deepEqual(page, {
        epoch,
        notRecovered: null,
        from: 1,
        entries: [
          { offset: 2, prev: 1, record: page!.entries[0]!.record },
          { offset: 3, prev: 2, record: page!.entries[1]!.record },
        ],
        head: 5,
        complete: false,
      });
      assert.deepEqual(texts(page.entries), ['b', 'c']);
      const [rest] = await store.read([{ stream: topic('t'), after: { epoch, offset: 3 }, entriesMax: 2 }]);
      assert.deepEqual([texts(rest!.entries), rest!.complete], [['d', 'e'], true]);
      const [end] = await store.read([{ stream: topic('t'), after: { epoch, offset: 5 }, entriesMax: 2 }]);
      assert.deepEqual(end, { epoch, notRecovered: null, from: 5, entries: [], head: 5, complete: true });
    }));

  test('a stream never written is empty, and a position in it is of an unknown epoch', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      for (const stream of [lane('d1'), topic('t'), lane('nobody')]) {
        const outcomes = await store.read([
          { stream, after: null, entriesMax: 1 },
          { stream, after: { epoch: 'x' as Epoch, offset: 9 }, entriesMax: 1 },
        ]);
        const empty = { epoch: null, from: 0, entries: [], head: 0, complete: true };
        assert.deepEqual(outcomes, [
          { ...empty, notRecovered: 'no-position' },
          { ...empty, notRecovered: 'epoch-unknown' },
        ]);
      }
    }));

  test('no position, an unknown epoch and a position past the head are not recovered, and say why', () =>
    withStore(subject, {}, async ({ store }) => {
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b']))[0]);
      const [none, unknown, head, ahead] = await store.read([
        { stream: topic('t'), after: null, entriesMax: 9 },
        { stream: topic('t'), after: { epoch: 'other' as Epoch, offset: 1 }, entriesMax: 9 },
        { stream: topic('t'), after: { epoch, offset: 2 }, entriesMax: 9 },
        { stream: topic('t'), after: { epoch, offset: 3 }, entriesMax: 9 },
      ]);
      assert.deepEqual([none!.notRecovered, none!.from, texts(none!.entries)], ['no-position', 0, ['a', 'b']]);
      assert.deepEqual(
        [unknown!.notRecovered, unknown!.from, texts(unknown!.entries)],
        ['epoch-unknown', 0, ['a', 'b']],
      );
      assert.deepEqual([head!.notRecovered, head!.from], [null, 2]);
      assert.deepEqual([ahead!.notRecovered, ahead!.from, ahead!.epoch, ahead!.entries], ['ahead', 2, epoch, []]);
      assert.equal((await store.heads([topic('t')]))[0]!.epoch, epoch, 'a claim opens no epoch');
    }));

  test('a position before what a topic still holds is trimmed and gets all that is held', () =>
    withStore(subject, { topicStreamEntriesMax: 2 }, async ({ store }) => {
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b', 'c', 'd']))[0]);
      const [lost, exact] = await store.read([
        { stream: topic('t'), after: { epoch, offset: 1 }, entriesMax: 9 },
        { stream: topic('t'), after: { epoch, offset: 2 }, entriesMax: 9 },
      ]);
      assert.deepEqual([lost!.notRecovered, lost!.from, texts(lost!.entries)], ['trimmed', 2, ['c', 'd']]);
      assert.deepEqual([exact!.notRecovered, exact!.from, texts(exact!.entries)], [null, 2, ['c', 'd']]);
    }));

  test('one read stays within its entries and its bytes, and always gives one entry', () =>
    withStore(subject, { readEntriesMax: 3, readBytesMax: 10 }, async ({ store }) => {
      const { epoch } = appended(
        (await appendAll(store, topic('t'), ['a', 'b', 'c', 'd', '12345', '67890', 'e', 'longer than ten']))[0],
      );
      const pages: string[][] = [];
      for (let offset = 0, complete = false; !complete;) {
        const [page] = await store.read([{ stream: topic('t'), after: { epoch, offset }, entriesMax: 500 }]);
        pages.push(texts(page!.entries));
        offset = page!.entries.at(-1)!.offset;
        complete = page!.complete;
      }
      assert.deepEqual(pages, [['a', 'b', 'c'], ['d', '12345'], ['67890', 'e'], ['longer than ten']]);
    }));
}

function holesContract(subject: StoreSubject): void {
  test('expired entries are left out, and prev spans the hole', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      for (const stream of [lane('d1'), topic('t')]) {
        const soon = { expiresAtMs: nowMs() + 100 };
        const appends = [
          anAppend(stream, 'a'),
          anAppend(stream, 'b', soon),
          anAppend(stream, 'c', soon),
          anAppend(stream, 'd'),
          anAppend(stream, 'e', soon),
        ];
        const { epoch } = appended((await store.append(appends))[0]);
        await advance(150);
        const [read] = await store.read([{ stream, after: { epoch, offset: 1 }, entriesMax: 9 }]);
        assert.deepEqual([read!.notRecovered, read!.from, read!.head, read!.complete], [null, 1, 5, true]);
        assert.deepEqual(
          read!.entries.map((e) => [e.offset, e.prev]),
          [[4, 1]],
        );
        const [whole] = await store.read([{ stream, after: null, entriesMax: 9 }]);
        assert.deepEqual(
          whole!.entries.map((e) => [e.offset, e.prev]),
          [
            [1, 0],
            [4, 1],
          ],
        );
        const [page] = await store.read([{ stream, after: null, entriesMax: 1 }]);
        assert.deepEqual([page!.entries.length, page!.complete], [1, false]);
      }
    }));

  test('what a device settled is a hole and not a loss', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const { epoch } = appended((await appendAll(store, lane('d1'), ['a', 'b', 'c']))[0]);
      await store.settle([anAck('d1', { epoch, offset: 2, generation })]);
      const [back] = await store.read([{ stream: lane('d1'), after: { epoch, offset: 1 }, entriesMax: 9 }]);
      assert.deepEqual(
        [back!.notRecovered, back!.from, back!.entries.map((e) => [e.offset, e.prev])],
        [null, 1, [[3, 1]]],
      );
      await store.settle([anAck('d1', { epoch, offset: 3, generation })]);
      const [empty] = await store.read([{ stream: lane('d1'), after: null, entriesMax: 9 }]);
      assert.deepEqual(empty, { epoch, notRecovered: 'no-position', from: 3, entries: [], head: 3, complete: true });
      assert.deepEqual(
        (await appendAll(store, lane('d1'), ['d'])).map((o) => [appended(o).offset, appended(o).prev]),
        [[4, 0]],
      );
    }));

  test('a read finds its place among many holes', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const soon = { expiresAtMs: nowMs() + 120 };
      const appends = Array.from({ length: 90 }, (_, i) => anAppend(lane('d1'), `${i + 1}`, i % 9 === 0 ? {} : soon));
      const { epoch } = appended((await store.append(appends))[0]);
      await advance(170);
      assert.equal(await store.sweepExpired(1000), 80);
      const [read] = await store.read([{ stream: lane('d1'), after: { epoch, offset: 40 }, entriesMax: 3 }]);
      assert.deepEqual(
        read!.entries.map((e) => [e.offset, e.prev]),
        [
          [46, 40],
          [55, 46],
          [64, 55],
        ],
      );
      assert.equal(read!.complete, false);
    }));
}

function sweepContract(subject: StoreSubject): void {
  test('a sweep drops expired entries, at most as many as it may, and leaves the rest', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      const soon = { expiresAtMs: nowMs() + 500 };
      for (const name of ['d1', 'd2', 'd3']) {
        await register(store, name);
        await store.append([
          anAppend(lane(name), 'a', soon),
          anAppend(lane(name), 'b', soon),
          anAppend(lane(name), 'c'),
        ]);
      }
      await store.append([anAppend(topic('t'), 'a', soon), anAppend(topic('t'), 'b')]);
      assert.equal(await store.sweepExpired(100), 0);
      await advance(550);
      assert.equal(await store.sweepExpired(4), 4);
      assert.equal(await store.sweepExpired(100), 3);
      assert.equal(await store.sweepExpired(100), 0);
      for (const stream of [lane('d1'), lane('d2'), lane('d3'), topic('t')]) {
        const [read] = await store.read([{ stream, after: null, entriesMax: 9 }]);
        assert.deepEqual([texts(read!.entries).length, read!.complete], [1, true]);
      }
    }));

  test('a sweep of a stream with mixed expiries takes out the middle', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const soon = { expiresAtMs: nowMs() + 500 };
      const { epoch } = appended(
        (
          await store.append([
            anAppend(lane('d1'), 'a'),
            anAppend(lane('d1'), 'b', soon),
            anAppend(lane('d1'), 'c', { expiresAtMs: nowMs() + 60_000 }),
          ])
        )[0],
      );
      await advance(550);
      assert.equal(await store.sweepExpired(9), 1);
      const [read] = await store.read([{ stream: lane('d1'), after: { epoch, offset: 0 }, entriesMax: 9 }]);
      assert.deepEqual(
        read!.entries.map((e) => [e.offset, e.prev]),
        [
          [1, 0],
          [3, 1],
        ],
      );
      const next = appended((await appendAll(store, lane('d1'), ['d']))[0]);
      assert.deepEqual([next.offset, next.prev], [4, 3]);
    }));

  test('what a sweep took from the end of a stream is not before what comes next', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const soon = { expiresAtMs: nowMs() + 120 };
      const outcomes = await store.append([
        anAppend(lane('d1'), 'a'),
        anAppend(lane('d1'), 'b', soon),
        anAppend(lane('d1'), 'c'),
        anAppend(lane('d1'), 'd', soon),
        anAppend(lane('d1'), 'e', soon),
      ]);
      await advance(170);
      assert.equal(await store.sweepExpired(9), 3);
      const next = appended((await appendAll(store, lane('d1'), ['f']))[0]);
      assert.deepEqual([next.offset, next.prev], [6, 3]);
      const { epoch } = appended(outcomes[0]);
      const [read] = await store.read([{ stream: lane('d1'), after: { epoch, offset: 1 }, entriesMax: 9 }]);
      assert.deepEqual(
        read!.entries.map((e) => [e.offset, e.prev]),
        [
          [3, 1],
          [6, 3],
        ],
      );
    }));
}
