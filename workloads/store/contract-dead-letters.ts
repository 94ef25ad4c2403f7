// Contract of the store port: dead letters (R9): kept once for each delivery, listed, taken up again, dropped, set aside, bounded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  anAppend,
  anEnd,
  anId,
  anOpenSession,
  account,
  APP,
  appendAll,
  appended,
  aRecord,
  aRecordAppend,
  device,
  held,
  lane,
  opened,
  register,
  statesOf,
  topicName,
  withStore,
} from './contract-subject.ts';
import { assertLedger } from './contract-ledger.ts';
import { aMessage } from './contract-messages.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { DeadLetter, DeadLetterAction, DeadLetterOutcome, Store } from './port.ts';
import type { AppId, Epoch, MessageId } from '../protocol/ids.ts';
import { decodeRecord } from '../protocol/record.ts';

export function deadLettersContract(subject: StoreSubject): void {
  keptContract(subject);
  redriveContract(subject);
  setAsideContract(subject);
  boundsContract(subject);
}

/** Messages that died in the normal lane of a device. */
async function someDead(store: Store, name: string, texts: readonly string[]): Promise<MessageId[]> {
  const ids = texts.map(() => anId());
  await store.append(texts.map((text, i) => aRecordAppend(lane(name), text, { id: ids[i]! })));
  await store.settleEntries(
    ids.map((messageId, i) => anEnd(name, { messageId }, 'dead', { reason: `why ${texts[i]}`, attempts: 5 })),
  );
  return ids;
}
async function all(store: Store, more: { state?: DeadLetter['state']; device?: string } = {}): Promise<DeadLetter[]> {
  const { state, device: name } = more;
  const found: DeadLetter[] = [];
  for (let cursor: string | null = null; ;) {
    const page: { letters: readonly DeadLetter[]; next: string | null } = await store.deadLetters(APP, {
      cursor,
      limit: 2,
      ...(state === undefined ? {} : { state }),
      ...(name === undefined ? {} : { device: device(name) }),
    });
    assert.ok(page.letters.length <= 2);
    found.push(...page.letters);
    if (page.next === null) return found;
    cursor = page.next;
  }
}
function redrive(messageId = anId(), expiresAtMs = 0): DeadLetterAction {
  return { kind: 'redrive', messageId, expiresAtMs };
}
function isDone(outcome: DeadLetterOutcome | undefined): Extract<DeadLetterOutcome, { kind: 'done' }> {
  if (outcome?.kind !== 'done') throw new Error(`expected done, got ${JSON.stringify(outcome)}`);
  return outcome;
}
const bodyOf = (record: Uint8Array): string => Buffer.from(decodeRecord(record).body).toString();

