// Contract of the store port: how deliveries end, cumulatively and one by one (R4), what is remembered of each, and attempts (R9).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  anAck,
  anAppend,
  anEnd,
  anId,
  anOpenSession,
  APP,
  appended,
  aRecordAppend,
  device,
  gateway,
  held,
  lane,
  opened,
  register,
  statesOf,
  withStore,
} from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { EndState, EntrySettle, Store } from './port.ts';
import type { Epoch, MessageId } from '../protocol/ids.ts';

export function endingsContract(subject: StoreSubject): void {
  entriesContract(subject);
  outcomesContract(subject);
  satisfiedContract(subject);
  attemptsContract(subject);
}

/** A registered device with a session, and messages a, b, c, … in its normal lane. */
async function aDevice(
  store: Store,
  texts: readonly string[],
): Promise<{ epoch: Epoch; generation: number; ids: MessageId[] }> {
  await register(store, 'd1');
  const { generation } = opened(await store.openSession(anOpenSession('d1')));
  const ids = texts.map(() => anId());
  const outcomes = await store.append(texts.map((text, i) => anAppend(lane('d1'), text, { id: ids[i]! })));
  return { epoch: appended(outcomes[0]).epoch, generation, ids };
}

function entriesContract(subject: StoreSubject): void {
  test('an entry ends wherever it stands, by its id or by its place; the entries around it stay and chain over the hole', () =>
    withStore(subject, {}, async ({ store }) => {
      const { epoch, ids } = await aDevice(store, ['a', 'b', 'c', 'd', 'e']);
      const outcomes = await store.settleEntries([
        anEnd('d1', { messageId: ids[1]! }, 'acked'),
        anEnd('d1', { epoch, offset: 4 }, 'filtered'),
        anEnd('d1', { epoch, offset: 5 }, 'cancelled'),
      ]);
      assert.deepEqual(
        outcomes,
        [2, 4, 5].map((offset) => ({ kind: 'settled', epoch, offset, satisfied: [] })),
      );
      const [read] = await store.read([{ stream: lane('d1'), after: { epoch, offset: 0 }, entriesMax: 9 }]);
      assert.deepEqual(
        read!.entries.map((entry) => [entry.offset, entry.prev]),
        [
          [1, 0],
          [3, 1],
        ],
      );
      assert.deepEqual([read!.head, read!.complete], [5, true]);
      const [next] = await store.append([anAppend(lane('d1'), 'f')]);
      assert.deepEqual([appended(next).offset, appended(next).prev], [6, 3]);
    }));

  test('the end of an entry that ended before changes nothing and says how it ended', () =>
    withStore(subject, {}, async ({ store }) => {
      const { epoch, generation, ids } = await aDevice(store, ['a', 'b']);
      await store.settle([anAck('d1', { epoch, offset: 1, generation })]);
      await store.settleEntries([anEnd('d1', { messageId: ids[1]! }, 'cancelled')]);
      assert.deepEqual(
        await store.settleEntries([
          anEnd('d1', { messageId: ids[0]! }, 'cancelled'),
          anEnd('d1', { epoch, offset: 1 }, 'dead'),
          anEnd('d1', { messageId: ids[1]! }, 'acked'),
          anEnd('d1', { epoch, offset: 2 }, 'acked'),
        ]),
        ['acked', 'acked', 'cancelled', 'cancelled'].map((state) => ({ kind: 'ended', state })),
      );
      assert.deepEqual(await statesOf(store, 'd1', ids), ['acked', 'cancelled']);
      assert.equal(await store.countDeadLetters(APP), 0);
    }));

  test('an entry that never was, of an unknown epoch, past the head or of an unknown device, is unknown', () =>
    withStore(subject, {}, async ({ store }) => {
      const { epoch, ids } = await aDevice(store, ['a']);
      const asked: EntrySettle[] = [
        anEnd('d1', { messageId: anId() }, 'acked'),
        anEnd('d1', { epoch: 'never' as Epoch, offset: 1 }, 'acked'),
        anEnd('d1', { epoch, offset: 2 }, 'acked'),
        anEnd('d1', { messageId: ids[0]! }, 'acked', { lane: 'high' }),
        anEnd('nobody', { messageId: ids[0]! }, 'acked'),
      ];
      assert.deepEqual(
        await store.settleEntries(asked),
        asked.map(() => ({ kind: 'unknown' })),
      );
      assert.deepEqual(await held(store, lane('d1')), ['a']);
    }));

  test('the end asked by an older session is stale; one that names no session, and the present one, count', () =>
    withStore(subject, {}, async ({ store }) => {
      const { generation: old, ids } = await aDevice(store, ['a', 'b']);
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      assert.deepEqual(
        (
          await store.settleEntries([
            anEnd('d1', { messageId: ids[0]! }, 'acked', { generation: old }),
            anEnd('d1', { messageId: ids[0]! }, 'acked', { generation: generation + 1 }),
            anEnd('nobody', { messageId: ids[0]! }, 'acked', { generation }),
            anEnd('d1', { messageId: ids[0]! }, 'acked', { generation }),
            anEnd('d1', { messageId: ids[1]! }, 'cancelled'),
          ])
        ).map(({ kind }) => kind),
        ['stale', 'stale', 'stale', 'settled', 'settled'],
      );
    }));

  test('single ends make room in a full stream', () =>
    withStore(subject, { deviceStreamEntriesMax: 2 }, async ({ store }) => {
      const { ids } = await aDevice(store, ['a', 'b']);
      assert.equal((await store.append([anAppend(lane('d1'), 'c')]))[0]!.kind, 'refused');
      await store.settleEntries([anEnd('d1', { messageId: ids[1]! }, 'acked')]);
      assert.equal(appended((await store.append([anAppend(lane('d1'), 'c')]))[0]).prev, 1);
    }));

  test('a cumulative ack passes over what ended before it', () =>
    withStore(subject, {}, async ({ store }) => {
      const { epoch, generation, ids } = await aDevice(store, ['a', 'b', 'c']);
      await store.settleEntries([anEnd('d1', { messageId: ids[1]! }, 'filtered')]);
      await store.settle([anAck('d1', { epoch, offset: 3, generation })]);
      assert.deepEqual(await statesOf(store, 'd1', ids), ['acked', 'filtered', 'acked']);
      const session = opened(await store.openSession(anOpenSession('d1')));
      assert.deepEqual([session.lanes[0]!.settled, session.lanes[0]!.held], [3, 0]);
    }));

  test('hundreds of ends of many devices go in one call, answered in the order asked', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = Array.from({ length: 20 }, (_, i) => `d${i}`);
      await Promise.all(names.map((name) => register(store, name)));
      const asked = names.flatMap((name) => Array.from({ length: 20 }, () => ({ name, id: anId() })));
      await store.append(asked.map(({ name, id }) => anAppend(lane(name), 'x', { id })));
      const outcomes = await store.settleEntries(asked.map(({ name, id }) => anEnd(name, { messageId: id }, 'acked')));
      assert.deepEqual(
        outcomes.map((outcome) => outcome.kind === 'settled' && outcome.offset),
        asked.map((_, i) => (i % 20) + 1),
      );
    }));
}

