// Contract of the store port: what appends may ask beside their record: to be dead-lettered where the stream is full (R6), and to take
// the place of an older entry of the same key; and topic entries that become tombstones.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  anAppend,
  anEnd,
  anId,
  APP,
  appendAll,
  appended,
  aRecordAppend,
  device,
  held,
  lane,
  register,
  statesOf,
  topic,
  topicName,
  withStore,
} from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import { decodeRecord } from '../protocol/record.ts';

export function overflowContract(subject: StoreSubject): void {
  fullContract(subject);
  collapseContract(subject);
  tombstonesContract(subject);
}

function fullContract(subject: StoreSubject): void {
  test('a full stream accepts and dead-letters what asks for it, at its limit of entries and past it', () =>
    withStore(subject, { deviceStreamEntriesMax: 2 }, async ({ store }) => {
      await register(store, 'd1');
      const ids = [anId(), anId(), anId()];
      const appends = ids.map((id, i) => anAppend(lane('d1'), `${i}`, { id, overflow: 'dead-letter' }));
      const outcomes = await store.append(appends);
      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        ['appended', 'appended', 'dead'],
      );
      assert.deepEqual(outcomes[2], { kind: 'dead', reason: 'stream-full' });
      assert.deepEqual(
        await store.append([appends[2]!]),
        [{ kind: 'dead', reason: 'stream-full' }],
        'repeated: the same',
      );
      assert.deepEqual(await held(store, lane('d1')), ['0', '1']);
      assert.deepEqual(await statesOf(store, 'd1', ids), ['waiting', 'waiting', 'dead']);
      const { letters } = await store.deadLetters(APP, { cursor: null, limit: 9 });
      assert.deepEqual(
        letters.map((row) => [row.device, row.account, row.stream, row.messageId, row.reason, row.state]),
        [['d1', 'ann', '@normal', ids[2], 'stream-full', 'dead']],
      );
      assert.equal(Buffer.from(letters[0]!.record).toString(), '2');
    }));

  test('a full stream accepts and dead-letters at its limit of bytes, and goes on in order when there is room', () =>
    withStore(subject, { deviceStreamBytesMax: 10 }, async ({ store }) => {
      await register(store, 'd1');
      const first = anId();
      const outcomes = await store.append([
        anAppend(lane('d1'), 'too long for it', { overflow: 'dead-letter' }),
        anAppend(lane('d1'), '1234567890', { id: first, overflow: 'dead-letter' }),
        anAppend(lane('d1'), 'x', { overflow: 'dead-letter' }),
        anAppend(lane('d1'), 'y'),
      ]);
      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        ['dead', 'appended', 'dead', 'refused'],
      );
      await store.settleEntries([anEnd('d1', { messageId: first }, 'acked')]);
      const [after] = await store.append([anAppend(lane('d1'), 'z')]);
      assert.ok(appended(after).offset > appended(outcomes[1]).offset);
      assert.deepEqual(await held(store, lane('d1')), ['z']);
      assert.equal(await store.countDeadLetters(APP), 2);
    }));

  test('expired entries make room before anything is dead-lettered', () =>
    withStore(subject, { deviceStreamEntriesMax: 1 }, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const old = anId();
      await store.append([anAppend(lane('d1'), 'old', { id: old, expiresAtMs: nowMs() + 200 })]);
      await advance(250);
      appended((await store.append([anAppend(lane('d1'), 'new', { overflow: 'dead-letter' })]))[0]);
      assert.deepEqual(await statesOf(store, 'd1', [old]), ['expired']);
    }));

  test('an unknown device has no dead letters', () =>
    withStore(subject, {}, async ({ store }) => {
      assert.deepEqual(await store.append([anAppend(lane('nobody'), 'x', { overflow: 'dead-letter' })]), [
        { kind: 'refused', reason: 'device-unknown' },
      ]);
      assert.equal(await store.countDeadLetters(APP), 0);
    }));
}

