import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AccountId, DeviceId, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { aList, eventually, namesOf, someDevices } from '../api/api-fixtures.ts';
import { systemClock } from '../../runtime/clock.ts';
import { SHOP, aDevice, aGateway, aRouter, aStore } from '../fixtures.ts';

const stream = (device: DeviceId) => ({ app: SHOP, kind: 'device', device, lane: 'normal' }) as const;
const asAccounts = (names: readonly string[]) => names as readonly AccountId[];
type Ask = Awaited<ReturnType<typeof aRouter>>['ask'];
const expanded = (ask: Ask, id: unknown) =>
  eventually(async () => {
    const { body } = await ask(`/v1/messages/${String(id)}`);
    return body['state'] === 'expanded' && body;
  });

describe('a list', () => {
  test('is accepted with its number of names, then brought to each recipient that there is, with its place in the stream', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    const devices = await someDevices(store, 'd', 7);
    for (const device of devices.slice(0, 5)) await gateway.connect(device, device);
    const { push, ask, linked } = await aRouter(t, { store });
    await linked(1);
    const names = [...devices, ...devices, 'stranger'];
    const { status, body } = await push({ target: { devices: names }, text: 'sale', lane: 'high' });
    assert.deepEqual([status, body['state'], body['recipients'], body['duplicate']], [202, 'accepted', 8, false]);
    const row = await expanded(ask, body['id']);
    assert.deepEqual(row['target'], { devices: 8 });
    assert.deepEqual(row['expansion'], { chunks: 1, done: 1 });
    const { waiting, unknown } = row['deliveries'] as Record<string, number>;
    assert.deepEqual([waiting, unknown], [7, 1]);
    const rows = await eventually(async () => {
      const heard = gateway.heardMany.flatMap((frame) => frame.rows);
      return heard.length >= 5 && heard;
    });
    assert.deepEqual(
      rows.map(({ device, offset, prev }) => [device, offset, prev]),
      devices.slice(0, 5).map((d) => [d, 1, 0]),
    );
    const [{ record, lane }] = gateway.heardMany as [(typeof gateway.heardMany)[number]];
    assert.deepEqual([lane, Buffer.from(decodeRecord(record).body).toString()], ['high', 'sale']);
  });

  test('is told to gateways with its body, also where the streams have it elsewhere', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    const devices = await someDevices(store, 'd', 2);
    for (const device of devices) await gateway.connect(device, device);
    const { push, linked } = await aRouter(t, { store });
    await linked(1);
    const text = 'x'.repeat(5000);
    await push({ target: { devices }, text });
    const frame = await eventually(async () => gateway.heardMany[0]);
    assert.equal(Buffer.from(decodeRecord(frame.record).body).toString(), text);
    const [read] = await store.read([{ stream: stream(devices[0]!), after: null, entriesMax: 1 }]);
    assert.equal(decodeRecord(read!.entries[0]!.record).bodyElsewhere, true);
  });

  test('of accounts goes to all their devices, and says so of each', async (t) => {
    const { store } = await aStore(t);
    for (const device of ['phone-1', 'tablet-1']) await aDevice(store, device, 'ada');
    await aDevice(store, 'phone-2', 'bob');
    const { push, ask } = await aRouter(t, { store });
    const target = { accounts: ['ada', 'bob', 'nobody'], satisfiedBy: 'any' };
    const { body } = await push({ target, text: 'terms' });
    assert.equal(body['recipients'], 3);
    await expanded(ask, body['id']);
    const page = await ask(`/v1/messages/${String(body['id'])}/deliveries`);
    const rows = page.body['deliveries'] as { device: string; account: string; state: string }[];
    assert.deepEqual(rows.map((row) => `${row.account} ${row.device} ${row.state}`).toSorted(), [
      'ada phone-1 waiting',
      'ada tablet-1 waiting',
      'bob phone-2 waiting',
    ]);
    const [read] = await store.read([{ stream: stream('phone-2' as DeviceId), after: null, entriesMax: 1 }]);
    assert.equal(decodeRecord(read!.entries[0]!.record).satisfiedByAny, true);
  });

  test('of a group goes to the members it has when it is accepted', async (t) => {
    const { store } = await aStore(t);
    const accounts = await someDevices(store, 'd', 1203);
    await store.changeGroup(SHOP, 'all', { kind: 'create', owner: 'd-0' as AccountId, members: asAccounts(accounts) });
    const { push, ask } = await aRouter(t, { store });
    const { body } = await push({ target: { group: 'all' }, text: 'hi' });
    assert.equal(body['recipients'], 1203);
    await store.changeGroup(SHOP, 'all', { kind: 'delete' });
    const row = await expanded(ask, body['id']);
    assert.deepEqual(row['expansion'], { chunks: 3, done: 3 });
    assert.equal((row['deliveries'] as { waiting: number }).waiting, 1203);
    assert.equal((await push({ target: { group: 'all' }, text: 'hi' })).body.error?.['code'], 'group-unknown');
  });
});

