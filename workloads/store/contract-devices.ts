// Contract of the store port: registration, tokens, durable subscriptions, idempotency keys, health.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  account,
  aMove,
  anId,
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
import { StoreUnavailableError } from './port.ts';
import type { TopicCursor } from './port.ts';
import type { AppId, Epoch } from '../protocol/ids.ts';
import { TOPIC_ALL } from '../protocol/ids.ts';

export function devicesContract(subject: StoreSubject): void {
  registrationContract(subject);
  subscriptionsContract(subject);
  claimsContract(subject);
}

function registrationContract(subject: StoreSubject): void {
  test('a registered device is found, by itself, by its account and by its token', () =>
    withStore(subject, {}, async ({ store }) => {
      assert.equal(await register(store, 'd1', { tokenId: 't1' }), 'registered');
      assert.equal(await register(store, 'd2', { tokenId: 't2' }), 'registered');
      assert.deepEqual(await store.device(APP, device('d1')), { account: 'ann', generation: 0, route: null });
      assert.deepEqual((await store.accountDevices(APP, account('ann'))).toSorted(), ['d1', 'd2']);
      assert.deepEqual(await store.accountDevices(APP, account('nobody')), []);
      assert.deepEqual(await store.tokenClient(APP, 't1'), { account: 'ann', device: 'd1' });
      assert.equal(await store.tokenClient(APP, 'never'), null);
      assert.equal(await store.tokenClient('other' as AppId, 't1'), null);
    }));

  test('registering again keeps streams, generation and subscriptions', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1', { tokenId: 't1' });
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      await store.subscribe(APP, device('d1'), [hear('news')]);
      assert.equal(await register(store, 'd1', { tokenId: 't2', max: 1 }), 'registered');
      const info = await store.device(APP, device('d1'));
      assert.deepEqual([info!.generation, info!.route!.generation], [generation, generation]);
      assert.equal(opened(await store.openSession(anOpenSession('d1'))).topics.length, 1);
      assert.deepEqual(
        [await store.tokenClient(APP, 't1'), await store.tokenClient(APP, 't2')].map((c) => c?.device),
        ['d1', 'd1'],
      );
    }));

  test('an account takes devices up to its most and refuses one more until one is closed', () =>
    withStore(subject, {}, async ({ store }) => {
      const outcomes = [];
      for (const name of ['d1', 'd2', 'd3']) outcomes.push(await register(store, name, { max: 2 }));
      assert.deepEqual(outcomes, ['registered', 'registered', 'account-full']);
      assert.equal(await store.device(APP, device('d3')), null);
      await store.closeDevice(APP, device('d1'));
      assert.equal(await register(store, 'd3', { max: 2 }), 'registered');
      assert.deepEqual((await store.accountDevices(APP, account('ann'))).toSorted(), ['d2', 'd3']);
    }));

  test('a device that moves to another account leaves the first one and makes room there', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1', { max: 1 });
      await register(store, 'd1', { account: 'bob', max: 1 });
      assert.deepEqual(await store.accountDevices(APP, account('ann')), []);
      assert.deepEqual(await store.accountDevices(APP, account('bob')), ['d1']);
      assert.equal(await register(store, 'd2', { max: 1 }), 'registered');
      assert.equal(await register(store, 'd2', { account: 'bob', max: 1 }), 'account-full');
      assert.deepEqual(await store.accountDevices(APP, account('ann')), ['d2'], 'a refused move changes nothing');
    }));

  test('a token stands for its client until it expires, its device is closed or changes its account', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1', { tokenId: 'short', expiresAtMs: nowMs() + 500 });
      await register(store, 'd1', { tokenId: 'long' });
      await register(store, 'd2', { tokenId: 'moved' });
      assert.equal((await store.tokenClient(APP, 'short'))?.device, 'd1');
      await advance(550);
      assert.equal(await store.tokenClient(APP, 'short'), null);
      assert.equal((await store.tokenClient(APP, 'long'))?.device, 'd1');
      await store.closeDevice(APP, device('d1'));
      assert.equal(await store.tokenClient(APP, 'long'), null);
      await advance(5);
      await register(store, 'd1', { tokenId: 'new' });
      assert.deepEqual(
        [await store.tokenClient(APP, 'long'), (await store.tokenClient(APP, 'new'))?.device],
        [null, 'd1'],
      );
      await register(store, 'd2', { tokenId: 'mine', account: 'bob' });
      assert.equal(await store.tokenClient(APP, 'moved'), null);
      assert.deepEqual(await store.tokenClient(APP, 'mine'), { account: 'bob', device: 'd2' });
    }));

  test('names with every allowed character stay apart', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = ['a', 'A', 'a/b', 'a:b', 'a.b', 'a_b', 'a~b', 'a@b', 'a-b', 'a/b/c', `d${'x'.repeat(127)}`];
      await Promise.all(names.map((name) => register(store, name, { account: `acc/${name}`.slice(0, 128) })));
      for (const name of names) {
        assert.deepEqual(await store.accountDevices(APP, account(`acc/${name}`.slice(0, 128))), [name]);
      }
      await register(store, 'a', { account: 'x' });
      assert.equal((await store.device(APP, device('A')))!.account, 'acc/A');
    }));
}

