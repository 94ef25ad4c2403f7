// Contract of the store port: durable subscriptions beyond the row itself: filters, attempts kept with cursors, who hears a topic.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  aMove,
  anOpenSession,
  APP,
  appendAll,
  appended,
  device,
  hear,
  opened,
  register,
  topic,
  topicName,
  withStore,
} from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { CursorMove, Store, TopicCursor } from './port.ts';
import type { DeviceId, Epoch, TopicName } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';

export function subscriptionsContract(subject: StoreSubject): void {
  filtersContract(subject);
  attemptsContract(subject);
  subscribersContract(subject);
}

async function cursorsOf(store: Store, name: string): Promise<readonly TopicCursor[]> {
  return opened(await store.openSession(anOpenSession(name))).topics;
}

function filtersContract(subject: StoreSubject): void {
  test('a filter is kept with the row as it was given; one given later replaces it, none named keeps it, null takes it away', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const filter = '{"types":["ä b","{}"]}';
      const subscribe = async (more: { filter?: string | null }): Promise<string | null> => {
        const [cursor] = await store.subscribe(APP, device('d1'), [{ topic: topicName('t'), ...more }]);
        assert.equal((await cursorsOf(store, 'd1'))[0]!.filter, cursor!.filter);
        return cursor!.filter;
      };
      assert.equal(await subscribe({}), null);
      assert.equal(await subscribe({ filter }), filter);
      assert.equal(await subscribe({}), filter);
      assert.equal(await subscribe({ filter: '{"level":3}' }), '{"level":3}');
      assert.equal(await subscribe({ filter: null }), null);
    }));

  test('another filter leaves the cursor where it is; unsubscribing forgets the filter', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const [start] = await store.subscribe(APP, device('d1'), [{ topic: topicName('t'), filter: '{"a":1}' }]);
      const { epoch } = appended((await appendAll(store, topic('t'), ['x', 'y']))[0]);
      const [again] = await store.subscribe(APP, device('d1'), [{ topic: topicName('t'), filter: '{"b":1}' }]);
      assert.deepEqual(again, { ...start, filter: '{"b":1}' });
      await store.unsubscribe(APP, device('d1'), [topicName('t')]);
      assert.deepEqual(await store.subscribe(APP, device('d1'), [{ topic: topicName('t') }]), [
        { topic: 't', epoch, offset: 2, filter: null, attempts: 0 },
      ]);
    }));

  test('a filter has at most so many bytes', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const largest = 'x'.repeat(LIMITS.filterBytesMax - 2) + 'ä';
      const [cursor] = await store.subscribe(APP, device('d1'), [{ topic: topicName('t'), filter: largest }]);
      assert.equal(cursor!.filter, largest);
      const more = { topic: topicName('u'), filter: `${largest}x` };
      await assert.rejects(store.subscribe(APP, device('d1'), [more]), RangeError);
      assert.deepEqual(
        (await cursorsOf(store, 'd1')).map((row) => row.topic),
        ['t'],
      );
    }));
}

function attemptsContract(subject: StoreSubject): void {
  test('attempts of the first entry above a cursor are kept with it, by the present session only', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      await store.subscribe(APP, device('d1'), [hear('t')]);
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b']))[0]);
      const { generation: old } = opened(await store.openSession(anOpenSession('d1')));
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const move = (offset: number, more: Partial<CursorMove>, by = generation): Promise<void> =>
        store.saveCursors([
          { app: APP, device: device('d1'), generation: by, topics: [aMove('t', epoch, { offset, ...more })] },
        ]);
      const save = (by: number, offset: number, attempts: number, of: Epoch = epoch): Promise<void> =>
        store.saveAttempts([
          { app: APP, device: device('d1'), generation: by, stream: topicName('t'), epoch: of, offset, attempts },
        ]);
      await move(1, { from: 0 });
      await save(generation, 2, 3);
      await save(generation, 1, 9);
      await save(generation, 2, 9, 'never' as Epoch);
      await save(old, 2, 9);
      const [cursor] = await store.subscribe(APP, device('d1'), [hear('t')]);
      assert.deepEqual([cursor!.offset, cursor!.attempts], [1, 3]);
      await move(1, { from: 1, attempts: 4 });
      assert.equal((await store.subscribe(APP, device('d1'), [hear('t')]))[0]!.attempts, 4);
      await move(2, { from: 1 });
      const [moved] = await cursorsOf(store, 'd1');
      assert.deepEqual([moved!.offset, moved!.attempts], [2, 0], 'attempts go with the entry');
    }));
}

function subscribersContract(subject: StoreSubject): void {
  test('the subscribers of a topic come sorted, page by page, with how many there are', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = ['a', 'b', 'a/b', 'B', 'c~d', 'c', 'd:1'];
      for (const name of names) {
        await register(store, name);
        await store.subscribe(APP, device(name), [hear('t')]);
      }
      await register(store, 'other');
      await store.subscribe(APP, device('other'), [hear('t2')]);
      const found: string[] = [];
      for (let after: DeviceId | null = null; ;) {
        const page: { count: number; devices: readonly DeviceId[] } = await store.topicSubscribers(
          APP,
          topicName('t'),
          { after, limit: 3 },
        );
        assert.equal(page.count, names.length);
        assert.ok(page.devices.length <= 3);
        found.push(...page.devices);
        if (page.devices.length < 3) break;
        after = page.devices.at(-1)!;
      }
      assert.deepEqual(found, names.toSorted());
    }));

  test('subscribing again adds no subscriber; leaving, closing and another account take one away', () =>
    withStore(subject, {}, async ({ store }) => {
      const count = async (name = 't'): Promise<number> =>
        (await store.topicSubscribers(APP, name as TopicName, { after: null, limit: 9 })).count;
      for (const name of ['d1', 'd2', 'd3', 'd4']) {
        await register(store, name);
        await store.subscribe(APP, device(name), [hear('t')]);
        await store.subscribe(APP, device(name), [hear('t')]);
      }
      assert.deepEqual([await count(), await count('never')], [4, 0]);
      await store.unsubscribe(APP, device('d1'), [topicName('t')]);
      await store.unsubscribe(APP, device('d1'), [topicName('t')]);
      assert.equal(await count(), 3);
      await store.closeDevice(APP, device('d2'));
      assert.equal(await count(), 2);
      await register(store, 'd3', { account: 'bob' });
      assert.equal(await count(), 1);
      await register(store, 'd4');
      const page = await store.topicSubscribers(APP, topicName('t'), { after: null, limit: 9 });
      assert.deepEqual(page, { count: 1, devices: ['d4'] });
    }));

  test('nobody is a subscriber of a topic by a cursor that was never subscribed', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const topics = [aMove('t', 'e' as Epoch, { offset: 3 }), aMove('$all', 'e' as Epoch, { offset: 3 })];
      await store.saveCursors([{ app: APP, device: device('d1'), generation: 0, topics }]);
      for (const name of ['t', '$all'])
        assert.equal((await store.topicSubscribers(APP, name as TopicName, { after: null, limit: 9 })).count, 0);
    }));
}
