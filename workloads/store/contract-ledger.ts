// Contract of the store port: the ledger (R12). Each delivery is counted once when it is accepted and once when it ends; what waits is
// counted anew from streams and cursors, and fits whenever nothing is in flight.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  aMove,
  anAck,
  anAppend,
  anEnd,
  anId,
  anOpenSession,
  APP,
  appendAll,
  appended,
  device,
  hear,
  lane,
  opened,
  register,
  topic,
  topicName,
  withStore,
} from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { CursorMove, EndState, Ledger, Store } from './port.ts';
import type { AppId, Epoch } from '../protocol/ids.ts';
import { TOPIC_ALL } from '../protocol/ids.ts';

export function ledgerContract(subject: StoreSubject): void {
  devicesLedgerContract(subject);
  topicsLedgerContract(subject);
  leavingLedgerContract(subject);
}

const NOTHING: Ledger = {
  accepted: 0,
  acked: 0,
  expired: 0,
  dead: 0,
  cancelled: 0,
  filtered: 0,
  untracked: { accepted: 0, acked: 0 },
};

/** The ledger is as told (what is not told is 0), and what it says that waits is what waits. */
export async function assertLedger(store: Store, expected: Partial<Ledger>): Promise<void> {
  const ledger = await store.ledger(APP);
  assert.deepEqual(ledger, { ...NOTHING, ...expected });
  const { accepted, acked, expired, dead, cancelled, filtered } = ledger;
  assert.equal(await store.countWaiting(APP), accepted - acked - expired - dead - cancelled - filtered, 'waiting');
}

function devicesLedgerContract(subject: StoreSubject): void {
  test('an app that has sent nothing has an empty ledger', () =>
    withStore(subject, {}, async ({ store }) => {
      await assertLedger(store, {});
      await register(store, 'd1');
      await assertLedger(store, {});
    }));

  test('an append is accepted once, however often it is repeated; refused it counts nothing', () =>
    withStore(subject, { deviceStreamEntriesMax: 2 }, async ({ store }) => {
      await register(store, 'd1');
      const append = anAppend(lane('d1'), 'x');
      await store.append([append, append, anAppend(lane('d1'), 'y'), anAppend(lane('d1'), 'z')]);
      await store.append([append, anAppend(lane('nobody'), 'x')]);
      await assertLedger(store, { accepted: 2 });
    }));

  test('each way to end has its counter, once', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const states: Exclude<EndState, 'expired'>[] = ['acked', 'dead', 'cancelled', 'satisfied', 'filtered'];
      const ids = states.map(() => anId());
      await store.append(ids.map((id) => anAppend(lane('d1'), 'x', { id })));
      const ends = states.map((state, i) => anEnd('d1', { messageId: ids[i]! }, state));
      await store.settleEntries(ends);
      await store.settleEntries(ends);
      await store.append([anAppend(lane('d1', 'low'), 'x', { expiresAtMs: nowMs() + 200 })]);
      await appendAll(store, lane('d1', 'high'), ['y']);
      const expected = { accepted: 7, acked: 1, dead: 1, cancelled: 2, filtered: 1 };
      await assertLedger(store, expected);
      await advance(250);
      await store.sweepExpired(10);
      await store.sweepExpired(10);
      await assertLedger(store, { ...expected, expired: 1 });
    }));

  test('a cumulative ack counts what it ends: acked, or expired where that came first', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const ended = anId();
      const [first] = await store.append([
        anAppend(lane('d1'), 'a'),
        anAppend(lane('d1'), 'b', { expiresAtMs: nowMs() + 200 }),
        anAppend(lane('d1'), 'c', { id: ended }),
        anAppend(lane('d1'), 'd'),
        anAppend(lane('d1'), 'e'),
      ]);
      await store.settleEntries([anEnd('d1', { messageId: ended }, 'filtered')]);
      await advance(250);
      const ack = anAck('d1', { epoch: appended(first).epoch, offset: 4, generation });
      await store.settle([ack, { ...ack, generation: generation - 1, offset: 5 }, ack]);
      await assertLedger(store, { accepted: 5, acked: 2, expired: 1, filtered: 1 });
    }));

  test('what a newer one of its key replaces is cancelled; what overflows is accepted and dead', () =>
    withStore(subject, { deviceStreamEntriesMax: 2 }, async ({ store }) => {
      await register(store, 'd1');
      const full = anAppend(lane('d1'), 'd', { overflow: 'dead-letter' });
      await store.append([
        anAppend(lane('d1'), 'a', { collapseKey: 'k' }),
        anAppend(lane('d1'), 'b', { collapseKey: 'k' }),
        anAppend(lane('d1'), 'c'),
        full,
        full,
      ]);
      await assertLedger(store, { accepted: 4, cancelled: 1, dead: 1 });
    }));

  test('expired entries that make room are counted as expired', () =>
    withStore(subject, { deviceStreamEntriesMax: 1 }, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      await store.append([anAppend(lane('d1'), 'a', { expiresAtMs: nowMs() + 200 })]);
      await advance(250);
      await appendAll(store, lane('d1'), ['b']);
      await assertLedger(store, { accepted: 2, expired: 1 });
    }));

  test('apps have ledgers of their own', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      await appendAll(store, lane('d1'), ['a']);
      assert.deepEqual(await store.ledger('other' as AppId), NOTHING);
      assert.equal(await store.countWaiting('other' as AppId), 0);
    }));

  if (subject.hooks.includes('crash'))
    test('the ledger survives a crash', () =>
      withStore(subject, {}, async (under) => {
        await register(under.store, 'd1');
        const ids = [anId(), anId()];
        await under.store.append(ids.map((id) => anAppend(lane('d1'), 'x', { id })));
        await under.store.settleEntries([anEnd('d1', { messageId: ids[0]! }, 'acked')]);
        await under.crash!();
        await assertLedger(under.store, { accepted: 2, acked: 1 });
      }));
}

