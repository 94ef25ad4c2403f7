import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AppDefinition } from '../../protocol/apps.ts';
import type { AccountId } from '../../protocol/ids.ts';
import { aManualClock } from '../../runtime/clock.ts';
import type { Ledger } from '../../store/port.ts';
import { aDoor, someDevices } from '../api/api-fixtures.ts';
import { GAUGES_MS } from '../gauges.ts';
import { SHOP, aDeadLetter, aDevice, aRouter, aStore, aWatchedText, anApp, appsText } from '../fixtures.ts';
import { Ledgers } from './ledger.ts';

test('R12: the ledger says what became of every delivery, and a recount agrees', async (t) => {
  const { store } = await aStore(t);
  const devices = await someDevices(store, 'd', 3);
  await aDevice(store, 'phone-1');
  const { run } = await aDoor(t, { store });
  for (const device of devices) await run('push', { target: { device }, text: 'x' });
  const { body: first } = await run('push', { target: { device: 'phone-1' }, text: 'x' });
  await run('cancel', { id: first['id'] });
  await aDeadLetter(store, 'phone-1');
  const { body } = await run('ledger', { recount: 'true' });
  const untracked = { accepted: 0, acked: 0 };
  assert.deepEqual(body, {
    accepted: 5,
    acked: 0,
    waiting: 3,
    expired: 0,
    dead: 1,
    cancelled: 1,
    filtered: 0,
    untracked,
    recounted: { waiting: 3, agrees: true },
  });
  assert.equal('recounted' in (await run('ledger', {})).body, false);
});

test('a recount that disagrees says so; two at once are one', async () => {
  const ledger: Ledger = {
    accepted: 9,
    acked: 1,
    expired: 1,
    dead: 1,
    cancelled: 1,
    filtered: 1,
    untracked: { accepted: 0, acked: 0 },
  };
  let recounts = 0;
  const store = { ledger: async () => ledger, countWaiting: async () => (recounts++, 5) };
  const ledgers = new Ledgers(store, aManualClock());
  const [one, two] = await Promise.all([ledgers.recount(SHOP), ledgers.recount(SHOP)]);
  assert.deepEqual([one.waiting, one.recounted, two, recounts], [4, { waiting: 5, agrees: false }, one, 1]);
});

describe('quotas', () => {
  async function aShop(t: Parameters<typeof aStore>[0], quotas: AppDefinition['quotas']) {
    const { store, failing, calls } = await aStore(t);
    await aDevice(store, 'phone-1');
    const apps = aWatchedText(appsText([anApp({ quotas })]));
    return { store, failing, calls, ...(await aRouter(t, { store, apps })) };
  }
  const one = { target: { device: 'phone-1' }, text: 'x' };

  test('of recipients count the names of lists, and say which quota and when to come back', async (t) => {
    const { push } = await aShop(t, { recipientsPerSecond: 10 });
    const list = { target: { devices: Array.from({ length: 30 }, (_, i) => `d-${i}`) }, text: 'x' };
    assert.equal((await push(list)).status, 202);
    const { status, body, headers } = await push(one);
    assert.deepEqual(
      [status, body.error?.['code'], body.error?.['field']],
      [429, 'rate-limited', 'quotas.recipientsPerSecond'],
    );
    const waitMs = Number(body.error?.['retryAfterMs']);
    assert.ok(waitMs > 1500 && waitMs <= 2100, String(waitMs));
    assert.ok(Number(headers.get('retry-after')) >= 2);
  });

  test('of recipients count the members of groups', async (t) => {
    const { store, push } = await aShop(t, { recipientsPerSecond: 10 });
    const members = Array.from({ length: 20 }, (_, i) => `a-${i}` as AccountId);
    await store.changeGroup(SHOP, 'g', { kind: 'create', owner: members[0]!, members });
    assert.equal((await push({ target: { group: 'g' }, text: 'x' })).status, 202);
    const { status, body } = await push(one);
    assert.deepEqual([status, body.error?.['field']], [429, 'quotas.recipientsPerSecond']);
    assert.equal((await push({ target: { group: 'nobody' }, text: 'x' })).status, 429);
  });

  test('of bytes count bodies', async (t) => {
    const { push } = await aShop(t, { bytesPerSecond: 1000 });
    assert.equal((await push({ ...one, text: 'x'.repeat(900) })).status, 202);
    const { status, body } = await push({ ...one, text: 'x'.repeat(900) });
    assert.deepEqual([status, body.error?.['field']], [429, 'quotas.bytesPerSecond']);
  });

  test('of what may wait hold back durable messages, not live ones, until something ends', async (t) => {
    const { store, push } = await aShop(t, { waitingMax: 3 });
    const ids: unknown[] = [];
    for (const _ of [1, 2, 3]) ids.push((await push(one)).body['id']);
    const { status, body } = await push(one);
    assert.deepEqual([status, body.error?.['code'], body.error?.['field']], [429, 'waiting-full', 'quotas.waitingMax']);
    assert.ok(Number(body.error?.['retryAfterMs']) > 0);
    assert.equal((await push({ ...one, class: 'live' })).status, 202);
    assert.equal((await push({ target: { devices: ['a', 'b', 'c', 'd'] }, text: 'x' })).status, 429);
    assert.equal((await store.ledger(SHOP)).accepted, 3);
  });

  test('of what may wait read the ledger at most once a second, and let messages pass while it cannot be read', async (t) => {
    const { push, calls, failing } = await aShop(t, { waitingMax: 1000 });
    const messages = Array.from({ length: 200 }, () => one);
    await push({ messages });
    assert.equal(calls.get('ledger'), 1);
    const other = await aShop(t, { waitingMax: 1000 });
    other.failing.set('ledger', 'before');
    assert.equal((await other.push(one)).status, 202);
    failing.clear();
  });
});

