import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openInProcessBus } from '../bus/in-process.ts';
import type { Bus } from '../bus/port.ts';
import type { AccountId, AppId, DeviceId, TopicName } from '../protocol/ids.ts';
import { conflationKeyOf, decodeRecord } from '../protocol/record.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { PartlyUnavailableError, StoreUnavailableError } from '../store/port.ts';
import type { Message, StreamRef } from '../store/port.ts';
import { withOperation } from '../store/with-operation.ts';
import { API_KEY, SHOP, aDevice, aGateway, aRouter, aStore, aWatchedText, anApp, appsText } from './fixtures.ts';

const stream = (device: string): StreamRef => ({
  app: SHOP,
  kind: 'device',
  device: device as DeviceId,
  lane: 'normal',
});
const topic = (name: string): StreamRef => ({ app: SHOP, kind: 'topic', topic: name as TopicName });

describe('a durable push', () => {
  test('to an offline device is stored before the answer, and says that nobody is online', async (t) => {
    const { store } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store });
    const { status, body } = await push({ target: { device: 'phone-1' }, body: { n: 1 }, attributes: { level: 3 } });
    assert.deepEqual([status, body['state'], body['online'], body['duplicate']], [202, 'stored', 0, false]);
    const [read] = await store.read([{ stream: stream('phone-1'), after: null, entriesMax: 10 }]);
    assert.deepEqual(body['positions'], [{ device: 'phone-1', stream: '@normal', epoch: read!.epoch, offset: 1 }]);
    const record = decodeRecord(Buffer.from(read!.entries[0]!.record));
    assert.equal(record.id, body['id']);
    assert.deepEqual(JSON.parse(Buffer.from(record.body).toString()), { n: 1 });
    assert.deepEqual(JSON.parse(Buffer.from(record.attributes).toString()), { level: 3 });
    assert.equal(record.expiresAtMs - record.publishedAtMs, 7 * 24 * 3600_000);
  });

  test('to an online device reaches its gateway with its place in the stream', async (t) => {
    const { store } = await aStore(t);
    const device = await aDevice(store, 'phone-1');
    const gateway = await aGateway(t, store);
    await gateway.connect(device);
    const { push, linked } = await aRouter(t, { store });
    await linked(1);
    for (const text of ['one', 'two']) {
      const { status, body } = await push({ target: { device }, text, lane: 'high' });
      assert.deepEqual([status, body['online']], [202, 1]);
    }
    await gateway.heardCount(2);
    const places = gateway.heard.map((frame) =>
      frame.kind === 'deliver-device' ? [frame.bootId, frame.lane, frame.offset, frame.prev] : [],
    );
    assert.deepEqual(places, [
      [gateway.bootId, 'high', 1, 0],
      [gateway.bootId, 'high', 2, 1],
    ]);
    assert.equal(Buffer.from(decodeRecord(gateway.heard[1]!.record).body).toString(), 'two');
  });

  test('to an account is stored for each of its devices under one id', async (t) => {
    const { store } = await aStore(t);
    for (const device of ['phone-1', 'tablet-1']) await aDevice(store, device);
    await aDevice(store, 'stranger', 'bob');
    const { push } = await aRouter(t, { store });
    const { body } = await push({ target: { account: 'ada' }, text: 'hi' });
    assert.equal(body['recipients'], 2);
    const reads = await store.read(
      ['phone-1', 'tablet-1', 'stranger'].map((device) => ({ stream: stream(device), after: null, entriesMax: 10 })),
    );
    const ids = reads.map((read) => read.entries.map((entry) => decodeRecord(Buffer.from(entry.record)).id));
    assert.deepEqual(ids, [[body['id']], [body['id']], []]);
  });

  test('to a topic or to everyone is stored once and told to every gateway', async (t) => {
    const { store } = await aStore(t);
    const gateways = [await aGateway(t, store, { name: 'gw-0' }), await aGateway(t, store, { name: 'gw-1' })];
    const { push, linked } = await aRouter(t, { store });
    await linked(2);
    const one = await push({ target: { topic: 'news' }, text: 'n' });
    const all = await push({ target: { everyone: true }, text: 'e' });
    assert.deepEqual([one.body['gateways'], all.body['gateways']], [2, 2]);
    for (const gateway of gateways) {
      await gateway.heardCount(2);
      const places = gateway.heard.map((f) => (f.kind === 'deliver-topic' ? [f.topic, f.offset, f.prev] : []));
      assert.deepEqual(places, [
        ['news', 1, 0],
        ['$all', 1, 0],
      ]);
    }
    const heads = await store.heads([topic('news'), topic('$all')]);
    assert.deepEqual(
      heads.map(({ head }) => head),
      [1, 1],
    );
  });

  test('of 1,000 in one request is one trip to the store, in order', async (t) => {
    const { store, calls } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store });
    const messages = Array.from({ length: 1000 }, (_, i) => ({ target: { device: 'phone-1' }, text: String(i) }));
    const { status, body } = await push({ messages });
    assert.deepEqual([status, body['accepted'], body['refused']], [202, 1000, 0]);
    assert.equal(calls.get('append'), 1);
    const offsets = (body['results'] as { positions: { offset: number }[] }[]).map((r) => r.positions[0]!.offset);
    assert.deepEqual(
      offsets,
      messages.map((_, i) => i + 1),
    );
  });
});

