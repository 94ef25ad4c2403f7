import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { DeviceId, Epoch, MessageId } from '../../protocol/ids.ts';
import type { DeliverManyRow } from '../../protocol/link.ts';
import { RECORD_DEFAULTS, encodeRecord } from '../../protocol/record.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { replyOf } from '../doors/client-door.ts';
import { newRouterCounts } from '../counts.ts';
import { LINK_KEY, SHOP, aDevice, aGateway, aStore } from '../fixtures.ts';
import type { FakeGateway } from '../fixtures.ts';
import { UNANSWERED_MAX } from './gateway-link.ts';
import { Hints } from './hints.ts';
import type { OfflineDelivery } from './hints.ts';

const NOTHING = new Uint8Array();
const ID = '01KAZ00000000000000000000A' as MessageId;

async function aHints(t: TestContext, gatewayNames: readonly string[], clock: Clock = systemClock) {
  const { store, failing, calls } = await aStore(t);
  const gateways: FakeGateway[] = [];
  for (const name of gatewayNames) gateways.push(await aGateway(t, store, { name }));
  const counts = newRouterCounts();
  const foundOffline: (OfflineDelivery & { readonly devices: readonly DeviceId[] })[] = [];
  const hints = new Hints({
    store,
    leasePollMs: 50,
    routeCacheMs: 60_000,
    routeCacheRowsMax: 10_000,
    clock,
    log: silentLog,
    counts,
    bus: null,
    link: {
      name: 'router-1',
      keys: () => [LINK_KEY],
      random: () => 0,
      onCommand: async ({ seq }) => replyOf(seq, 404, {}),
    },
    onRoom: () => {},
    onOffline: (of, devices) => void foundOffline.push({ ...of, devices }),
  });
  t.after(() => hints.gateways.stop('kill'));
  await hints.gateways.start();
  while ([...hints.gateways.all()].some((link) => !link.isUp)) await new Promise(setImmediate);
  const answered = async (count: number): Promise<void> => {
    const { taken, slow } = counts.hints;
    while (counts.hints.taken + counts.hints.slow + counts.hints['not-here'] < count) await new Promise(setImmediate);
    assert.ok(taken + slow <= count);
  };
  return { hints, gateways, counts, store, failing, calls, answered, foundOffline };
}

async function devicesAt(store: Parameters<typeof aDevice>[0], gateway: FakeGateway | null, names: readonly string[]) {
  const devices: DeviceId[] = [];
  for (const name of names) {
    const device = await aDevice(store, name, name);
    await gateway?.connect(device, name);
    devices.push(device);
  }
  return devices;
}
const rowsOf = (devices: readonly DeviceId[]): DeliverManyRow[] =>
  devices.map((device, i) => ({ device, epoch: 'e1' as Epoch, offset: i + 1, prev: i }));
const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
const manyOf = (rows: readonly DeliverManyRow[]) =>
  ({ app: SHOP, lane: 'normal', record: Buffer.from('record'), rows }) as const;
const heardBy = (gateway: FakeGateway): readonly string[] =>
  gateway.heardMany.flatMap(({ rows }) => rows.map(({ device }) => device));

test('a message for many devices goes to each gateway once, after one trip for routes; offline ones are named', async (t) => {
  const { hints, gateways, counts, store, calls, answered } = await aHints(t, ['gw-0', 'gw-1']);
  const a = await devicesAt(store, gateways[0]!, names('a', 30));
  const b = await devicesAt(store, gateways[1]!, names('b', 20));
  const off = await devicesAt(store, null, names('off', 5));
  const rows = rowsOf([...a, ...b, ...off]);
  const before = calls.get('routes') ?? 0;
  assert.deepEqual(await hints.tellMany(manyOf(rows)), { online: 50, unknown: 0, offline: off });
  assert.equal((calls.get('routes') ?? 0) - before, 1);
  await answered(50);
  assert.deepEqual([heardBy(gateways[0]!), heardBy(gateways[1]!)], [a, b]);
  assert.deepEqual(
    gateways.map(({ heardMany }) => heardMany.length),
    [1, 1],
  );
  assert.deepEqual([counts.hints.taken, counts.hints.offline], [50, 5]);
  await hints.tellMany(manyOf(rowsOf([...a, ...b])));
  assert.equal((calls.get('routes') ?? 0) - before, 1, 'the second time the cache knows');
});

test('rows that are not here go along the newer route once, then are left to the stream', async (t) => {
  const { hints, gateways, counts, store, answered } = await aHints(t, ['gw-0', 'gw-1']);
  const devices = await devicesAt(store, gateways[0]!, names('d', 4));
  await hints.tellMany(manyOf(rowsOf(devices)));
  await answered(4);
  for (const i of [1, 3]) await gateways[1]!.connect(devices[i]!, devices[i]);
  gateways[0]!.answerMany = () => ({ notHere: [1, 3, 77], slow: [0] });
  gateways[1]!.answerMany = () => ({ notHere: [1], slow: [] });
  await hints.tellMany(manyOf(rowsOf(devices)));
  await answered(8);
  assert.deepEqual(heardBy(gateways[1]!), [devices[1], devices[3]]);
  assert.deepEqual(
    [counts.hints.taken, counts.hints.slow, counts.hints.moved, counts.hints['not-here']],
    [4 + 1 + 1, 1, 2, 1],
  );
});