function outcomesContract(subject: StoreSubject): void {
  test('a stream tells what became of a message: how, when, where, and its place', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      const { epoch, generation, ids } = await aDevice(store, ['a', 'b', 'c', 'd', 'e']);
      const before = nowMs();
      await store.settle([anAck('d1', { epoch, offset: 1, generation, gateway: gateway('gw-7') })]);
      await store.settleEntries([
        anEnd('d1', { messageId: ids[1]! }, 'dead', { generation, gateway: gateway('gw-7'), reason: 'poison' }),
        anEnd('d1', { messageId: ids[2]! }, 'cancelled'),
        anEnd('d1', { messageId: ids[3]! }, 'satisfied'),
      ]);
      const asked = [...ids, anId()].map((messageId) => ({ device: device('d1'), lane: 'normal' as const, messageId }));
      const states = await store.deliveryStates(APP, asked);
      assert.deepEqual(
        states.map((row) => ('atMs' in row ? { ...row, atMs: row.atMs >= before && row.atMs <= nowMs() } : row)),
        [
          { state: 'acked', atMs: true, gateway: 'gw-7', epoch, offset: 1 },
          { state: 'dead', atMs: true, gateway: 'gw-7', epoch, offset: 2 },
          { state: 'cancelled', atMs: true, gateway: null, epoch, offset: 3 },
          { state: 'satisfied', atMs: true, gateway: null, epoch, offset: 4 },
          { state: 'waiting', epoch, offset: 5 },
          { state: 'unknown' },
        ],
      );
      assert.deepEqual(
        await store.deliveryStates(APP, [
          { device: device('d1'), lane: 'low', messageId: ids[0]! },
          { device: device('nobody'), lane: 'normal', messageId: ids[0]! },
        ]),
        [{ state: 'unknown' }, { state: 'unknown' }],
      );
    }));

  test('an entry that expired is remembered as expired, by the sweep and by a cumulative ack past it', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const ids = [anId(), anId(), anId()];
      const at = [0, nowMs() + 300, nowMs() + 300];
      const [first] = await store.append([
        anAppend(lane('d1'), 'a', { id: ids[0]!, expiresAtMs: at[0]! }),
        anAppend(lane('d1'), 'b', { id: ids[1]!, expiresAtMs: at[1]! }),
        anAppend(lane('d1', 'low'), 'c', { id: ids[2]!, expiresAtMs: at[2]! }),
      ]);
      await advance(350);
      await store.settle([anAck('d1', { epoch: appended(first).epoch, offset: 2, generation })]);
      assert.deepEqual(await statesOf(store, 'd1', ids), ['acked', 'expired', 'unknown']);
      assert.equal(await store.sweepExpired(100), 1);
      const [swept] = await store.deliveryStates(APP, [{ device: device('d1'), lane: 'low', messageId: ids[2]! }]);
      assert.equal(swept!.state, 'expired');
    }));

  test('what became of a message is known through the window and forgotten past twice it', () =>
    withStore(subject, { duplicateWindowMs: 600 }, async ({ store, advance }) => {
      const { ids } = await aDevice(store, ['a']);
      await store.settleEntries([anEnd('d1', { messageId: ids[0]! }, 'acked')]);
      await advance(50);
      assert.deepEqual(await statesOf(store, 'd1', ids), ['acked']);
      for (let i = 0; i < 2; i++) {
        await advance(650);
        await store.sweepExpired(100);
      }
      assert.deepEqual(await statesOf(store, 'd1', ids), ['unknown']);
    }));

  test('a message that waits is known however long it waits, and however many came after', () =>
    withStore(subject, { duplicateWindowMs: 300, duplicateWindowEntries: 4 }, async ({ store, advance }) => {
      const { ids } = await aDevice(store, ['a']);
      for (let i = 0; i < 3; i++) {
        await advance(320);
        await store.sweepExpired(100);
      }
      const more = Array.from({ length: 130 }, () => anId());
      await store.append(more.map((id) => anAppend(lane('d1'), 'x', { id })));
      await store.settleEntries(more.map((messageId) => anEnd('d1', { messageId }, 'acked')));
      assert.deepEqual(await statesOf(store, 'd1', ids), ['waiting']);
      assert.equal(appended((await store.append([anAppend(lane('d1'), 'a', { id: ids[0]! })]))[0]).duplicate, true);
      assert.equal((await store.settleEntries([anEnd('d1', { messageId: ids[0]! }, 'acked')]))[0]!.kind, 'settled');
    }));

  if (subject.hooks.includes('crash'))
    test('what became of a message survives a crash', () =>
      withStore(subject, {}, async (under) => {
        const { ids } = await aDevice(under.store, ['a', 'b']);
        await under.store.settleEntries([anEnd('d1', { messageId: ids[0]! }, 'acked')]);
        await under.crash!();
        assert.deepEqual(await statesOf(under.store, 'd1', ids), ['acked', 'waiting']);
      }));
}