function collapseContract(subject: StoreSubject): void {
  test('an append cancels the unsettled entry of its key in its stream, and no other', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      await register(store, 'd2');
      const ids = Array.from({ length: 6 }, () => anId());
      const [, b, , , , f] = await store.append([
        anAppend(lane('d1'), 'a', { id: ids[0]!, collapseKey: 'price' }),
        anAppend(lane('d1'), 'b', { id: ids[1]!, collapseKey: 'Price' }),
        anAppend(lane('d1'), 'c', { id: ids[2]! }),
        anAppend(lane('d1', 'high'), 'd', { id: ids[3]!, collapseKey: 'price' }),
        anAppend(lane('d2'), 'e', { id: ids[4]!, collapseKey: 'price' }),
        anAppend(lane('d1'), 'f', { id: ids[5]!, collapseKey: 'price' }),
      ]);
      assert.deepEqual([appended(b).prev, appended(f).prev], [1, 3]);
      assert.deepEqual(await held(store, lane('d1')), ['b', 'c', 'f']);
      assert.deepEqual(await held(store, lane('d1', 'high')), ['d']);
      assert.deepEqual(await held(store, lane('d2')), ['e']);
      assert.deepEqual(await statesOf(store, 'd1', [ids[0]!, ids[1]!, ids[2]!, ids[5]!]), [
        'cancelled',
        'waiting',
        'waiting',
        'waiting',
      ]);
    }));

  test('a settled entry of the key is not cancelled, a repeated append cancels nothing', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const [first, second] = [anId(), anId()];
      await store.append([anAppend(lane('d1'), 'a', { id: first, collapseKey: 'k' })]);
      await store.settleEntries([anEnd('d1', { messageId: first }, 'acked')]);
      const append = anAppend(lane('d1'), 'b', { id: second, collapseKey: 'k' });
      await store.append([append, append]);
      assert.deepEqual(await statesOf(store, 'd1', [first, second]), ['acked', 'waiting']);
      await store.append([anAppend(lane('d1'), 'a', { id: first, collapseKey: 'k' })]);
      assert.deepEqual(await statesOf(store, 'd1', [first, second]), ['acked', 'waiting']);
    }));

  test('what it takes the place of makes room in a full stream; refused, it takes nothing', () =>
    withStore(subject, { deviceStreamEntriesMax: 2, deviceStreamBytesMax: 10 }, async ({ store }) => {
      await register(store, 'd1');
      await store.append([anAppend(lane('d1'), '12345', { collapseKey: 'k' }), anAppend(lane('d1'), '12345')]);
      const [taken, large] = await store.append([
        anAppend(lane('d1'), 'abcde', { collapseKey: 'k' }),
        anAppend(lane('d1'), 'abcdef', { collapseKey: 'k' }),
      ]);
      assert.deepEqual([taken!.kind, large!.kind], ['appended', 'refused']);
      assert.deepEqual(await held(store, lane('d1')), ['12345', 'abcde']);
    }));

  test('a key has 1 to 128 characters, any of them', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      for (const collapseKey of ['k', '=', 'm', 'a b/{c}', 'ä'.repeat(128)]) {
        for (const stream of [lane('d1'), topic('t')]) {
          await store.append([anAppend(stream, 'old', { collapseKey }), anAppend(stream, 'new', { collapseKey })]);
        }
      }
      assert.deepEqual(await held(store, lane('d1')), Array(5).fill('new'));
      for (const collapseKey of ['', 'x'.repeat(129)])
        await assert.rejects(store.append([anAppend(lane('d1'), 'x', { collapseKey })]), RangeError);
    }));

  test('in a topic the older entry of the key becomes a tombstone in its place', () =>
    withStore(subject, {}, async ({ store }) => {
      const append = (text: string) => ({ ...aRecordAppend(topic('t'), text, { collapses: true }), collapseKey: 'k' });
      const outcomes = await store.append([append('a'), aRecordAppend(topic('t'), 'b'), append('c')]);
      assert.deepEqual(
        outcomes.map((outcome) => appended(outcome).prev),
        [0, 1, 2],
      );
      const [read] = await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]);
      assert.deepEqual(
        read!.entries.map(({ record }) => decodeRecord(record)).map((row) => [row.tombstone, row.body.length]),
        [
          [true, 0],
          [false, 1],
          [false, 1],
        ],
      );
    }));
}

function tombstonesContract(subject: StoreSubject): void {
  test('a cancelled topic entry keeps its place, id and expiry, and nothing of what it said', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      const [id, other] = [anId(), anId()];
      const expiresAtMs = nowMs() + 60_000;
      await store.append([
        aRecordAppend(topic('t'), 'secret', { id, expiresAtMs, level: 3 }),
        aRecordAppend(topic('t'), 'kept', { id: other }),
      ]);
      assert.equal(await store.cancelTopicEntry(APP, topicName('t'), id), true);
      assert.equal(await store.cancelTopicEntry(APP, topicName('t'), id), true, 'again: it is one');
      const [read] = await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]);
      assert.deepEqual(
        read!.entries.map(({ offset, prev }) => [offset, prev]),
        [
          [1, 0],
          [2, 1],
        ],
      );
      const [stone, kept] = read!.entries.map(({ record }) => decodeRecord(record));
      assert.deepEqual(
        [stone!.tombstone, stone!.id, stone!.expiresAtMs, stone!.body.length, stone!.attributes.length],
        [true, id, expiresAtMs, 0, 0],
      );
      assert.deepEqual([kept!.tombstone, kept!.id, Buffer.from(kept!.body).toString()], [false, other, 'kept']);
      assert.ok(!Buffer.from(read!.entries[0]!.record).includes('secret'));
    }));

  test('what the topic does not hold, or no longer, cannot be cancelled', () =>
    withStore(subject, { topicStreamEntriesMax: 2 }, async ({ store }) => {
      const id = anId();
      assert.equal(await store.cancelTopicEntry(APP, topicName('t'), id), false);
      await store.append([anAppend(topic('t'), 'a', { id })]);
      assert.equal(await store.cancelTopicEntry(APP, topicName('other'), id), false);
      assert.equal(await store.cancelTopicEntry(APP, topicName('t'), anId()), false);
      await appendAll(store, topic('t'), ['b', 'c']);
      assert.equal(await store.cancelTopicEntry(APP, topicName('t'), id), false);
    }));

  test('a repeated append of a cancelled topic message stays cancelled', () =>
    withStore(subject, {}, async ({ store }) => {
      const append = aRecordAppend(topic('t'), 'x');
      await store.append([append]);
      await store.cancelTopicEntry(APP, topicName('t'), append.messageId);
      assert.equal(appended((await store.append([append]))[0]).duplicate, true);
      const [read] = await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]);
      assert.deepEqual(
        read!.entries.map(({ record }) => decodeRecord(record).tombstone),
        [true],
      );
    }));

  test('a device closed and registered again has forgotten what became of its messages', () =>
    withStore(subject, {}, async ({ store, advance }) => {
      await register(store, 'd1');
      const id = anId();
      await store.append([anAppend(lane('d1'), 'x', { id })]);
      await store.closeDevice(APP, device('d1'));
      assert.deepEqual(await statesOf(store, 'd1', [id]), ['unknown']);
      await advance(5);
      await register(store, 'd1');
      assert.deepEqual(await statesOf(store, 'd1', [id]), ['unknown']);
    }));
}