test('devices that left while their routes were remembered are told to whoever sent the message', async (t) => {
  const { hints, gateways, store, answered, foundOffline } = await aHints(t, ['gw-0']);
  const devices = await devicesAt(store, gateways[0]!, names('d', 3));
  const record = encodeRecord({
    ...RECORD_DEFAULTS,
    id: ID,
    publishedAtMs: 1,
    expiresAtMs: 0,
    content: 'text',
    attributes: NOTHING,
    body: NOTHING,
  });
  await hints.tellMany({ ...manyOf(rowsOf(devices)), record });
  await answered(3);
  const { bootId } = gateways[0]!;
  await store.closeSessions([0, 2].map((i) => ({ app: SHOP, device: devices[i]!, generation: 1, bootId })));
  gateways[0]!.answerMany = () => ({ notHere: [0, 2], slow: [] });
  gateways[0]!.answer = () => ({ outcome: 'not-here', sessions: 0 });
  const { offline } = await hints.tellMany({ ...manyOf(rowsOf(devices)), record });
  assert.deepEqual(offline, [], 'as far as is known they are all there');
  while (foundOffline.length < 1) await new Promise(setImmediate);
  await store.closeSessions([{ app: SHOP, device: devices[1]!, generation: 1, bootId }]);
  const [row] = rowsOf([devices[1]!]);
  await hints.tellDevice({ kind: 'deliver-device', app: SHOP, lane: 'normal', record, ...row! });
  while (foundOffline.length < 2) await new Promise(setImmediate);
  assert.deepEqual(foundOffline, [
    { app: SHOP, id: ID, lane: 'normal', devices: [devices[0], devices[2]] },
    { app: SHOP, id: ID, lane: 'normal', devices: [devices[1]] },
  ]);
});

test('while the store is away everyone counts as online: every gateway is told, and not-here is the end of it', async (t) => {
  const { hints, gateways, counts, store, failing, calls } = await aHints(t, ['gw-0', 'gw-1']);
  const devices = await devicesAt(store, null, names('d', 3));
  failing.set('routes', 'before');
  gateways[0]!.answerMany = () => ({ notHere: [0, 1, 2], slow: [] });
  gateways[0]!.answer = () => ({ outcome: 'not-here', sessions: 0 });
  assert.deepEqual(await hints.tellMany(manyOf(rowsOf(devices))), { online: 0, unknown: 3, offline: [] });
  const one = {
    kind: 'deliver-device',
    app: SHOP,
    device: devices[0]!,
    lane: 'normal',
    record: Buffer.from('r'),
  } as const;
  const live = { epoch: null, offset: 0, prev: 0, stamp: 1 } as const;
  assert.equal(await hints.tellDevice({ ...one, epoch: 'e1' as Epoch, offset: 1, prev: 0 }), 'unknown');
  assert.equal(await hints.sendLive({ ...one, ...live }), 'unknown');
  for (const gateway of gateways) await gateway.heardCount(2);
  while (counts.hints['not-here'] < 5 || counts.hints.taken < 5) await new Promise(setImmediate);
  for (const gateway of gateways) assert.deepEqual(heardBy(gateway), devices);
  assert.deepEqual(
    gateways.map(({ heard, bootId }) => heard.every((f) => f.kind === 'deliver-device' && f.bootId === bootId)),
    [true, true],
  );
  assert.equal(calls.get('routes'), 3, 'nobody looks again after not-here');
});

test('rows for a gateway without room wait for it instead of being dropped', async (t) => {
  const { hints, gateways, counts, store, answered } = await aHints(t, ['gw-0']);
  const devices = await devicesAt(store, gateways[0]!, names('d', 500));
  const held: { seq: number }[] = [];
  gateways[0]!.answerMany = (frame) => {
    held.push(frame);
    return null;
  };
  const rounds = UNANSWERED_MAX / 500;
  for (let i = 0; i < rounds; i++) await hints.tellMany(manyOf(rowsOf(devices)));
  let done = false;
  const waiting = hints.tellMany(manyOf(rowsOf(devices))).then(() => (done = true));
  while (held.length < rounds) await new Promise(setImmediate);
  assert.equal(done, false);
  gateways[0]!.server.peers()[0]!.send({ kind: 'answer-many', seq: held[0]!.seq, notHere: [], slow: [] });
  await waiting;
  assert.equal(counts.hints.dropped, 0);
  await answered(500);
});

test('a question goes to every gateway; those that stay silent are named', async (t) => {
  const { hints, gateways } = await aHints(t, ['gw-0', 'gw-1', 'gw-2']);
  gateways[0]!.reply = ({ op, app }) => ({ status: 200, body: Buffer.from(`${op} of ${app}`) });
  gateways[1]!.reply = () => ({ status: 404, body: Buffer.from('{}') });
  const { replies, silent } = await hints.askGateways('trace', { app: SHOP, body: Buffer.from('{}') });
  assert.deepEqual(
    replies.map(({ gateway, status, body }) => [gateway, status, Buffer.from(body).toString()]),
    [
      ['gw-0', 200, 'trace of shop'],
      ['gw-1', 404, '{}'],
    ],
  );
  assert.deepEqual(silent, ['gw-2']);
});