function satisfiedContract(subject: StoreSubject): void {
  test('an ack tells the messages that it settles for the other devices of the account; other ends tell none', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const ids = Array.from({ length: 5 }, () => anId());
      const [first] = await store.append(
        ids.map((id, i) => aRecordAppend(lane('d1'), 'x', { id, satisfiedByAny: i !== 1 })),
      );
      const { epoch } = appended(first);
      assert.deepEqual(await store.settle([anAck('d1', { epoch, offset: 3, generation })]), [
        { counted: true, satisfied: [ids[0], ids[2]] },
      ]);
      assert.deepEqual(await store.settle([anAck('d1', { epoch, offset: 3, generation })]), [
        { counted: true, satisfied: [] },
      ]);
      const ends: [EndState, MessageId[]][] = [];
      for (const [i, state] of (['satisfied', 'acked'] as const).entries()) {
        const [outcome] = await store.settleEntries([anEnd('d1', { messageId: ids[3 + i]! }, state)]);
        ends.push([state, outcome?.kind === 'settled' ? [...outcome.satisfied] : []]);
      }
      assert.deepEqual(ends, [
        ['satisfied', []],
        ['acked', [ids[4]!]],
      ]);
    }));

  test('what expired settles nothing for others', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const [first] = await store.append([
        aRecordAppend(lane('d1'), 'x', { satisfiedByAny: true, expiresAtMs: nowMs() + 200 }),
      ]);
      await advance(250);
      const { epoch } = appended(first);
      assert.deepEqual(await store.settle([anAck('d1', { epoch, offset: 1, generation })]), [
        { counted: true, satisfied: [] },
      ]);
    }));
}

