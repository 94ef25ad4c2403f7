import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { openInProcessBus } from '../../bus/in-process.ts';
import { BUS_TOPICS, BusUnavailableError } from '../../bus/port.ts';
import type { Bus } from '../../bus/port.ts';
import { messageIdTimeMs } from '../../protocol/ids.ts';
import type { DeviceId, TopicName } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { Store, StreamRef } from '../../store/port.ts';
import { SHOP, aDevice, aGateway, aRouter, aStore } from '../fixtures.ts';
import { InvalidEntryError, decodeEntry, encodeEntry, isJournallable } from './journal-entry.ts';
import { JOURNAL_GROUP } from './journal.ts';
import { keyedId, KEYED_ID_MS, KEYED_IDS_MAX, KeyedIds } from './keyed-id.ts';
import { parsePush } from '../api/request.ts';

const deviceStream = (device: string): StreamRef => ({
  app: SHOP,
  kind: 'device',
  device: device as DeviceId,
  lane: 'normal',
});
const NEWS: StreamRef = { app: SHOP, kind: 'topic', topic: 'news' as TopicName };
/** What a push asks of the store. */
const STORE: readonly (keyof Store)[] = [
  'append',
  'putMessages',
  'claimKey',
  'accountDevices',
  'routes',
  'leases',
  'health',
  'roleLeases',
  'renewRoleLease',
];

function aBus(t: TestContext) {
  const inner = openInProcessBus({ clock: systemClock, log: silentLog, backoffMinMs: 20, backoffMaxMs: 100 });
  t.after(() => inner.close());
  const state = { away: false };
  const bus: Bus = {
    publish: (...args) =>
      state.away ? Promise.reject(new BusUnavailableError('told to be away')) : inner.publish(...args),
    consume: (options) => inner.consume(options),
    lag: (...args) => inner.lag(...args),
    health: () => ({ reachable: !state.away, problem: null }),
    close: () => inner.close(),
  };
  return { bus, state };
}

async function aWorld(t: TestContext) {
  const { store, failing, calls } = await aStore(t);
  const { bus, state } = aBus(t);
  await aDevice(store, 'phone-1');
  const gateway = await aGateway(t, store);
  const router = await aRouter(t, { store, bus });
  await router.linked(1);
  const away = (): void => STORE.forEach((operation) => failing.set(operation, 'before'));
  const back = (): void => failing.clear();
  const drained = async (): Promise<void> => {
    while ((await router.metric('pushcluster_router_journalling')) !== 0) await new Promise(setImmediate);
  };
  const textsOf = async (stream: StreamRef): Promise<readonly string[]> => {
    const [read] = await store.read([{ stream, after: null, entriesMax: 500 }]);
    return read!.entries.map(({ record }) => Buffer.from(decodeRecord(Buffer.from(record)).body).toString());
  };
  return { store, failing, calls, bus, state, gateway, ...router, away, back, drained, textsOf };
}