describe('of pushes that leave in one trip', () => {
  test('only those are refused whose own row or entry failed', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    for (const name of ['row', 'entry', 'fine']) await gateway.connect(await aDevice(store, name));
    const { push, linked } = await aRouter(t, {
      store: withOperation(store, {
        async putMessages(messages, chunks) {
          const isLost = ({ target }: Message): boolean => target.kind === 'device' && target.device === 'row';
          const kept = messages.filter((message) => !isLost(message));
          await store.putMessages(kept, chunks);
          if (kept.length === messages.length) return;
          const outcomes = messages.map((message) => (isLost(message) ? null : true));
          throw new PartlyUnavailableError(outcomes, new StoreUnavailableError('told to fail'));
        },
        async append(appends) {
          const outcomes = await store.append(appends);
          const lost = appends.map(({ stream: to }) => to.kind === 'device' && to.device === 'entry');
          const known = outcomes.map((outcome, i) => (lost[i] ? null : outcome));
          if (!lost.includes(true)) return outcomes;
          throw new PartlyUnavailableError(known, new StoreUnavailableError('told to fail'));
        },
      }),
    });
    await linked(1);
    const messages = ['fine', 'row', 'fine', 'entry', 'fine'].map((name) => ({ target: { device: name }, text: 'x' }));
    const { status, body } = await push({ messages });
    const results = body['results'] as readonly { state?: string; error?: { code: string } }[];
    assert.deepEqual(
      [status, ...results.map(({ state, error }) => state ?? error?.code)],
      [207, 'stored', 'store-unavailable', 'stored', 'store-unavailable', 'stored'],
    );
    await gateway.heardCount(3);
  });
});

