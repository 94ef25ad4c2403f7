import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { DeviceId, MessageId, TopicName } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { aManualClock } from '../../runtime/clock.ts';
import type { StreamRef } from '../../store/port.ts';
import { aDoor, eventually, someDevices } from '../api/api-fixtures.ts';
import { SHOP, aDevice, aStore, anApp } from '../fixtures.ts';
import { JOB_POLL_MS } from './jobs.ts';
import { SCHEDULE_MS_MAX } from '../api/schemas/message.ts';

const HOUR = 3_600_000;
const stream = (device: string): StreamRef => ({
  app: SHOP,
  kind: 'device',
  device: device as DeviceId,
  lane: 'normal',
});

async function aPlace(t: TestContext) {
  const clock = aManualClock();
  const { store, failing } = await aStore(t, clock);
  await aDevice(store, 'phone-1');
  const door = await aDoor(t, { store, clock });
  const head = async (of: StreamRef) => (await store.heads([of]))[0]!.head;
  /** Moves the clock past the next polls of the jobs. */
  const pass = async (ms: number) => {
    for (const step of [ms, 2 * JOB_POLL_MS]) {
      clock.advance(step);
      for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    }
  };
  return { clock, store, failing, head, pass, ...door };
}

describe('a scheduled message', () => {
  test('gets its offset when it is due, after what came before; its age counts from then', async (t) => {
    const { clock, store, run, head, pass } = await aPlace(t);
    const acceptedMs = clock.nowMs();
    const { status, body } = await run('push', {
      target: { device: 'phone-1' },
      text: 'late',
      delayMs: HOUR,
      ttlMs: 5000,
    });
    assert.deepEqual(
      [status, body['state'], body['dueAt']],
      [202, 'scheduled', new Date(acceptedMs + HOUR).toISOString()],
    );
    await run('push', { target: { device: 'phone-1' }, text: 'now' });
    await pass(HOUR - 5000);
    assert.equal(await head(stream('phone-1')), 1);
    const before = await run('message', { id: body['id'] });
    assert.deepEqual(
      [before.body['state'], (before.body['deliveries'] as { pending: number }).pending],
      ['scheduled', 1],
    );
    await pass(5000);
    const [read] = await store.read([{ stream: stream('phone-1'), after: null, entriesMax: 10 }]);
    const records = read!.entries.map(({ record }) => decodeRecord(record));
    assert.deepEqual(
      records.map((record) => Buffer.from(record.body).toString()),
      ['now', 'late'],
    );
    assert.deepEqual(
      [records[1]!.publishedAtMs, records[1]!.expiresAtMs],
      [acceptedMs + HOUR, acceptedMs + HOUR + 5000],
    );
    assert.equal((await run('message', { id: body['id'] })).body['state'], 'accepted');
  });

  test('for an account, a topic and a list is sent when due as well', async (t) => {
    const { run, head, pass, store } = await aPlace(t);
    const devices = await someDevices(store, 'd', 3);
    for (const target of [{ account: 'ada' }, { topic: 'news' }, { devices }])
      assert.equal((await run('push', { target, text: 'x', delayMs: HOUR })).body['state'], 'scheduled');
    const streams = [
      stream('phone-1'),
      { app: SHOP, kind: 'topic', topic: 'news' as TopicName } as const,
      stream('d-2'),
    ];
    for (const of of streams) assert.equal(await head(of), 0);
    await pass(HOUR);
    await pass(0);
    for (const of of streams) assert.equal(await head(of), 1);
  });

  test('taken back before it is due is never sent', async (t) => {
    const { run, head, pass, store } = await aPlace(t);
    for (const target of [{ device: 'phone-1' }, { devices: ['phone-1'] }]) {
      const { body } = await run('push', { target, text: 'x', delayMs: HOUR });
      const answer = await run('cancel', { id: body['id'] });
      assert.deepEqual([answer.status, answer.body['cancelled']], [200, 1]);
      const { state, deliveries } = (await run('message', { id: body['id'] })).body;
      assert.equal(state, 'cancelled');
      assert.equal((deliveries as Record<string, number>)['cancelled'], 1, 'not unknown, though no stream knows of it');
    }
    assert.equal(await store.countJobs(), 0);
    await pass(HOUR);
    assert.equal(await head(stream('phone-1')), 0);
  });

  test('is sent once, also when the store loses answers while it is sent', async (t) => {
    for (const operation of ['changeMessage', 'append', 'putMessages', 'finishJobs'] as const) {
      const { run, head, pass, failing } = await aPlace(t);
      await run('push', { target: { device: 'phone-1' }, text: 'x', delayMs: HOUR });
      failing.set(operation, 'after');
      await pass(HOUR);
      failing.clear();
      await pass(60_000);
      assert.equal(await head(stream('phone-1')), 1, operation);
    }
  });

  test('that meets a full stream when due is a dead letter: nobody is there to be refused', async (t) => {
    const { run, pass, store } = await aPlace(t);
    await run('push', { target: { device: 'phone-1' }, text: 'late', delayMs: HOUR });
    const messages = Array.from({ length: LIMITS.deviceStreamEntriesMax }, () => ({
      target: { device: 'phone-1' },
      text: 'x',
    }));
    await run('push', { messages });
    await pass(HOUR);
    assert.equal(await store.countDeadLetters(SHOP), 1);
  });

  test('sent again under its key is the same message; what was due long ago is sent at once', async (t) => {
    const { clock, run, head, pass } = await aPlace(t);
    const message = { target: { device: 'phone-1' }, text: 'x', delayMs: HOUR, idempotencyKey: 'k' };
    const [one, other] = [await run('push', message), await run('push', message)];
    assert.deepEqual([other.body['id'], other.body['duplicate']], [one.body['id'], true]);
    await pass(HOUR);
    await run('push', message);
    await pass(HOUR);
    assert.equal(await head(stream('phone-1')), 1);
    const past = await run('push', { target: { device: 'phone-1' }, text: 'x', deliverAtMs: clock.nowMs() - HOUR });
    assert.equal(past.body['state'], 'stored');
  });

  test('is refused for a device that never registered, and past 30 days', async (t) => {
    const { clock, run } = await aPlace(t);
    const unknown = await run('push', { target: { device: 'nobody' }, text: 'x', delayMs: HOUR });
    assert.deepEqual([unknown.status, unknown.body.error?.['code']], [404, 'device-unknown']);
    const at = (deliverAtMs: number) => run('push', { target: { device: 'phone-1' }, text: 'x', deliverAtMs });
    assert.equal((await at(clock.nowMs() + SCHEDULE_MS_MAX)).status, 202);
    assert.equal((await at(clock.nowMs() + SCHEDULE_MS_MAX + 1)).body.error?.['field'], 'deliverAtMs');
  });
});