describe('R13: while the store is away', () => {
  test('a durable push is journalled, delivered without a position, and stored in order once the store is back', async (t) => {
    const { gateway, push, away, back, drained, textsOf, store, metric } = await aWorld(t);
    await push({ target: { device: 'phone-1' }, text: 'before' });
    away();
    const ids: unknown[] = [];
    for (let i = 0; i < 20; i++) {
      const { status, body } = await push({ target: { device: 'phone-1' }, text: `d-${i}` });
      assert.deepEqual([status, body['state'], body['recipients']], [202, 'journalled', 1]);
      ids.push(body['id']);
      assert.equal((await push({ target: { topic: 'news' }, text: `n-${i}` })).body['state'], 'journalled');
    }
    await gateway.heardCount(40);
    assert.ok(gateway.heard.every(({ epoch, stamp }) => epoch === null && stamp > 0));
    const told = gateway.heard
      .filter(({ kind }) => kind === 'deliver-device')
      .map(({ record }) => decodeRecord(record).id);
    assert.deepEqual(told, ids);
    // Clients know by it that the same message comes again with its place.
    assert.ok(gateway.heard.every(({ record }) => decodeRecord(record).journalled));
    back();
    await drained();
    const texts = Array.from({ length: 20 }, (_, i) => i);
    assert.deepEqual(await textsOf(deviceStream('phone-1')), ['before', ...texts.map((i) => `d-${i}`)]);
    assert.deepEqual(
      await textsOf(NEWS),
      texts.map((i) => `n-${i}`),
    );
    const [read] = await store.read([{ stream: deviceStream('phone-1'), after: null, entriesMax: 500 }]);
    assert.ok(read!.entries.every(({ record }) => !decodeRecord(Buffer.from(record)).journalled));
    assert.deepEqual(
      read!.entries.slice(1).map(({ record }) => decodeRecord(Buffer.from(record)).id),
      ids,
      'under the ids that were answered',
    );
    assert.equal(await metric('pushcluster_router_journal_stored_total'), 40);
    assert.equal((await push({ target: { device: 'phone-1' }, text: 'after' })).body['state'], 'stored');
    assert.equal((await textsOf(deviceStream('phone-1'))).at(-1), 'after');
  });

  test('an append whose answer was lost and which is journalled then is one entry', async (t) => {
    const { push, failing, drained, textsOf, back } = await aWorld(t);
    failing.set('append', 'after');
    assert.equal((await push({ target: { device: 'phone-1' }, text: 'once' })).body['state'], 'journalled');
    back();
    await drained();
    assert.deepEqual(await textsOf(deviceStream('phone-1')), ['once']);
  });

  test('the same key again is the same id, at any router, and one entry; also when the claim’s answer was lost', async (t) => {
    const { store, push, away, back, failing, bus, drained, textsOf } = await aWorld(t);
    const other = await aRouter(t, { store, bus });
    const message = { target: { device: 'phone-1' }, text: 'pay', idempotencyKey: 'order-7' };
    failing.set('claimKey', 'after');
    const first = await push(message);
    away();
    const answers = [first, await push(message), await other.push(message)];
    assert.deepEqual(
      answers.map(({ body }) => body['state']),
      ['journalled', 'journalled', 'journalled'],
    );
    assert.equal(new Set(answers.map(({ body }) => body['id'])).size, 1);
    back();
    await drained();
    const later = await push(message);
    assert.deepEqual([later.body['id'], later.body['duplicate']], [first.body['id'], true]);
    assert.deepEqual(await textsOf(deviceStream('phone-1')), ['pay']);
  });

  test('a push to an account reaches the devices that were known of it, and all of them in the end', async (t) => {
    const { store, gateway, push, away, back, drained, textsOf } = await aWorld(t);
    await aDevice(store, 'tablet-1');
    await push({ target: { account: 'ada' }, text: 'before' });
    away();
    assert.equal((await push({ target: { account: 'ada' }, text: 'meanwhile' })).body['state'], 'journalled');
    assert.equal((await push({ target: { account: 'bob' }, text: 'unknown here' })).body['state'], 'journalled');
    await gateway.heardCount(2);
    const told = gateway.heard.flatMap((frame) => (frame.kind === 'deliver-device' ? [frame.device] : []));
    assert.deepEqual(told.toSorted(), ['phone-1', 'tablet-1']);
    back();
    await drained();
    for (const device of ['phone-1', 'tablet-1'])
      assert.deepEqual(await textsOf(deviceStream(device)), ['before', 'meanwhile']);
  });

  test('with the bus away too, durable pushes answer 503 with a wait, and live ones pass', async (t) => {
    const { gateway, push, away, back, state, textsOf } = await aWorld(t);
    away();
    state.away = true;
    const refused = await push({ target: { topic: 'news' }, text: 'kept' });
    assert.deepEqual([refused.status, refused.body.error?.['code']], [503, 'store-unavailable']);
    assert.ok(Number(refused.body.error?.['retryAfterMs']) > 0);
    const live = await push({ target: { topic: 'news' }, text: 'live', class: 'live' });
    assert.deepEqual([live.status, live.body['state']], [202, 'sent']);
    await gateway.heardCount(1);
    back();
    assert.equal((await push({ target: { topic: 'news' }, text: 'again' })).body['state'], 'stored');
    assert.deepEqual(await textsOf(NEWS), ['again']);
  });

  test('lists and scheduled messages answer 503: they need the store', async (t) => {
    const { push, away } = await aWorld(t);
    away();
    for (const message of [
      { target: { devices: ['phone-1'] }, text: 'list' },
      { target: { device: 'phone-1' }, text: 'later', delayMs: 60_000 },
    ])
      assert.equal((await push(message)).status, 503);
  });

  test('a router that dies leaves the journal to the next one', async (t) => {
    const { store, role, push, away, back, bus, textsOf } = await aWorld(t);
    away();
    for (let i = 0; i < 5; i++) await push({ target: { device: 'phone-1' }, text: `d-${i}` });
    await role.stop();
    back();
    await aRouter(t, { store, bus });
    while ((await bus.lag(JOURNAL_GROUP, BUS_TOPICS.journal)) > 0) await new Promise(setImmediate);
    assert.deepEqual(await textsOf(deviceStream('phone-1')), ['d-0', 'd-1', 'd-2', 'd-3', 'd-4']);
  });

  test('what the next one takes goes behind what is left, also when the store is back before it starts', async (t) => {
    const { store, role, push, away, back, bus, textsOf } = await aWorld(t);
    away();
    const told = Array.from({ length: 400 }, (_, i) => `d-${i}`);
    for (const text of told) await push({ target: { device: 'phone-1' }, text });
    await role.stop();
    back();
    const next = await aRouter(t, { store, bus });
    assert.equal((await next.push({ target: { device: 'phone-1' }, text: 'newer' })).status, 202);
    while ((await bus.lag(JOURNAL_GROUP, BUS_TOPICS.journal)) > 0) await new Promise(setImmediate);
    assert.deepEqual(await textsOf(deviceStream('phone-1')), [...told, 'newer']);
  });

  test('what can never be stored is set aside and counted, and holds nothing up', async (t) => {
    const { push, away, back, drained, textsOf, bus, metric } = await aWorld(t);
    away();
    await push({ target: { device: 'nobody' }, text: 'lost' });
    const garbage = [
      '{',
      JSON.stringify({
        version: 1,
        app: 'shop',
        id: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
        atMs: 1,
        push: { class: 'durable', due: null, target: { kind: 'topic', topic: 'news' }, body: '', attributes: '' },
      }),
    ];
    for (const value of garbage)
      await bus.publish([{ topic: BUS_TOPICS.journal, key: 'shop/d/phone-1', headers: {}, value: Buffer.from(value) }]);
    await push({ target: { device: 'phone-1' }, text: 'kept' });
    back();
    await drained();
    assert.deepEqual(await textsOf(deviceStream('phone-1')), ['kept']);
    assert.equal(await metric('pushcluster_router_journal_refused_total'), 3);
  });
});