describe('with an idempotency key', () => {
  test('the same request again gets the same id and stores nothing twice, by header or by field', async (t) => {
    const { store } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store });
    const message = { target: { device: 'phone-1' }, text: 'pay' };
    const first = await push(message, { 'idempotency-key': 'order-7' });
    const second = await push({ ...message, idempotencyKey: 'order-7' });
    assert.deepEqual([first.body['duplicate'], second.body['duplicate']], [false, true]);
    assert.deepEqual(second.body['positions'], first.body['positions']);
    assert.equal(second.body['id'], first.body['id']);
    assert.equal((await store.heads([stream('phone-1')]))[0]!.head, 1);
  });

  test('another request under the key is refused with 409 and stores nothing', async (t) => {
    const { store } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store });
    await push({ target: { device: 'phone-1' }, text: 'pay', idempotencyKey: 'order-7' });
    const other = await push({ target: { device: 'phone-1' }, text: 'pay more', idempotencyKey: 'order-7' });
    assert.deepEqual([other.status, other.body.error?.['code']], [409, 'idempotency-conflict']);
    assert.equal((await store.heads([stream('phone-1')]))[0]!.head, 1);
  });

  test('a retry after a lost answer of the store gives the id of the first and one entry', async (t) => {
    const { store, failing } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store });
    const message = { target: { device: 'phone-1' }, text: 'pay', idempotencyKey: 'order-7' };
    for (const operation of ['claimKey', 'append'] as const) {
      failing.set(operation, 'after');
      const lost = await push(message);
      assert.deepEqual([lost.status, lost.body.error?.['code']], [503, 'store-unavailable']);
      assert.equal(lost.body.error?.['retryAfterMs'], 1500);
      assert.equal(lost.headers.get('retry-after'), '2');
      failing.clear();
    }
    const again = await push(message);
    assert.deepEqual([again.status, again.body['duplicate']], [202, true]);
    const [read] = await store.read([{ stream: stream('phone-1'), after: null, entriesMax: 10 }]);
    assert.deepEqual(
      read!.entries.map(({ record }) => decodeRecord(Buffer.from(record)).id),
      [again.body['id']],
    );
  });

  test('ten requests at once under one key store one message', async (t) => {
    const { store } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store });
    const message = { target: { device: 'phone-1' }, text: 'pay', idempotencyKey: 'order-7' };
    const answers = await Promise.all(Array.from({ length: 10 }, () => push(message)));
    assert.equal(new Set(answers.map(({ body }) => body['id'])).size, 1);
    assert.equal(answers.filter(({ body }) => body['duplicate'] === false).length, 1);
    assert.equal((await store.heads([stream('phone-1')]))[0]!.head, 1);
  });
});

describe('is refused', () => {
  const cases: readonly [title: string, message: unknown, status: number, code: string, field: string][] = [
    [
      'for a device that never registered',
      { target: { device: 'nobody' }, text: 'a' },
      404,
      'device-unknown',
      'target.device',
    ],
    [
      'for an account without devices',
      { target: { account: 'nobody' }, text: 'a' },
      404,
      'device-unknown',
      'target.account',
    ],
    ['for a topic the app may not use', { target: { topic: 'secret' }, text: 'a' }, 403, 'forbidden', 'target.topic'],
    ['without a body', '', 400, 'invalid-request', 'body'],
    ['with two targets', { target: { device: 'a', topic: 'news' }, text: 'a' }, 400, 'invalid-request', 'target'],
    ['with a body past 32 KiB', { target: { device: 'a' }, text: 'x'.repeat(32_769) }, 413, 'too-large', 'text'],
  ];
  for (const [title, message, status, code, field] of cases)
    test(title, async (t) => {
      const { store } = await aStore(t);
      const { push } = await aRouter(t, { store });
      const answer = await push(message);
      assert.deepEqual(
        [answer.status, answer.body.error?.['code'], answer.body.error?.['field']],
        [status, code, field],
      );
    });

  test('without a credential of an app', async (t) => {
    const { store } = await aStore(t);
    const { push } = await aRouter(t, { store });
    for (const authorization of ['', 'Bearer wrong', `Basic ${API_KEY}`]) {
      const answer = await push({ target: { device: 'a' }, text: 'a' }, { authorization });
      assert.deepEqual([answer.status, answer.body.error?.['code']], [401, 'unauthenticated']);
    }
  });

  test('for a full stream, with nothing stored', async (t) => {
    const { store } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store });
    const messages = Array.from({ length: 1000 }, () => ({ target: { device: 'phone-1' }, text: 'x' }));
    await push({ messages });
    const answer = await push({ target: { device: 'phone-1' }, text: 'one more' });
    assert.deepEqual([answer.status, answer.body.error?.['code']], [409, 'stream-full']);
    assert.equal((await store.heads([stream('phone-1')]))[0]!.head, 1000);
  });

  test('past the quota of the app, with the wait until there is room', async (t) => {
    const { store } = await aStore(t);
    await aDevice(store, 'phone-1');
    const apps = aWatchedText(appsText([anApp({ quotas: { messagesPerSecond: 2 } })]));
    const { push } = await aRouter(t, { store, apps });
    const messages = Array.from({ length: 3 }, () => ({ target: { device: 'phone-1' }, text: 'x' }));
    const { status, body } = await push({ messages });
    assert.deepEqual([status, body['accepted'], body['refused']], [207, 2, 1]);
    const { error } = (body['results'] as { error?: { code: string; retryAfterMs: number } }[])[2]!;
    assert.equal(error?.code, 'rate-limited');
    assert.ok(error.retryAfterMs > 0 && error.retryAfterMs <= 500);
    assert.equal((await push(messages[0])).status, 429);
  });

  test('in a batch only where it is wrong; the field says which message', async (t) => {
    const { store } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store });
    const good = { target: { device: 'phone-1' }, text: 'x' };
    const { status, body } = await push({ messages: [good, { ...good, ttlMs: 0 }, good] });
    assert.deepEqual([status, body['accepted'], body['refused']], [207, 2, 1]);
    const { error } = (body['results'] as { error?: { field: string; message: string } }[])[1]!;
    assert.deepEqual(error, {
      code: 'invalid-request',
      field: 'messages[1].ttlMs',
      message: 'messages[1].ttlMs: expected at least 1, got 0',
    });
    const keyed = await push({ messages: [good] }, { 'idempotency-key': 'k' });
    assert.equal(keyed.body.error?.['field'], 'Idempotency-Key');
  });

  test('before the apps are known, with 503 and not ready; then served', async (t) => {
    const { store } = await aStore(t);
    const apps = aWatchedText(null);
    const { push, adminUrl } = await aRouter(t, { store, apps });
    assert.equal((await push({ target: { everyone: true }, text: 'x' })).status, 503);
    assert.equal((await fetch(`${adminUrl}/readyz`)).status, 503);
    apps.set(appsText([anApp()]));
    assert.equal((await push({ target: { everyone: true }, text: 'x' })).status, 202);
    assert.equal((await fetch(`${adminUrl}/readyz`)).status, 200);
    apps.set('broken');
    assert.equal((await push({ target: { everyone: true }, text: 'x' })).status, 202);
    apps.set(appsText([], 'r2'));
    assert.equal((await push({ target: { everyone: true }, text: 'x' })).status, 401);
  });
});

