// Contract of the store port: what a crash keeps, and how a stream goes on when the store lost its tail (R3).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  anAck,
  anAppend,
  anId,
  anOpenSession,
  APP,
  appendAll,
  appended,
  counted,
  lane,
  opened,
  register,
  texts,
  topic,
  withStore,
} from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';

export function epochsContract(subject: StoreSubject): void {
  if (subject.hooks.includes('crash')) crashContract(subject);
  if (subject.hooks.includes('checkpoint')) fallBackContract(subject);
}

function crashContract(subject: StoreSubject): void {
  test('a crash loses nothing acknowledged and keeps the epochs', () =>
    withStore(subject, {}, async (under) => {
      await register(under.store, 'd1', { tokenId: 'tok' });
      const id = anId();
      const before = appended((await under.store.append([anAppend(lane('d1'), 'a', { id })]))[0]);
      await appendAll(under.store, topic('t'), ['x', 'y']);
      await under.crash!();
      const { store } = under;
      assert.deepEqual(appended((await store.append([anAppend(lane('d1'), 'a', { id })]))[0]), {
        ...before,
        duplicate: true,
      });
      assert.deepEqual(appended((await appendAll(store, lane('d1'), ['b']))[0]), { ...before, offset: 2, prev: 1 });
      assert.equal(appended((await appendAll(store, topic('t'), ['z']))[0]).offset, 3);
      assert.deepEqual(await store.tokenClient(APP, 'tok'), { account: 'ann', device: 'd1' });
    }));

  test('appends under way in a crash are there once or not at all, and the acknowledged ones are there', () =>
    withStore(subject, {}, async (under) => {
      await register(under.store, 'd1');
      const asked = Array.from({ length: 200 }, (_, i) => anAppend(lane('d1'), `${i}`));
      const acked = new Set<string>();
      const under20 = asked.map(async (append, i) => {
        if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
        const [outcome] = await under.store.append([append]);
        if (outcome?.kind === 'appended') acked.add(append.messageId);
      });
      const settled = Promise.allSettled(under20);
      await under20[0];
      await under.crash!();
      await settled;
      for (const append of asked) await under.store.append([append]);
      const [read] = await under.store.read([{ stream: lane('d1'), after: null, entriesMax: 500 }]);
      assert.deepEqual(texts(read!.entries).toSorted(), asked.map((_, i) => `${i}`).toSorted(), 'each once');
      assert.ok(acked.size > 0);
    }));
}

function fallBackContract(subject: StoreSubject): void {
  test('R3: a store that lost its tail opens a new epoch on the next append, and says ahead to who saw the tail', () =>
    withStore(subject, {}, async (under) => {
      await register(under.store, 'd1');
      const { epoch: old } = appended((await appendAll(under.store, lane('d1'), ['a', 'b']))[0]);
      await under.checkpoint!();
      await appendAll(under.store, lane('d1'), ['lost']);
      await under.fallBack!();
      const { store } = under;
      assert.deepEqual(await store.heads([lane('d1')]), [{ epoch: old, head: 2 }], 'reading opens no epoch');
      const first = appended((await appendAll(store, lane('d1'), ['c', 'd']))[0]);
      assert.notEqual(first.epoch, old);
      assert.equal(first.offset, 3);
      const [ahead, end, middle] = await store.read([
        { stream: lane('d1'), after: { epoch: old, offset: 3 }, entriesMax: 9 },
        { stream: lane('d1'), after: { epoch: old, offset: 2 }, entriesMax: 9 },
        { stream: lane('d1'), after: { epoch: old, offset: 1 }, entriesMax: 9 },
      ]);
      assert.deepEqual(
        [ahead!.notRecovered, ahead!.epoch, ahead!.from, texts(ahead!.entries)],
        ['ahead', first.epoch, 2, ['c', 'd']],
      );
      assert.deepEqual(
        [end!.notRecovered, end!.epoch, end!.from, texts(end!.entries)],
        [null, first.epoch, 2, ['c', 'd']],
      );
      assert.deepEqual(
        [middle!.notRecovered, middle!.epoch, texts(middle!.entries), middle!.complete],
        [null, old, ['b'], false],
      );
    }));

  test('acks count in an old epoch up to its end', () =>
    withStore(subject, {}, async (under) => {
      await register(under.store, 'd1');
      const { generation } = opened(await under.store.openSession(anOpenSession('d1')));
      const { epoch } = appended((await appendAll(under.store, lane('d1'), ['a', 'b']))[0]);
      await under.checkpoint!();
      await under.fallBack!();
      await appendAll(under.store, lane('d1'), ['c']);
      assert.deepEqual(
        counted(
          await under.store.settle([
            anAck('d1', { epoch, generation, offset: 3 }),
            anAck('d1', { epoch, generation, offset: 2 }),
          ]),
        ),
        [false, true],
      );
      const [read] = await under.store.read([{ stream: lane('d1'), after: null, entriesMax: 9 }]);
      assert.deepEqual(texts(read!.entries), ['c']);
    }));

  test('a topic has the same history, and past its bound the oldest epoch is unknown', () =>
    withStore(subject, { epochHistoryMax: 2 }, async (under) => {
      const epochs = [appended((await appendAll(under.store, topic('t'), ['1']))[0]).epoch];
      for (const text of ['2', '3']) {
        await under.checkpoint!();
        await under.fallBack!();
        epochs.push(appended((await appendAll(under.store, topic('t'), [text]))[0]).epoch);
      }
      assert.equal(new Set(epochs).size, 3);
      const [oldest, middle] = await under.store.read([
        { stream: topic('t'), after: { epoch: epochs[0]!, offset: 1 }, entriesMax: 9 },
        { stream: topic('t'), after: { epoch: epochs[1]!, offset: 2 }, entriesMax: 9 },
      ]);
      assert.deepEqual([oldest!.notRecovered, texts(oldest!.entries)], ['epoch-unknown', ['1', '2']]);
      assert.deepEqual([middle!.notRecovered, middle!.epoch, texts(middle!.entries)], [null, epochs[2], ['3']]);
    }));

  test('a store that went back to before the stream began says epoch-unknown', () =>
    withStore(subject, {}, async (under) => {
      await under.checkpoint!();
      const { epoch } = appended((await appendAll(under.store, topic('t'), ['a']))[0]);
      await under.fallBack!();
      const after = { epoch, offset: 1 };
      assert.equal(
        (await under.store.read([{ stream: topic('t'), after, entriesMax: 9 }]))[0]!.notRecovered,
        'epoch-unknown',
      );
      await appendAll(under.store, topic('t'), ['b']);
      const [read] = await under.store.read([{ stream: topic('t'), after, entriesMax: 9 }]);
      assert.deepEqual([read!.notRecovered, texts(read!.entries)], ['epoch-unknown', ['b']]);
    }));
}