test('with the bus away and the store there, nothing changes for pushes', async (t) => {
  const { gateway, push, state, textsOf } = await aWorld(t);
  state.away = true;
  for (const message of [
    { target: { topic: 'news' }, text: 'stored' },
    { target: { topic: 'news' }, text: 'live', class: 'live' },
  ])
    assert.equal((await push(message)).status, 202);
  await gateway.heardCount(2);
  assert.deepEqual(await textsOf(NEWS), ['stored']);
});

test('a journalled push comes back as it was', () => {
  const push = parsePush(
    {
      target: { device: 'phone-1' },
      bytes: Buffer.from([0, 1, 255]).toString('base64'),
      attributes: { level: 3, fields: { a: 1 } },
      lane: 'high',
      ttlMs: 5000,
      collapseKey: 'c',
      deliver: { attemptsMax: 2, ackTimeoutMs: 1000, idOnly: true },
      idempotencyKey: 'k',
    },
    { at: '', headerKey: null, nowMs: 1_800_000_000_000 },
  );
  const id = keyedId(SHOP, 'k', { fingerprint: push.fingerprint, nowMs: 1_800_000_000_000 });
  const entry = { app: SHOP, id, atMs: 1_800_000_000_123, push };
  const decoded = decodeEntry(encodeEntry(entry).value);
  assert.deepEqual(
    { ...decoded.push, body: [...decoded.push.body], attributes: [...decoded.push.attributes] },
    {
      ...push,
      body: [...push.body],
      attributes: [...push.attributes],
    },
  );
  assert.deepEqual([decoded.app, decoded.id, decoded.atMs], [SHOP, id, entry.atMs]);
  assert.equal(isJournallable(push), true);
  for (const bad of ['', 'null', '{}', '{"version":2}', '{"version":1,"push":{}}'])
    assert.throws(() => decodeEntry(Buffer.from(bad)), InvalidEntryError, bad);
});