/** Devices that hear topic `t`, and its epoch after one message. */
async function subscribers(store: Store, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await register(store, name);
    await store.subscribe(APP, device(name), [hear('t')]);
  }
}
function move(store: Store, name: string, moved: CursorMove, generation = 0): Promise<void> {
  return store.saveCursors([{ app: APP, device: device(name), generation, topics: [moved] }]);
}

function topicsLedgerContract(subject: StoreSubject): void {
  test('a topic message is as many deliveries as the topic has subscriptions when it is appended', () =>
    withStore(subject, {}, async ({ store }) => {
      await appendAll(store, topic('t'), ['nobody hears']);
      await assertLedger(store, {});
      await subscribers(store, ['d1', 'd2']);
      await assertLedger(store, {});
      const append = anAppend(topic('t'), 'x');
      await store.append([append, append]);
      await subscribers(store, ['d3', 'd1']);
      await appendAll(store, topic('t'), ['y']);
      await appendAll(store, topic('other'), ['z']);
      await assertLedger(store, { accepted: 2 + 3 });
    }));

  test('a cursor counts what it passes: as told, and the rest as acked', () =>
    withStore(subject, {}, async ({ store }) => {
      await subscribers(store, ['d1', 'd2']);
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b', 'c', 'd', 'e', 'f']))[0]);
      await move(store, 'd1', aMove('t', epoch, { offset: 5, filtered: 1, expired: 1, cancelled: 1, dead: 1 }));
      await assertLedger(store, { accepted: 12, acked: 1, filtered: 1, expired: 1, cancelled: 1, dead: 1 });
      await move(store, 'd2', aMove('t', epoch, { offset: 6 }));
      await assertLedger(store, { accepted: 12, acked: 7, filtered: 1, expired: 1, cancelled: 1, dead: 1 });
    }));

  test('a move that is repeated counts once; one from elsewhere counts what is above the stored offset, as acked', () =>
    withStore(subject, {}, async ({ store }) => {
      await subscribers(store, ['d1']);
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b', 'c', 'd']))[0]);
      const first = aMove('t', epoch, { offset: 2, filtered: 2 });
      await move(store, 'd1', first);
      await move(store, 'd1', first);
      await assertLedger(store, { accepted: 4, filtered: 2 });
      await move(store, 'd1', aMove('t', epoch, { from: 1, offset: 3, dead: 2 }));
      await assertLedger(store, { accepted: 4, filtered: 2, acked: 1 });
      await move(store, 'd1', aMove('t', epoch, { from: 0, offset: 1, expired: 1 }));
      await assertLedger(store, { accepted: 4, filtered: 2, acked: 1 });
      await move(store, 'd1', aMove('t', epoch, { from: 3, offset: 4, filtered: 7 }));
      await assertLedger(store, { accepted: 4, filtered: 3, acked: 1 });
    }));

  test('a move of an older session counts nothing', () =>
    withStore(subject, {}, async ({ store }) => {
      await subscribers(store, ['d1']);
      const { epoch } = appended((await appendAll(store, topic('t'), ['a']))[0]);
      const old = opened(await store.openSession(anOpenSession('d1')));
      await store.openSession(anOpenSession('d1'));
      await move(store, 'd1', aMove('t', epoch, { offset: 1 }), old.generation);
      await assertLedger(store, { accepted: 1 });
    }));

  test('what a topic forgets by its bounds waits for its subscribers until their cursors pass it', () =>
    withStore(subject, { topicStreamEntriesMax: 2 }, async ({ store }) => {
      await subscribers(store, ['d1']);
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b', 'c', 'd']))[0]);
      await assertLedger(store, { accepted: 4 });
      await move(store, 'd1', aMove('t', epoch, { offset: 4, expired: 2 }));
      await assertLedger(store, { accepted: 4, acked: 2, expired: 2 });
    }));

  test('a cancelled or collapsed topic entry waits until the cursors pass it', () =>
    withStore(subject, {}, async ({ store }) => {
      await subscribers(store, ['d1']);
      const id = anId();
      const [first] = await store.append([
        anAppend(topic('t'), 'a', { id }),
        anAppend(topic('t'), 'b', { collapseKey: 'k' }),
        anAppend(topic('t'), 'c', { collapseKey: 'k' }),
      ]);
      await store.cancelTopicEntry(APP, topicName('t'), id);
      await assertLedger(store, { accepted: 3 });
      await move(store, 'd1', aMove('t', appended(first).epoch, { offset: 3, cancelled: 2 }));
      await assertLedger(store, { accepted: 3, acked: 1, cancelled: 2 });
    }));

  test('`$all` has a line of its own and waits nowhere', () =>
    withStore(subject, {}, async ({ store }) => {
      await subscribers(store, ['d1', 'd2']);
      const all = { app: APP, kind: 'topic', topic: TOPIC_ALL } as const;
      const { epoch } = appended((await appendAll(store, all, ['a', 'b', 'c']))[0]);
      await move(store, 'd1', aMove(TOPIC_ALL, epoch, { from: 1, offset: 2 }));
      await move(store, 'd1', aMove(TOPIC_ALL, epoch, { from: 2, offset: 3, dead: 1 }));
      await move(store, 'd1', aMove(TOPIC_ALL, epoch, { from: 2, offset: 3 }));
      await assertLedger(store, { untracked: { accepted: 3, acked: 2 } });
      await store.closeDevice(APP, device('d1'));
      await assertLedger(store, { untracked: { accepted: 3, acked: 2 } });
    }));
}