describe('a live push', () => {
  test('to a topic goes to every gateway with a rising stamp, and is not stored', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    const { push, linked } = await aRouter(t, { store });
    await linked(1);
    const messages = Array.from({ length: 300 }, () => ({ target: { topic: 'news' }, class: 'live', text: 'x' }));
    const { body } = await push({ messages });
    assert.equal(body['accepted'], 300);
    await gateway.heardCount(300);
    const stamps = gateway.heard.map((frame) => (frame.kind === 'deliver-topic' ? frame.stamp : 0));
    assert.ok(stamps.every((stamp, i) => i === 0 || stamp > stamps[i - 1]!));
    assert.deepEqual(await store.heads([topic('news')]), [{ epoch: null, head: 0 }]);
  });

  test('passes while the store does not answer', async (t) => {
    const { store, failing } = await aStore(t);
    const gateway = await aGateway(t, store);
    const { push, linked } = await aRouter(t, { store });
    await linked(1);
    for (const operation of ['append', 'claimKey', 'leases', 'routes'] as const) failing.set(operation, 'before');
    const live = await push({ target: { topic: 'news' }, class: 'live', text: 'x' });
    assert.deepEqual([live.status, live.body['gateways']], [202, 1]);
    assert.equal((await push({ target: { topic: 'news' }, text: 'x' })).status, 503);
    await gateway.heardCount(1);
  });

  test('to a list, accounts or a group goes to whoever of them is online, with its conflation key first', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    for (const [name, account] of [
      ['d-1', 'ada'],
      ['d-2', 'ada'],
      ['d-3', 'bob'],
    ] as const)
      await gateway.connect(await aDevice(store, name, account), account);
    await aDevice(store, 'd-4', 'bob');
    await store.changeGroup(SHOP, 'g', { kind: 'create', owner: 'bob' as AccountId, members: [] });
    const { push, linked } = await aRouter(t, { store });
    await linked(1);
    const cases = [
      [{ devices: ['d-1', 'd-3', 'd-4', 'nobody'] }, 2],
      [{ accounts: ['ada', 'bob'] }, 3],
      [{ group: 'g' }, 1],
    ] as const;
    let heard = 0;
    for (const [target, recipients] of cases) {
      const { status, body } = await push({ target, class: 'live', text: 'x', conflationKey: 'typing' });
      assert.deepEqual([status, body['state'], body['recipients']], [202, 'sent', recipients]);
      await gateway.heardCount((heard += recipients));
    }
    assert.equal(conflationKeyOf(decodeRecord(gateway.heard[0]!.record).attributes), 'typing');
    assert.equal((await store.ledger(SHOP)).accepted, 0);
  });

  test('to a device goes to its gateway, or says that it is offline', async (t) => {
    const { store } = await aStore(t);
    const device = await aDevice(store, 'phone-1');
    const gateway = await aGateway(t, store);
    const { push, linked } = await aRouter(t, { store });
    await linked(1);
    const live = { target: { device }, class: 'live', text: 'x' };
    const off = await push(live);
    assert.deepEqual([off.status, off.body['state'], off.body['recipients']], [202, 'offline', 0]);
    await gateway.connect(device);
    const on = await push(live);
    assert.deepEqual([on.body['state'], on.body['recipients'], on.body['gateways']], ['sent', 1, 1]);
    await gateway.heardCount(1);
    assert.equal(gateway.heard[0]!.epoch, null);
  });
});

