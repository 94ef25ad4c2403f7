// The API over a real Redis: the same commands, one walk through all that they keep in the store. The contract suite holds the stores
// alike; this is where the router's own ways of asking meet the one that clusters have.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { AccountId, MessageId } from '../../protocol/ids.ts';
import { openAt } from '../../store/redis/contract-setup.ts';
import { TestRedis, VOLATILE, redisMissing } from '../../store/redis/test-server.ts';
import type { Store } from '../../store/port.ts';
import { aDoor, eventually, someDevices } from './api-fixtures.ts';
import { SHOP, aDeadLetter, anApp } from '../fixtures.ts';

describe('the API on Redis', { skip: redisMissing() ?? false }, () => {
  let redis: TestRedis;
  let store: Store;
  before(async () => {
    redis = await TestRedis.start(VOLATILE);
    store = await openAt(redis.url);
  });
  after(async () => {
    await store.close();
    await redis.remove();
  });

  test('lists, groups, schedules, cancels, dead letters and the ledger', async (t) => {
    const devices = await someDevices(store, 'd', 1200);
    const app = anApp({ clientMessaging: { pointToPoint: true, groups: true, messagesPerSecond: 100 } });
    const { run } = await aDoor(t, { store, app });
    const message = async (id: unknown) => (await run('message', { id })).body;
    const expanded = (id: unknown) =>
      eventually(async () => {
        const row = await message(id);
        return row['state'] === 'expanded' && row;
      });
    const push = async (input: object) => (await run('push', input)).body['id'] as MessageId;

    const text = 'x'.repeat(1000);
    const list = await push({ target: { devices: [...devices, 'stranger'] }, text, idempotencyKey: 'k' });
    const { deliveries } = await expanded(list);
    assert.deepEqual(
      [(deliveries as { waiting: number }).waiting, (deliveries as { unknown: number }).unknown],
      [1200, 1],
    );
    assert.equal(await push({ target: { devices: [...devices, 'stranger'] }, text, idempotencyKey: 'k' }), list);

    await store.settleEntries(
      devices.slice(0, 3).map((device) => ({
        app: SHOP,
        device,
        lane: 'normal',
        entry: { messageId: list },
        state: 'dead',
        generation: null,
        reason: 'attempts',
        attempts: 5,
      })),
    );
    const all = await run('dead-letters-act', { action: 'redrive', all: true });
    await eventually(async () => (await run('dead-letters-action', { id: all.body['id'] })).body['state'] === 'done');
    const again = await run('device-waiting', { device: 'd-0' });
    assert.equal(again.body['waiting'], 1);

    const cancelled = await run('cancel', { id: list });
    assert.deepEqual([cancelled.status, cancelled.body['cancelled']], [200, 1197]);
    await run('group-put', { group: 'g', owner: 'd-0', members: ['d-1', 'd-2'] });
    const origin = { account: 'd-1' as AccountId, device: devices[1]! };
    const sent = await run('send', { key: 'k', to: { group: 'g' }, body: 1 }, origin);
    await expanded(sent.body['id']);

    const later = await push({ target: { device: 'd-5' }, text: 'x', delayMs: 50 });
    const never = await push({ target: { device: 'd-6' }, text: 'x', delayMs: 3_600_000 });
    await run('cancel', { id: never });
    await eventually(async () => ((await message(later))['deliveries'] as { waiting: number }).waiting === 1);
    await aDeadLetter(store, 'd-7');

    const { body } = await run('ledger', { recount: true });
    // Redriven: 3. Of the group: 3. Scheduled: 1.
    assert.deepEqual(
      [body['accepted'], body['waiting'], body['dead'], body['cancelled'], body['recounted']],
      [1200 + 3 + 3 + 1 + 1, 7, 4, 1197, { waiting: 7, agrees: true }],
    );
  });
});