function subscriptionsContract(subject: StoreSubject): void {
  test('a new subscription starts at the present head, a repeated one keeps its cursor', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { epoch } = appended((await appendAll(store, topic('news'), ['a', 'b']))[0]);
      const cursors = await store.subscribe(APP, device('d1'), [hear('news'), hear('empty')]);
      assert.deepEqual(cursors, [
        { topic: 'news', epoch, offset: 2, filter: null, attempts: 0 },
        { topic: 'empty', epoch: null, offset: 0, filter: null, attempts: 0 },
      ]);
      await appendAll(store, topic('news'), ['c']);
      assert.deepEqual(await store.subscribe(APP, device('d1'), [hear('news')]), [
        { topic: 'news', epoch, offset: 2, filter: null, attempts: 0 },
      ]);
      assert.deepEqual(await store.subscribe(APP, device('nobody'), [hear('news')]), []);
    }));

  test('unsubscribing removes the row, and only that', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      await store.subscribe(APP, device('d1'), [hear('a'), hear('b')]);
      await store.unsubscribe(APP, device('d1'), [topicName('a'), topicName('never')]);
      assert.deepEqual(
        opened(await store.openSession(anOpenSession('d1'))).topics.map((c) => c.topic),
        ['b'],
      );
      await store.unsubscribe(APP, device('d1'), [topicName('b')]);
      assert.deepEqual(opened(await store.openSession(anOpenSession('d1'))).topics, []);
    }));

  test('saved cursors go up and never back within an epoch, and only for what is subscribed or for everyone', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      await store.subscribe(APP, device('d1'), [hear('a')]);
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const save = (name: string, epoch: string, offset: number, from = generation) =>
        store.saveCursors([
          {
            app: APP,
            device: device('d1'),
            generation: from,
            topics: [aMove(name, epoch as Epoch, { offset })],
          },
        ]);
      await save('a', 'e1', 5);
      await save('a', 'e1', 3);
      await save('a', 'e1', 9, generation - 1);
      await save('unknown', 'e1', 7);
      await save(TOPIC_ALL, 'e9', 2);
      await save(TOPIC_ALL, 'e9', 1);
      const session = opened(await store.openSession(anOpenSession('d1')));
      assert.deepEqual(
        session.topics.map(placeOf).toSorted((x, y) => (x.topic < y.topic ? -1 : 1)),
        [
          { topic: TOPIC_ALL, epoch: 'e9', offset: 2 },
          { topic: 'a', epoch: 'e1', offset: 5 },
        ],
      );
      await save('a', 'e2', 1, session.generation);
      const next = opened(await store.openSession(anOpenSession('d1')));
      assert.deepEqual(
        next.topics.map(placeOf).find((c) => c.topic === 'a'),
        { topic: 'a', epoch: 'e2', offset: 1 },
      );
    }));

  test('hundreds of subscriptions of one device and flushes of many devices go in one call', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = Array.from({ length: 300 }, (_, i) => `topic/${i}`);
      const devices = ['d1', 'd2', 'd3'];
      for (const name of devices) {
        await register(store, name);
        assert.equal((await store.subscribe(APP, device(name), names.map(hear))).length, 300);
      }
      const topics = names.map((name, i) => aMove(name, 'e' as Epoch, { offset: i }));
      await store.saveCursors(devices.map((name) => ({ app: APP, device: device(name), generation: 0, topics })));
      for (const name of devices) {
        const session = opened(await store.openSession(anOpenSession(name)));
        assert.equal(
          session.topics.reduce((sum, c) => sum + c.offset, 0),
          (299 * 300) / 2,
        );
      }
    }));
}

function placeOf({ topic, epoch, offset }: TopicCursor): Pick<TopicCursor, 'topic' | 'epoch' | 'offset'> {
  return { topic, epoch, offset };
}

function claimsContract(subject: StoreSubject): void {
  test('of many claims of one key at once, one wins and all are told its message id', () =>
    withStore(subject, {}, async ({ store }) => {
      const claims = await Promise.all(
        Array.from({ length: 30 }, (_, i) => store.claimKey(APP, 'order-1', anId(), `f${i}`)),
      );
      const winners = claims.filter((claim) => claim.claimed);
      assert.equal(winners.length, 1);
      for (const claim of claims)
        assert.deepEqual([claim.messageId, claim.fingerprint], [winners[0]!.messageId, winners[0]!.fingerprint]);
      assert.equal((await store.claimKey('other' as AppId, 'order-1', anId(), 'f')).claimed, true);
    }));

  test('a key with spaces, slashes and any letters is a key', () =>
    withStore(subject, {}, async ({ store }) => {
      for (const key of ['a b', 'a/b', 'ä{x}', '…'.repeat(128)]) {
        const id = anId();
        assert.deepEqual(await store.claimKey(APP, key, id, 'f f'), {
          claimed: true,
          messageId: id,
          fingerprint: 'f f',
        });
        assert.deepEqual(await store.claimKey(APP, key, anId(), 'g'), {
          claimed: false,
          messageId: id,
          fingerprint: 'f f',
        });
      }
    }));

  test('a key is free again past its window', () =>
    withStore(subject, { idempotencyWindowMs: 600 }, async ({ store, advance }) => {
      await store.claimKey(APP, 'k', anId(), 'f');
      await advance(50);
      assert.equal((await store.claimKey(APP, 'k', anId(), 'f')).claimed, false);
      await advance(650);
      assert.equal((await store.claimKey(APP, 'k', anId(), 'f')).claimed, true);
    }));

  test('a store that answers is reachable; a closed one is not, and rejects by name', () =>
    withStore(subject, {}, async ({ store }) => {
      assert.equal((await store.health()).reachable, true);
      await store.close();
      await store.close();
      assert.equal((await store.health()).reachable, false);
      await assert.rejects(store.heads([topic('t')]), StoreUnavailableError);
      await assert.rejects(store.append([]), StoreUnavailableError);
    }));
}