describe('hints', () => {
  test('follow a device that moved: not-here drops the cached route and the newer one is used', async (t) => {
    const { store, calls } = await aStore(t);
    const device = await aDevice(store, 'phone-1');
    const [from, to] = [await aGateway(t, store, { name: 'gw-0' }), await aGateway(t, store, { name: 'gw-1' })];
    const { push, linked } = await aRouter(t, { store, settings: { routeCacheMs: 600_000 } });
    await linked(2);
    await from.connect(device);
    await push({ target: { device }, text: 'one' });
    await push({ target: { device }, text: 'two' });
    await from.heardCount(2);
    assert.equal(calls.get('routes'), 1);
    await to.connect(device);
    from.answer = () => ({ outcome: 'not-here', sessions: 0 });
    await push({ target: { device }, text: 'three' });
    await to.heardCount(1);
    assert.deepEqual(
      to.heard.map((frame) => [frame.offset, frame.prev]),
      [[3, 2]],
    );
    await push({ target: { device }, text: 'four' });
    await to.heardCount(2);
    assert.equal(from.heard.length, 3);
  });

  test('are left to the stream when no life has the device', async (t) => {
    const { store } = await aStore(t);
    const device = await aDevice(store, 'phone-1');
    const gateway = await aGateway(t, store);
    gateway.answer = () => ({ outcome: 'not-here', sessions: 0 });
    const { push, linked, metric } = await aRouter(t, { store });
    await linked(1);
    await gateway.connect(device);
    assert.equal((await push({ target: { device }, text: 'x' })).status, 202);
    await gateway.heardCount(2); // once more along the route the store still names, then no more
    while ((await metric('pushcluster_router_hints_total{outcome="not-here"}')) < 1) await new Promise(setImmediate);
    assert.equal(gateway.heard.length, 2);
  });

  test('find a gateway that came after the leases were read', async (t) => {
    const { store } = await aStore(t);
    const device = await aDevice(store, 'phone-1');
    const { push } = await aRouter(t, { store, settings: { leasePollMs: 60_000 } });
    const gateway = await aGateway(t, store);
    await gateway.connect(device);
    const { body } = await push({ target: { device }, text: 'x' });
    assert.equal(body['online'], 1);
    await gateway.heardCount(1);
  });

  test('of a topic reach a gateway that came just after the publish', async (t) => {
    const { store } = await aStore(t);
    const { push } = await aRouter(t, { store });
    await push({ target: { topic: 'news' }, text: 'x' });
    const gateway = await aGateway(t, store);
    await gateway.heardCount(1);
    assert.equal(gateway.heard[0]!.offset, 1);
  });

  test('not yet answered when a link falls are sent again once it stands', async (t) => {
    const { store } = await aStore(t);
    const device = await aDevice(store, 'phone-1');
    const first = await aGateway(t, store, { bootId: 'boot-x' });
    first.answer = () => null;
    await first.connect(device);
    const { push, linked } = await aRouter(t, { store });
    await linked(1);
    await push({ target: { device }, text: 'x' });
    await first.heardCount(1);
    first.server.kill();
    const again = await aGateway(t, store, { bootId: 'boot-x', port: first.server.port });
    await again.heardCount(1);
    assert.equal(again.heard[0]!.offset, 1);
  });
});