function leavingLedgerContract(subject: StoreSubject): void {
  test('what was not settled when a subscription ends is cancelled, once', () =>
    withStore(subject, {}, async ({ store }) => {
      await subscribers(store, ['d1', 'd2']);
      const { epoch } = appended((await appendAll(store, topic('t'), ['a', 'b', 'c']))[0]);
      await move(store, 'd1', aMove('t', epoch, { offset: 1 }));
      await store.unsubscribe(APP, device('d1'), [topicName('t'), topicName('never')]);
      await store.unsubscribe(APP, device('d1'), [topicName('t')]);
      await assertLedger(store, { accepted: 6, acked: 1, cancelled: 2 });
      await move(store, 'd1', aMove('t', epoch, { from: 1, offset: 3 }));
      await assertLedger(store, { accepted: 6, acked: 1, cancelled: 2 });
      await store.subscribe(APP, device('d1'), [hear('t')]);
      await appendAll(store, topic('t'), ['d']);
      await assertLedger(store, { accepted: 8, acked: 1, cancelled: 2 });
    }));

  for (const [how, leave] of [
    ['closed', (store: Store) => store.closeDevice(APP, device('d1'))],
    ['given to another account', (store: Store) => register(store, 'd1', { account: 'bob' })],
  ] as const)
    test(`what waits for a device that is ${how} is cancelled, in its streams and its topics`, () =>
      withStore(subject, {}, async ({ store, advance }) => {
        await subscribers(store, ['d1', 'd2']);
        const { generation } = opened(await store.openSession(anOpenSession('d1')));
        const { epoch } = appended((await appendAll(store, lane('d1'), ['a', 'b', 'c']))[0]);
        await appendAll(store, lane('d1', 'high'), ['d']);
        await appendAll(store, topic('t'), ['e', 'f']);
        await store.settle([anAck('d1', { epoch, offset: 1, generation })]);
        await leave(store);
        const after = { accepted: 8, acked: 1, cancelled: 5 };
        await assertLedger(store, after);
        await leave(store);
        await assertLedger(store, after);
        await advance(5);
        await register(store, 'd1', { account: 'bob' });
        await appendAll(store, lane('d1'), ['g']);
        await appendAll(store, topic('t'), ['h']);
        await assertLedger(store, { ...after, accepted: 10 });
      }));

  test('subscriptions that come and go while messages are appended leave no delivery uncounted', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = Array.from({ length: 12 }, (_, i) => `d${i}`);
      for (const name of names) await register(store, name);
      const hearT = (name: string) => store.subscribe(APP, device(name), [hear('t')]);
      const leaveT = (name: string) => store.unsubscribe(APP, device(name), [topicName('t')]);
      const all: Promise<unknown>[] = [];
      for (const [i, name] of names.entries()) {
        all.push(hearT(name), appendAll(store, topic('t'), [`${i}`]));
        if (i % 3 === 0) all.push(hearT(name).then(() => leaveT(name)));
        if (i % 4 === 0) all.push(store.closeDevice(APP, device(name)));
        if (i % 5 === 0) all.push(register(store, name, { account: 'bob' }));
      }
      await Promise.all(all);
      const { accepted, cancelled, ...others } = await store.ledger(APP);
      await assertLedger(store, { accepted, cancelled, ...others });
      const { count } = await store.topicSubscribers(APP, topicName('t'), { after: null, limit: 99 });
      await appendAll(store, topic('t'), ['last']);
      assert.equal((await store.ledger(APP)).accepted - accepted, count);
      for (const name of names) await leaveT(name);
      await assertLedger(store, { accepted: accepted + count, cancelled: accepted + count });
      assert.equal(await store.countWaiting(APP), 0);
    }));

  test('an epoch that a subscription never saw counts on: offsets go on through epochs', () =>
    withStore(subject, {}, async (under) => {
      await subscribers(under.store, ['d1']);
      const { epoch } = appended((await appendAll(under.store, topic('t'), ['a']))[0]);
      await move(under.store, 'd1', aMove('t', epoch, { offset: 1 }));
      let next: Epoch = epoch;
      if (under.checkpoint !== undefined && under.fallBack !== undefined) {
        await under.checkpoint();
        await under.fallBack();
      }
      next = appended((await appendAll(under.store, topic('t'), ['b', 'c']))[0]).epoch;
      await assertLedger(under.store, { accepted: 3, acked: 1 });
      await move(under.store, 'd1', aMove('t', next, { from: 1, offset: 3, filtered: 1 }));
      await assertLedger(under.store, { accepted: 3, acked: 2, filtered: 1 });
    }));
}