test('a message says how it is to be delivered: the request before the app, and both before the defaults', async (t) => {
  const { store } = await aStore(t);
  await aDevice(store, 'phone-1');
  const { run } = await aDoor(t, { store, app: anApp({ delivery: { attemptsMax: 7, ackTimeoutMs: 2000 } }) });
  const deliver = { attemptsMax: 2, idOnly: true };
  const { body } = await run('push', { target: { device: 'phone-1' }, text: 'x', deliver, attributes: { level: 6 } });
  assert.equal(body['state'], 'stored');
  const [read] = await store.read([{ stream: stream('phone-1'), after: null, entriesMax: 1 }]);
  const { attemptsMax, ackTimeoutMs, idOnly, level } = decodeRecord(read!.entries[0]!.record);
  assert.deepEqual([attemptsMax, ackTimeoutMs, idOnly, level], [2, 2000, true, 6]);
});

test('a collapse key takes the place of what waits under it', async (t) => {
  const { run, store } = await aPlace(t);
  const status = (text: string) => run('push', { target: { device: 'phone-1' }, text, collapseKey: 'order-7' });
  const first = await status('packed');
  await status('shipped');
  const [read] = await store.read([{ stream: stream('phone-1'), after: null, entriesMax: 10 }]);
  assert.deepEqual(
    read!.entries.map(({ record }) => Buffer.from(decodeRecord(record).body).toString()),
    ['shipped'],
  );
  const { deliveries } = (await run('message', { id: first.body['id'] as MessageId })).body;
  assert.equal((deliveries as { cancelled: number }).cancelled, 1);
  await eventually(async () => (await store.ledger(SHOP)).cancelled === 1);
});