describe('R10: a list is accepted by its key, its chunks, its row and its job, in this order', () => {
  const list = { target: { devices: namesOf('d', 3) }, text: 'x', idempotencyKey: 'k' };
  test('a retry after any lost answer gives the same id and each recipient one entry', async (t) => {
    for (const operation of ['claimKey', 'putMessages', 'putJobs'] as const)
      for (const how of ['before', 'after'] as const) {
        const { store, failing } = await aStore(t);
        const devices = await someDevices(store, 'd', 3);
        const { push, ask } = await aRouter(t, { store });
        failing.set(operation, how);
        const lost = await push(list);
        assert.deepEqual([lost.status, lost.body.error?.['code']], [503, 'store-unavailable'], `${operation} ${how}`);
        failing.clear();
        const again = await push(list);
        assert.deepEqual([again.status, again.body['recipients']], [202, 3]);
        await expanded(ask, again.body['id']);
        const third = await push(list);
        assert.deepEqual([third.body['id'], third.body['duplicate']], [again.body['id'], true]);
        const heads = await store.heads(devices.map(stream));
        assert.ok(
          heads.every(({ head }) => head === 1),
          `${operation} ${how}`,
        );
      }
  });

  test('a list whose job was never stored is not begun, and nothing of it is lost by the retry', async (t) => {
    const { store, failing } = await aStore(t);
    const devices = await someDevices(store, 'd', 3);
    const { push, ask } = await aRouter(t, { store });
    failing.set('putJobs', 'before');
    await push(list);
    failing.clear();
    assert.equal(await store.countJobs(), 0);
    assert.ok((await store.heads(devices.map(stream))).every(({ head }) => head === 0));
    const again = await push(list);
    assert.deepEqual(again.body['duplicate'], true);
    await expanded(ask, again.body['id']);
    assert.ok((await store.heads(devices.map(stream))).every(({ head }) => head === 1));
  });

  test('a group whose members changed before the retry leaves out nobody who is in it then', async (t) => {
    for (const change of ['leave', 'join'] as const) {
      const { store, failing } = await aStore(t);
      const devices = await someDevices(store, 'd', 502); // by name: d-0 first, d-99 last
      const [first, , ...others] = devices.toSorted();
      const members = change === 'leave' ? [first!, ...others.slice(0, 500)] : others.slice(0, 500);
      await store.changeGroup(SHOP, 'g', { kind: 'create', owner: 'd-0' as AccountId, members: asAccounts(members) });
      const { push, ask } = await aRouter(t, { store });
      const message = { target: { group: 'g' }, text: 'hi', idempotencyKey: 'k' };
      failing.set('putMessages', 'after');
      assert.equal((await push(message)).status, 503);
      failing.clear();
      await store.changeGroup(SHOP, 'g', { kind: change, account: first as unknown as AccountId });
      const again = await push(message);
      const row = await expanded(ask, again.body['id']);
      const heads = await store.heads(others.slice(0, 500).map(stream));
      assert.deepEqual(
        others.slice(0, 500).filter((_, i) => heads[i]!.head !== 1),
        [],
        change,
      );
      assert.deepEqual([row['target'], again.body['recipients']], [{ group: 'g' }, 501], change);
      const last = await store.heads([stream(first!)]);
      assert.equal(last[0]!.head, 1, 'it was in the group when the message came first, or is now');
    }
  });

  test('another list under the key is refused', async (t) => {
    const { store } = await aStore(t);
    const { push } = await aRouter(t, { store });
    await push(list);
    const other = await push({ ...list, target: { devices: namesOf('d', 4) } });
    assert.equal(other.body.error?.['code'], 'idempotency-conflict');
  });
});