test('an entry that says less or other than a push is none, whichever field it is', () => {
  const push = parsePush(
    { target: { topic: 'news' }, text: 'x', idempotencyKey: 'k', ttlMs: 1000 },
    { at: '', headerKey: null, nowMs: 1 },
  );
  const id = keyedId(SHOP, 'k', { fingerprint: push.fingerprint, nowMs: 1_800_000_000_000 });
  const text = Buffer.from(encodeEntry({ app: SHOP, id, atMs: 1, push }).value).toString();
  const entry = JSON.parse(text) as Record<string, unknown> & { push: Record<string, unknown> };
  decodeEntry(Buffer.from(text));
  for (const field of Object.keys(entry))
    for (const value of [undefined, [], 'ſ'.repeat(600)])
      assert.throws(() => decodeEntry(Buffer.from(JSON.stringify({ ...entry, [field]: value }))), InvalidEntryError);
  for (const field of Object.keys(entry.push))
    for (const value of [undefined, {}, -1]) {
      const bad = JSON.stringify({ ...entry, push: { ...entry.push, [field]: value } });
      assert.throws(() => decodeEntry(Buffer.from(bad)), InvalidEntryError, `${field}: ${JSON.stringify(value)}`);
    }
});

test('a keyed push that comes again across a border of its id’s time has its id, for a day, where it was journalled', () => {
  const ids = new KeyedIds();
  const at = (nowMs: number) => ids.of(SHOP, 'k', { fingerprint: 'f', nowMs });
  const border = messageIdTimeMs(at(1_800_000_000_000)) + KEYED_ID_MS;
  const id = at(border - 10);
  assert.notEqual(at(border + 10), id, 'what the store has, it knows by the key');
  ids.remember(id, border - 10);
  assert.deepEqual([at(border + 10), at(border + KEYED_ID_MS - 11)], [id, id]);
  assert.notEqual(at(border + KEYED_ID_MS - 10), id);
  assert.notEqual(ids.of(SHOP, 'k', { fingerprint: 'g', nowMs: border + 10 }), id);
  for (let i = 0; i < KEYED_IDS_MAX; i++)
    ids.remember(ids.of(SHOP, `${i}`, { fingerprint: 'f', nowMs: border }), border);
  assert.notEqual(at(border + 10), id, 'the oldest is forgotten');
});

test('a keyed push that comes again at another router has its id, but for one in thousands that crosses a border', () => {
  const others = (afterMs: number): number => {
    let count = 0;
    for (let i = 0; i < 10_000; i++) {
      // Any moment will do: each request has borders of its own.
      const nowMs = 1_800_000_000_000;
      const request = { fingerprint: `f${i}` };
      const id = keyedId(SHOP, 'k', { ...request, nowMs });
      if (keyedId(SHOP, 'k', { ...request, nowMs: nowMs + afterMs }) !== id) count++;
    }
    return count;
  };
  const [minute, hour, day] = [others(60_000), others(3_600_000), others(LIMITS.idempotencyWindowMs)];
  assert.ok(minute < 20, `${minute} of 10,000 after a minute`);
  assert.ok(hour < 600, `${hour} of 10,000 after an hour`);
  assert.equal(day, 10_000, 'once the store has forgotten the key it is another message');
});

test('the id of a keyed push is the same for a day and differs by key, app and request', () => {
  const nowMs = 1_800_000_000_000;
  const id = keyedId(SHOP, 'k', { fingerprint: 'f', nowMs });
  const start = messageIdTimeMs(id);
  assert.ok(start <= nowMs && start > nowMs - KEYED_ID_MS);
  assert.equal(keyedId(SHOP, 'k', { fingerprint: 'f', nowMs: start }), id);
  assert.equal(keyedId(SHOP, 'k', { fingerprint: 'f', nowMs: start + KEYED_ID_MS - 1 }), id);
  const others = [
    keyedId(SHOP, 'k2', { fingerprint: 'f', nowMs }),
    keyedId(SHOP, 'k', { fingerprint: 'f2', nowMs }),
    keyedId('other' as typeof SHOP, 'k', { fingerprint: 'f', nowMs }),
    keyedId(SHOP, 'k', { fingerprint: 'f', nowMs: start + KEYED_ID_MS }),
  ];
  assert.equal(new Set([id, ...others]).size, 5);
});
