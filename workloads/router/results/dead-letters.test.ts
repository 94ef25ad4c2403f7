import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { DeviceId, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { aManualClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import { aDoor, eventually, someDevices } from '../api/api-fixtures.ts';
import { LETTERS_MAX } from './dead-letters.ts';
import { SHOP, aDeadLetter, aDevice, aGateway, aRouter, aStore } from '../fixtures.ts';
import { JOB_LEASE_MS, JOB_POLL_MS } from '../push/jobs.ts';

const stream = (device: string) => ({ app: SHOP, kind: 'device', device: device as DeviceId, lane: 'normal' }) as const;

async function aPlace(t: TestContext, clock?: Clock) {
  const { store, failing, calls } = await aStore(t, clock);
  await aDevice(store, 'phone-1');
  const door = await aDoor(t, { store, ...(clock === undefined ? {} : { clock }) });
  const letters = async (query: object = {}) =>
    (await door.run('dead-letters', query)).body['letters'] as { id: string }[];
  return { store, failing, calls, letters, ...door };
}

describe('dead letters', () => {
  test('are listed by page, by device and by state, and shown with their bodies', async (t) => {
    const { store, run, letters } = await aPlace(t);
    await aDevice(store, 'tablet-1');
    const made = [
      await aDeadLetter(store, 'phone-1'),
      await aDeadLetter(store, 'phone-1'),
      await aDeadLetter(store, 'tablet-1'),
    ];
    assert.deepEqual((await letters()).map(({ id }) => id).toSorted(), made.map(({ id }) => id).toSorted());
    assert.deepEqual(
      (await letters({ device: 'tablet-1' })).map(({ id }) => id),
      [made[2]!.id],
    );
    await run('dead-letters-act', { action: 'hold', ids: [made[0]!.id] });
    assert.deepEqual(
      (await letters({ state: 'held' })).map(({ id }) => id),
      [made[0]!.id],
    );
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const { body } = await run('dead-letters', { limit: 1, ...(cursor === null ? {} : { cursor }) });
      seen.push(...(body['letters'] as { id: string }[]).map(({ id }) => id));
      cursor = body['next'] as string | null;
    } while (cursor !== null);
    assert.deepEqual(seen.toSorted(), made.map(({ id }) => id).toSorted());
    const { body } = await run('dead-letter', { id: made[0]!.id });
    assert.deepEqual(
      [
        body['body'],
        body['content'],
        body['reason'],
        body['attempts'],
        body['state'],
        body['account'],
        body['bodyGone'],
      ],
      ['poison', 'text', 'attempts', 5, 'held', 'ada', false],
    );
    const gone = await run('dead-letter', { id: 'nothing' });
    assert.deepEqual([gone.status, gone.body.error?.['code']], [404, 'dead-letter-unknown']);
  });

  test('sent again are new messages with the lifetime they had, told to the gateway, and the letters go', async (t) => {
    const { store } = await aStore(t);
    const device = await aDevice(store, 'phone-1');
    const gateway = await aGateway(t, store);
    await gateway.connect(device);
    const { ask, linked } = await aRouter(t, { store });
    await linked(1);
    const longAgoMs = Date.now() - 20 * 24 * 3_600_000;
    const letter = await aDeadLetter(store, device, { publishedAtMs: longAgoMs, expiresAtMs: longAgoMs + 60_000 });
    const { body } = await ask('/v1/dead-letters/actions', {
      method: 'POST',
      body: JSON.stringify({ action: 'redrive', ids: [letter.id, 'nothing'] }),
      headers: { 'content-type': 'application/json' },
    });
    const [one, other] = body['results'] as { outcome: string; messageId: MessageId }[];
    assert.deepEqual([body['done'], one!.outcome, other!.outcome], [1, 'done', 'unknown']);
    assert.notEqual(one!.messageId, letter.messageId);
    await gateway.heardCount(1);
    const told = decodeRecord(gateway.heard[0]!.record);
    const [read] = await store.read([{ stream: stream(device), after: null, entriesMax: 10 }]);
    const kept = decodeRecord(read!.entries[0]!.record);
    for (const record of [told, kept]) {
      assert.deepEqual([record.id, Buffer.from(record.body).toString()], [one!.messageId, 'poison']);
      assert.ok(Math.abs(record.expiresAtMs - Date.now() - 60_000) < 10_000);
    }
    assert.equal(await store.countDeadLetters(SHOP), 0);
    const message = await ask(`/v1/messages/${one!.messageId}`);
    assert.deepEqual(
      [message.body['target'], (message.body['deliveries'] as { waiting: number }).waiting],
      [{ device }, 1],
    );
    const { accepted, dead } = await store.ledger(SHOP);
    assert.deepEqual([accepted, dead], [2, 1]);
  });

  test('whose body is kept once with a list get it back when they are sent again; when it is gone they stay', async (t) => {
    const { store, run, letters } = await aPlace(t);
    const devices = await someDevices(store, 'd', 2);
    const text = 'x'.repeat(1000);
    const { body: list } = await run('push', { target: { devices }, text });
    await eventually(async () => (await run('message', { id: list['id'] })).body['state'] === 'expanded');
    await store.settleEntries(
      devices.map((device) => ({
        app: SHOP,
        device,
        lane: 'normal',
        entry: { messageId: list['id'] as MessageId },
        state: 'dead',
        generation: null,
        reason: 'attempts',
        attempts: 5,
      })),
    );
    const [first, second] = await letters();
    const shown = await run('dead-letter', { id: first!.id });
    assert.deepEqual([shown.body['body'], shown.body['bodyGone']], [text, false]);
    const { body } = await run('dead-letters-act', { action: 'redrive', ids: [first!.id] });
    const [{ messageId }] = body['results'] as [{ messageId: MessageId }];
    const [whole] = await store.bodies(SHOP, [messageId]);
    const record = decodeRecord(whole!);
    assert.deepEqual([record.id, Buffer.from(record.body).toString()], [messageId, text]);
    store.bodies = async (_, ids) => ids.map(() => null);
    const lost = await run('dead-letter', { id: second!.id });
    assert.deepEqual([lost.body['body'], lost.body['bodyGone']], [null, true]);
    const refused = await run('dead-letters-act', { action: 'redrive', ids: [second!.id] });
    assert.deepEqual(refused.body['results'], [{ id: second!.id, outcome: 'refused', reason: 'body-gone' }]);
    assert.equal((await letters()).length, 1);
  });

  test('are dropped, set aside and taken back; a full stream refuses what is sent again', async (t) => {
    const { store, run, letters } = await aPlace(t);
    const one = await aDeadLetter(store, 'phone-1');
    const states = async () => (await run('dead-letter', { id: one.id })).body['state'];
    const act = async (action: string) => (await run('dead-letters-act', { action, ids: [one.id] })).body['done'];
    assert.deepEqual([await act('hold'), await states()], [1, 'held']);
    assert.deepEqual([await act('release'), await states()], [1, 'dead']);
    const messages = Array.from({ length: LIMITS.deviceStreamEntriesMax }, () => ({
      target: { device: 'phone-1' },
      text: 'x',
    }));
    await run('push', { messages });
    const { body } = await run('dead-letters-act', { action: 'redrive', ids: [one.id] });
    assert.deepEqual(body['results'], [{ id: one.id, outcome: 'refused', reason: 'stream-full' }]);
    assert.deepEqual([await act('drop'), await letters()], [1, []]);
  });

  test('are acted on by at most 500 ids at once, and either by ids or all', async (t) => {
    const { run } = await aPlace(t);
    const ids = Array.from({ length: LETTERS_MAX + 1 }, (_, i) => `letter-${i}`);
    const { body } = await run('dead-letters-act', { action: 'drop', ids: ids.slice(1) });
    assert.deepEqual([body['done'], (body['results'] as unknown[]).length], [0, LETTERS_MAX]);
    for (const [input, field] of [
      [{ action: 'drop', ids }, 'ids'],
      [{ action: 'drop' }, 'ids'],
      [{ action: 'drop', ids: ['a'], all: true }, 'ids'],
      [{ action: 'eat', all: true }, 'action'],
      [{ action: 'drop', all: true, ratePerSecond: 0 }, 'ratePerSecond'],
      [{ action: 'drop', ids: ['a'], ratePerSecond: 5 }, 'ratePerSecond'],
    ] as const) {
      const refused = await run('dead-letters-act', input);
      assert.deepEqual([refused.status, refused.body.error?.['field']], [400, field]);
    }
  });
});

describe('an action over all dead letters', () => {
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 40; i++) await new Promise(setImmediate);
  };
  async function manyLetters(t: TestContext, count: number) {
    const clock = aManualClock(Date.now());
    const place = await aPlace(t, clock);
    for (const device of await someDevices(place.store, 'd', count)) await aDeadLetter(place.store, device);
    clock.advance(60_000); // those letters are older than what is begun now
    const progress = async (id: unknown) => (await place.run('dead-letters-action', { id })).body;
    /** Seconds of the clock, with room for jobs to run in each. */
    const seconds = async (n: number): Promise<void> => {
      for (let i = 0; i < n * 2; i++) {
        clock.advance(500);
        await turns();
      }
    };
    return { clock, progress, seconds, ...place };
  }

  test('goes at the pace that was asked, tells how far it is, and ends', async (t) => {
    const { store, run, progress, seconds } = await manyLetters(t, 25);
    const { status, body } = await run('dead-letters-act', { action: 'redrive', all: true, ratePerSecond: 5 });
    assert.deepEqual([status, body['state'], body['letters'], body['done']], [202, 'running', 25, 0]);
    await seconds(2);
    const done = (await progress(body['id']))['done'] as number;
    assert.ok(done >= 5 && done <= 15, `${done} after two seconds`);
    await seconds(20);
    const { state, done: all } = await progress(body['id']);
    assert.deepEqual([state, all, await store.countDeadLetters(SHOP)], ['done', 25, 0]);
    assert.equal((await store.heads([stream('d-7')]))[0]!.head, 2);
  });

  test('is resumed by another router when the one at it died', async (t) => {
    const { clock, store, failing, run, progress, seconds } = await manyLetters(t, 25);
    const { body } = await run('dead-letters-act', { action: 'drop', all: true, ratePerSecond: 5 });
    failing.set('delayJob', 'before'); // it cannot even put the job back
    await seconds(2);
    failing.clear();
    clock.advance(JOB_LEASE_MS + JOB_POLL_MS);
    await seconds(20);
    const { state, done } = await progress(body['id']);
    assert.deepEqual([state, done, await store.countDeadLetters(SHOP)], ['done', 25, 0]);
  });

  test('can be stopped; a message it is not', async (t) => {
    const { store, run, progress, seconds } = await manyLetters(t, 25);
    const { body } = await run('dead-letters-act', { action: 'drop', all: true, ratePerSecond: 5 });
    await seconds(1);
    assert.equal((await run('dead-letters-stop', { id: body['id'] })).body['state'], 'stopped');
    await seconds(20);
    assert.ok((await store.countDeadLetters(SHOP)) >= 10);
    assert.equal((await progress(body['id']))['state'], 'stopped');
    assert.equal((await run('dead-letters-stop', { id: body['id'] })).body.error?.['code'], 'not-cancellable');
    assert.equal((await run('message', { id: body['id'] })).body.error?.['code'], 'message-unknown');
    assert.equal((await run('cancel', { id: body['id'] })).body.error?.['code'], 'message-unknown');
  });

  test('leaves those that die after it began, so that poison does not go round and round', async (t) => {
    const { clock, store, run, progress, seconds } = await manyLetters(t, 3);
    const { body } = await run('dead-letters-act', { action: 'redrive', all: true, ratePerSecond: 1 });
    await seconds(1);
    clock.advance(1000);
    await aDeadLetter(store, 'phone-1');
    await seconds(20);
    assert.deepEqual([(await progress(body['id']))['state'], await store.countDeadLetters(SHOP)], ['done', 1]);
  });
});