function attemptsContract(subject: StoreSubject): void {
  test('attempts of an entry come back with the next session, and go with the entry', () =>
    withStore(subject, {}, async ({ store }) => {
      const { epoch, generation } = await aDevice(store, ['a', 'b', 'c']);
      const save = (offset: number, attempts: number, from: number): Promise<void> =>
        store.saveAttempts([
          { app: APP, device: device('d1'), generation: from, stream: '@normal', epoch, offset, attempts },
        ]);
      const lanes = async () => opened(await store.openSession(anOpenSession('d1')));
      await save(1, 2, generation);
      await save(1, 4, generation);
      const second = await lanes();
      assert.deepEqual(second.lanes, [
        { lane: 'normal', epoch, head: 3, settled: 0, held: 3, attempts: 4, attemptsOffset: 1 },
      ]);
      await save(1, 9, generation);
      assert.equal((await lanes()).lanes[0]!.attempts, 4, 'an older session does not count');
      const third = await lanes();
      await store.settle([anAck('d1', { epoch, offset: 1, generation: third.generation })]);
      assert.deepEqual((await lanes()).lanes, [
        { lane: 'normal', epoch, head: 3, settled: 1, held: 2, attempts: 0, attemptsOffset: 0 },
      ]);
    }));

  test('attempts of an entry that is not held, of an unknown epoch or device, are nothing', () =>
    withStore(subject, {}, async ({ store }) => {
      const { epoch, generation, ids } = await aDevice(store, ['a', 'b']);
      await store.settleEntries([anEnd('d1', { messageId: ids[0]! }, 'acked')]);
      const save = { app: APP, device: device('d1'), generation, stream: '@normal' as const, epoch, attempts: 3 };
      await store.saveAttempts([
        { ...save, offset: 1 },
        { ...save, offset: 7 },
        { ...save, offset: 2, epoch: 'never' as Epoch },
        { ...save, offset: 2, device: device('nobody') },
        { ...save, offset: 2, stream: '@high' },
      ]);
      assert.deepEqual(opened(await store.openSession(anOpenSession('d1'))).lanes, [
        { lane: 'normal', epoch, head: 2, settled: 0, held: 1, attempts: 0, attemptsOffset: 0 },
      ]);
    }));
}