test('what waits is read afresh after a second', async () => {
  let waiting = 5;
  const clock = aManualClock();
  const ledger = (): Ledger => ({
    accepted: waiting,
    acked: 0,
    expired: 0,
    dead: 0,
    cancelled: 0,
    filtered: 0,
    untracked: { accepted: 0, acked: 0 },
  });
  const ledgers = new Ledgers({ ledger: async () => ledger(), countWaiting: async () => 0 }, clock);
  assert.equal(await ledgers.waiting(SHOP), 5);
  waiting = 9;
  ledgers.added(SHOP, 2);
  assert.equal(await ledgers.waiting(SHOP), 7);
  clock.advance(1000);
  assert.equal(await ledgers.waiting(SHOP), 9);
});

test('metrics have the ledger, dead letters and jobs, expansions and actions', async (t) => {
  const clock = aManualClock();
  const { store, failing } = await aStore(t, clock);
  await aDevice(store, 'phone-1');
  const { parts, run } = await aDoor(t, { store, clock });
  const { body } = await run('push', { target: { devices: ['phone-1', 'nobody'] }, text: 'x' });
  const letter = await aDeadLetter(store, 'phone-1');
  await run('dead-letters-act', { action: 'hold', ids: [letter.id] });
  await run('push', { target: { device: 'phone-1' }, text: 'x', delayMs: 1_000_000 });
  const turns = async () => {
    for (let i = 0; i < 30; i++) await new Promise(setImmediate);
  };
  await turns();
  clock.advance(GAUGES_MS);
  await turns();
  const lines = (await parts.metrics.register.metrics()).split('\n');
  for (const line of [
    'pushcluster_ledger_deliveries{app="shop",state="accepted"} 2',
    'pushcluster_ledger_deliveries{app="shop",state="waiting"} 1',
    'pushcluster_ledger_deliveries{app="shop",state="dead"} 1',
    'pushcluster_dead_letters{app="shop"} 1',
    'pushcluster_jobs 1',
    'pushcluster_router_expansions_total{step="ended"} 1',
    'pushcluster_router_expanded_recipients_total{outcome="stored"} 1',
    'pushcluster_router_expanded_recipients_total{outcome="unknown"} 1',
    'pushcluster_router_jobs_total{kind="expand",outcome="done"} 1',
    'pushcluster_router_dead_letter_actions_total{action="hold",outcome="done"} 1',
    'pushcluster_router_messages_total{class="durable",target="devices",outcome="accepted"} 1',
    'pushcluster_router_messages_total{class="durable",target="device",outcome="scheduled"} 1',
  ])
    assert.ok(lines.includes(line), line);
  assert.equal(typeof body['id'], 'string');
  failing.set('ledger', 'before');
  clock.advance(2 * GAUGES_MS);
  await turns();
  assert.ok((await parts.metrics.register.metrics()).includes('pushcluster_jobs 1'));
});