function keptContract(subject: StoreSubject): void {
  test('an entry that dies is kept whole, with why, how often, when and whose', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      await register(store, 'd1');
      const before = nowMs();
      const [id] = await someDead(store, 'd1', ['a']);
      const [letter] = await all(store);
      const [state] = await store.deliveryStates(APP, [{ device: device('d1'), lane: 'normal', messageId: id! }]);
      assert.equal(state!.state, 'dead');
      assert.ok(letter!.atMs >= before && letter!.atMs <= nowMs());
      assert.match(letter!.id, /^[\w.~:@,=-]{1,512}$/);
      const { record, ...rest } = letter!;
      assert.deepEqual(rest, {
        id: letter!.id,
        app: APP,
        device: 'd1',
        account: 'ann',
        stream: '@normal',
        messageId: id,
        epoch: state!.state === 'dead' && state!.epoch,
        offset: 1,
        reason: 'why a',
        attempts: 5,
        atMs: letter!.atMs,
        state: 'dead',
      });
      assert.equal(bodyOf(record), 'a');
      assert.deepEqual(await store.deadLetter(APP, letter!.id), letter);
      assert.equal(await store.deadLetter('other' as AppId, letter!.id), null);
      for (const none of ['', 'x', '%', `${letter!.id}x`]) assert.equal(await store.deadLetter(APP, none), null);
    }));

  test('a delivery of a topic is kept once however often it is put', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const letter = {
        app: APP,
        device: device('d1'),
        account: account('ann'),
        stream: topicName('news/today'),
        messageId: anId(),
        epoch: 'e1' as Epoch,
        offset: 7,
        reason: 'poison',
        attempts: 3,
        state: 'dead',
        record: aRecord('x'),
      } as const;
      await store.putDeadLetters([letter, letter]);
      await store.putDeadLetters([
        { ...letter, reason: 'again' },
        { ...letter, offset: 8, state: 'held' },
      ]);
      const letters = (await all(store)).toSorted((a, b) => a.offset - b.offset);
      assert.deepEqual(
        letters.map(({ stream, offset, reason, state }) => [stream, offset, reason, state]),
        [
          ['news/today', 7, 'poison', 'dead'],
          ['news/today', 8, 'poison', 'held'],
        ],
      );
      assert.equal(new Set(letters.map(({ id }) => id)).size, 2);
      await assertLedger(store, {});
    }));

  test('letters are listed page by page, each once, of all devices, of one, or by state', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = ['d1', 'd2', 'd3'];
      for (const name of names) {
        await register(store, name);
        await someDead(store, name, ['a', 'b', 'c']);
      }
      const listed = (letters: readonly DeadLetter[]): string[] =>
        letters.map((row) => `${row.device} ${bodyOf(row.record)}`).toSorted();
      const whole = names.flatMap((name) => ['a', 'b', 'c'].map((text) => `${name} ${text}`));
      assert.deepEqual(listed(await all(store)), whole);
      assert.deepEqual(listed(await all(store, { device: 'd2' })), whole.slice(3, 6));
      const held = (await all(store, { device: 'd2' }))[0]!;
      await store.changeDeadLetters(APP, [{ id: held.id, action: { kind: 'hold' } }]);
      assert.deepEqual(
        (await all(store, { state: 'held' })).map(({ id }) => id),
        [held.id],
      );
      assert.equal((await all(store, { state: 'dead' })).length, 8);
      assert.deepEqual([await store.countDeadLetters(APP), await store.countDeadLetters('other' as AppId)], [9, 0]);
      assert.deepEqual(await all(store, { device: 'nobody' }), []);
      // Cursors come from whoever asks: one that is none of ours begins anew.
      for (const cursor of ['nonsense', '-1', '1e999', '0x1', 'NaN', Buffer.from('0 0 other').toString('base64')]) {
        assert.equal((await store.deadLetters(APP, { cursor, limit: 500 })).letters.length, 9, cursor);
        assert.deepEqual((await store.deadLetters('other' as AppId, { cursor, limit: 500 })).letters, [], cursor);
      }
    }));
}