describe('presence', () => {
  test('tells whether a device is online and where', async (t) => {
    const { store } = await aStore(t);
    const device = await aDevice(store, 'phone/1');
    await aDevice(store, 'tablet-1');
    const gateway = await aGateway(t, store);
    const { ask } = await aRouter(t, { store });
    await gateway.connect(device);
    const one = await ask('/v1/devices/phone%2F1');
    assert.deepEqual(
      [one.status, one.body['account'], one.body['online'], one.body['gateway']],
      [200, 'ada', true, 'gw-0'],
    );
    assert.match(String(one.body['since']), /^\d{4}-/);
    const all = await ask('/v1/accounts/ada/devices');
    const devices = all.body['devices'] as { device: string; online: boolean }[];
    assert.deepEqual(Object.fromEntries(devices.map((d) => [d.device, d.online])), {
      'phone/1': true,
      'tablet-1': false,
    });
    await store.dropLease(gateway.name, gateway.bootId);
    while ((await ask('/v1/devices/phone%2F1')).body['online'] === true) await new Promise(setImmediate);
  });
  test('of a device that never registered is 404; of an account without devices an empty list', async (t) => {
    const { store } = await aStore(t);
    const { ask } = await aRouter(t, { store });
    const none = await ask('/v1/devices/nobody');
    assert.deepEqual([none.status, none.body.error?.['code']], [404, 'device-unknown']);
    assert.deepEqual((await ask('/v1/accounts/nobody/devices')).body['devices'], []);
    assert.equal((await ask('/v1/devices/a%20b')).body.error?.['field'], 'device');
  });
});

test('apps do not see each other: a device of another app is unknown', async (t) => {
  const { store } = await aStore(t);
  await aDevice(store, 'phone-1');
  const apps = aWatchedText(appsText([anApp({ name: 'other' as AppId })]));
  const { push, ask } = await aRouter(t, { store, apps });
  assert.equal((await push({ target: { device: 'phone-1' }, text: 'x' })).status, 404);
  assert.equal((await ask('/v1/devices/phone-1')).status, 404);
});

test('stop lets what was asked end, leaves gateways in peace and its ports free', async (t) => {
  const { store } = await aStore(t);
  const gateway = await aGateway(t, store);
  const { role, push, linked, url } = await aRouter(t, { store });
  await linked(1);
  const last = push({ target: { topic: 'news' }, text: 'x' });
  assert.equal((await last).status, 202);
  await role.stop();
  await gateway.heardCount(1);
  await assert.rejects(fetch(url));
});

test('a bus that answers and does not take what it should counts as away, and /readyz says why', async (t) => {
  const { store } = await aStore(t);
  const inner = openInProcessBus({ clock: systemClock, log: silentLog });
  t.after(() => inner.close());
  let problem: string | null = null;
  const bus: Bus = {
    publish: (...args) => inner.publish(...args),
    consume: (options) => inner.consume(options),
    lag: (...args) => inner.lag(...args),
    health: () => ({ reachable: true, problem }),
    close: () => inner.close(),
  };
  const { adminUrl } = await aRouter(t, { store, bus });
  const seen = async (): Promise<unknown[]> => {
    const ready = (await (await fetch(`${adminUrl}/readyz`)).json()) as Record<string, unknown>;
    return [ready['bus'], ready['busProblem']];
  };
  assert.deepEqual(await seen(), ['reachable', null]);
  problem = 'a topic was not made';
  assert.deepEqual(await seen(), ['away', 'a topic was not made']);
});