test('R2: an append whose answer was lost is repeated under the same id, by a list as by one message', async (t) => {
  const { store, failing, calls } = await aStore(t);
  const devices = await someDevices(store, 'd', 3);
  const { push, ask } = await aRouter(t, { store });
  failing.set('append', 'after');
  const one = { target: { device: 'd-0' }, text: 'one', idempotencyKey: 'k' };
  assert.equal((await push(one)).status, 503);
  const { body } = await push({ target: { devices }, text: 'list' });
  await eventually(async () => (calls.get('append') ?? 0) >= 2);
  failing.clear();
  assert.equal((await push(one)).status, 202);
  await expanded(ask, body['id']);
  const reads = await store.read(devices.map((device) => ({ stream: stream(device), after: null, entriesMax: 10 })));
  assert.deepEqual(
    reads.map(({ entries }) => entries.length),
    [2, 1, 1],
  );
});

test('100,000 names are accepted in one request, one more is refused, and so is a request past 8 MiB', async (t) => {
  const { store } = await aStore(t);
  const { push, ask } = await aRouter(t, { store });
  const names = namesOf('d', LIMITS.recipientsMax + 1);
  const over = await push({ target: { devices: names }, text: 'x' });
  assert.deepEqual([over.status, over.body.error?.['field']], [400, 'target.devices']);
  const { status, body } = await push({ target: { devices: names.slice(1) }, text: 'x' });
  assert.deepEqual([status, body['recipients']], [202, LIMITS.recipientsMax]);
  const [row] = await store.messages(SHOP, [body['id'] as MessageId]);
  assert.equal(row?.chunks, LIMITS.recipientsMax / LIMITS.chunkRecipientsMax);
  const past = await push(
    JSON.stringify({ target: { devices: ['a'] }, text: 'x' }).padEnd(LIMITS.pushRequestBytesMax + 1),
  );
  assert.deepEqual([past.status, past.body.error?.['code']], [413, 'too-large']);
  const elsewhere = await ask('/v1/groups/g/members', {
    method: 'POST',
    body: '{}'.padEnd(LIMITS.requestBytesMax + 1),
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(elsewhere.status, 413);
});

test('while a list is expanded in spans, what a stream does not know is pending in the chunks that are not done, whichever those are', async (t) => {
  const { store } = await aStore(t);
  const row = await aList(store, systemClock, { names: ['a', 'b', 'c', 'd'], chunkNames: 1 });
  await store.changeMessage(SHOP, row.id, { state: 'expanding', done: { from: 2, to: 3 }, expect: ['accepted'] });
  const { ask } = await aRouter(t, { store });
  const { body } = await ask(`/v1/messages/${row.id}`);
  assert.deepEqual([body['state'], body['expansion']], ['expanding', { chunks: 4, done: 1 }]);
  const page = async (cursor: string) =>
    (await ask(`/v1/messages/${row.id}/deliveries?cursor=${cursor}`)).body['deliveries'] as { state: string }[];
  const states = await Promise.all(['0.0', '1.0', '2.0', '3.0'].map(page));
  assert.deepEqual(
    states.map(([delivery]) => delivery!.state),
    ['pending', 'pending', 'unknown', 'pending'],
  );
});

test('deliveries are paged in the order of the names, over the ends of chunks', async (t) => {
  const { store } = await aStore(t);
  const devices = await someDevices(store, 'd', 1100);
  const { push, ask } = await aRouter(t, { store });
  const { body } = await push({ target: { devices }, text: 'x' });
  await expanded(ask, body['id']);
  const seen: string[] = [];
  let next: unknown = '';
  do {
    const cursor = next === '' ? '' : `&cursor=${String(next)}`;
    const page = await ask(`/v1/messages/${String(body['id'])}/deliveries?limit=300${cursor}`);
    assert.equal(page.status, 200, JSON.stringify(page.body));
    seen.push(...(page.body['deliveries'] as { device: string }[]).map(({ device }) => device));
    next = page.body['next'];
  } while (next !== null);
  assert.deepEqual(seen, devices);
  const odd = await ask(`/v1/messages/${String(body['id'])}/deliveries?cursor=x`);
  assert.deepEqual([odd.status, odd.body.error?.['field']], [400, 'cursor']);
});