function redriveContract(subject: StoreSubject): void {
  test('a letter that is re-driven is a new delivery with the id and expiry given, in its lane; the letter goes', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      await register(store, 'd1');
      const [old] = await someDead(store, 'd1', ['a']);
      await appendAll(store, lane('d1'), ['b']);
      const [letter] = await all(store);
      const [id, expiresAtMs] = [anId(), nowMs() + 60_000];
      const [outcome] = await store.changeDeadLetters(APP, [{ id: letter!.id, action: redrive(id, expiresAtMs) }]);
      const done = isDone(outcome);
      assert.equal(done.device, 'd1');
      const { lane: inLane, ...appendedAs } = done.appended!;
      assert.deepEqual([inLane, appended(appendedAs).offset, appended(appendedAs).prev], ['normal', 3, 2]);
      const record = decodeRecord(done.record!);
      assert.deepEqual([record.id, record.expiresAtMs, bodyOf(done.record!)], [id, expiresAtMs, 'a']);
      const [read] = await store.read([{ stream: lane('d1'), after: null, entriesMax: 9 }]);
      assert.deepEqual(
        read!.entries.map((entry) => Buffer.from(entry.record).equals(done.record!)),
        [false, true],
      );
      assert.deepEqual(await statesOf(store, 'd1', [old!, id]), ['dead', 'waiting']);
      assert.deepEqual(await all(store), []);
      await assertLedger(store, { accepted: 3, dead: 1 });
      assert.deepEqual(await store.changeDeadLetters(APP, [{ id: letter!.id, action: redrive() }]), [
        { kind: 'unknown' },
      ]);
    }));

  test('a re-driven delivery of a topic goes to its device, in the normal lane', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const [device1, ann] = [device('d1'), account('ann')];
      const place = { app: APP, device: device1, account: ann, stream: topicName('t'), epoch: 'e' as Epoch, offset: 1 };
      const what = { messageId: anId(), reason: '', attempts: 1, state: 'dead', record: aRecord('x') } as const;
      await store.putDeadLetters([{ ...place, ...what }]);
      const [letter] = await all(store);
      const id = anId();
      const [outcome] = await store.changeDeadLetters(APP, [{ id: letter!.id, action: redrive(id) }]);
      assert.equal(isDone(outcome).appended!.lane, 'normal');
      assert.deepEqual(await statesOf(store, 'd1', [id]), ['waiting']);
    }));

  test('a re-driven delivery carries its body where the stream kept it elsewhere', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const id = anId();
      await store.putMessages([aMessage(id, { record: aRecord('whole', { id }) })], []);
      await store.append([aRecordAppend(lane('d1'), '', { id, bodyElsewhere: true })]);
      await store.settleEntries([anEnd('d1', { messageId: id }, 'dead')]);
      const [letter] = await all(store);
      await store.changeDeadLetters(APP, [{ id: letter!.id, action: redrive() }]);
      const [read] = await store.read([{ stream: lane('d1'), after: null, entriesMax: 9 }]);
      const record = decodeRecord(read!.entries[0]!.record);
      assert.deepEqual([Buffer.from(record.body).toString(), record.bodyElsewhere], ['whole', false]);
    }));

  test('a redrive of a delivery whose body is not kept any more is refused by that name, and the letter stays for whoever drops it', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const id = anId();
      await store.append([aRecordAppend(lane('d1'), '', { id, bodyElsewhere: true })]);
      await store.settleEntries([anEnd('d1', { messageId: id }, 'dead')]);
      const [letter] = await all(store);
      const change = async (action: DeadLetterAction): Promise<unknown> =>
        (await store.changeDeadLetters(APP, [{ id: letter!.id, action }]))[0];
      assert.deepEqual(await change(redrive()), { kind: 'refused', reason: 'body-gone' });
      assert.deepEqual([await store.countDeadLetters(APP), await held(store, lane('d1'))], [1, []]);
      assert.equal((await store.ledger(APP)).accepted, 1);
      assert.deepEqual(await change({ kind: 'drop' }), { kind: 'done', device: 'd1', appended: null, record: null });
      assert.equal(await store.countDeadLetters(APP), 0);
    }));

  test('a redrive to a full stream or to a device that is gone is refused and the letter stays', () =>
    withStore(subject, { deviceStreamEntriesMax: 1 }, async ({ store, advance }) => {
      for (const name of ['d1', 'd2', 'd3']) {
        await register(store, name);
        await someDead(store, name, [name]);
      }
      await appendAll(store, lane('d1'), ['full']);
      await store.closeDevice(APP, device('d2'));
      await register(store, 'd3', { account: 'bob' });
      const letters = (await all(store)).toSorted((a, b) => (a.device < b.device ? -1 : 1));
      const changes = letters.map(({ id }) => ({ id, action: redrive() }));
      assert.deepEqual(await store.changeDeadLetters(APP, changes), [
        { kind: 'refused', reason: 'stream-full' },
        { kind: 'refused', reason: 'device-unknown' },
        { kind: 'refused', reason: 'device-unknown' },
      ]);
      assert.equal(await store.countDeadLetters(APP), 3);
      assert.deepEqual(await held(store, lane('d3')), [], 'another account reads nothing of the one before');
      await advance(5);
      await register(store, 'd2');
      const [again] = await store.changeDeadLetters(APP, [changes[1]!]);
      assert.equal(again!.kind, 'done');
    }));
}

function setAsideContract(subject: StoreSubject): void {
  test('a letter is dropped, set aside for a person and given back; what is not there is unknown', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      await someDead(store, 'd1', ['a', 'b']);
      const [a, b] = await all(store);
      const change = async (id: string, kind: 'drop' | 'hold' | 'release'): Promise<unknown> =>
        (await store.changeDeadLetters(APP, [{ id, action: { kind } }]))[0];
      const done = { kind: 'done', device: 'd1', appended: null, record: null };
      assert.deepEqual(await change(a!.id, 'hold'), done);
      assert.deepEqual(await store.deadLetter(APP, a!.id), { ...a, state: 'held' });
      assert.deepEqual(await change(a!.id, 'hold'), done);
      assert.deepEqual(await change(a!.id, 'release'), done);
      assert.deepEqual(await store.deadLetter(APP, a!.id), a);
      assert.deepEqual(await change(b!.id, 'drop'), done);
      assert.deepEqual(await change(b!.id, 'drop'), { kind: 'unknown' });
      assert.deepEqual(await change('no such', 'hold'), { kind: 'unknown' });
      assert.equal(await store.countDeadLetters(APP), 1);
      await assertLedger(store, { accepted: 2, dead: 2 });
    }));

  test('an entry may die set aside at once, and a letter set aside can be re-driven', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const id = anId();
      await store.append([anAppend(lane('d1'), 'x', { id })]);
      await store.settleEntries([anEnd('d1', { messageId: id }, 'dead', { held: true })]);
      const [letter] = await all(store, { state: 'held' });
      assert.deepEqual([letter!.messageId, letter!.reason, letter!.attempts], [id, '', 0]);
      const [outcome] = await store.changeDeadLetters(APP, [{ id: letter!.id, action: redrive() }]);
      assert.equal(outcome!.kind, 'done');
      assert.deepEqual(await held(store, lane('d1')), ['x']);
    }));

  test('many letters change in one call, answered in the order asked, each by itself', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = Array.from({ length: 8 }, (_, i) => `d${i}`);
      for (const name of names) {
        await register(store, name);
        await someDead(store, name, ['a', 'b']);
      }
      const letters = await all(store);
      const changes = letters.map(({ id }, i) => ({
        id,
        action: i % 2 === 0 ? redrive() : ({ kind: 'drop' } as const),
      }));
      const outcomes = await store.changeDeadLetters(APP, changes);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.kind === 'done' && [outcome.device, outcome.appended !== null]),
        letters.map((letter, i) => [letter.device, i % 2 === 0]),
      );
      assert.equal(await store.countDeadLetters(APP), 0);
    }));
}

function boundsContract(subject: StoreSubject): void {
  test('a reason has at most 200 characters', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const id = anId();
      await store.append([anAppend(lane('d1'), 'x', { id })]);
      const end = (reason: string) => store.settleEntries([anEnd('d1', { messageId: id }, 'dead', { reason })]);
      await assert.rejects(end('x'.repeat(201)), RangeError);
      assert.deepEqual(await held(store, lane('d1')), ['x']);
      await end('ä'.repeat(200));
      assert.equal((await all(store))[0]!.reason, 'ä'.repeat(200));
    }));

  test('letters are bounded: at the limit all are there, past it the oldest goes', () =>
    withStore(subject, { deadLettersMax: 3 }, async ({ store, advance }) => {
      await register(store, 'd1');
      for (const text of ['a', 'b', 'c']) {
        await someDead(store, 'd1', [text]);
        await advance(3);
      }
      const texts = async (): Promise<string[]> => (await all(store)).map((row) => bodyOf(row.record)).toSorted();
      assert.deepEqual(await texts(), ['a', 'b', 'c']);
      await someDead(store, 'd1', ['d']);
      assert.deepEqual(await texts(), ['b', 'c', 'd']);
      assert.equal(await store.countDeadLetters(APP), 3);
      await assertLedger(store, { accepted: 4, dead: 4 });
    }));

  test('letters are kept for their time and go in a sweep', () =>
    withStore(subject, { deadLetterKeptMs: 2500 }, async ({ store, advance }) => {
      await register(store, 'd1');
      await someDead(store, 'd1', ['a']);
      await advance(1300);
      await someDead(store, 'd1', ['b']);
      await store.sweepExpired(100);
      assert.equal(await store.countDeadLetters(APP), 2);
      await advance(1300);
      await store.sweepExpired(100);
      assert.deepEqual(
        (await all(store)).map((row) => bodyOf(row.record)),
        ['b'],
      );
    }));

  test('letters of a device that was closed stay', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      opened(await store.openSession(anOpenSession('d1')));
      await someDead(store, 'd1', ['a']);
      await store.closeDevice(APP, device('d1'));
      assert.equal((await all(store)).length, 1);
    }));
}
