import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { openInProcessBus } from '../../bus/in-process.ts';
import { BUS_TOPICS, BusUnavailableError } from '../../bus/port.ts';
import type { Bus, ReceivedRecord } from '../../bus/port.ts';
import { silentLog } from '../../runtime/log.ts';
import { World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';
import { turns, until } from '../test-client.ts';

let world: World;
let inner: Bus;
let dir: string;
let got: ReceivedRecord[];
/** The bus as the gateways see it: it can be away, known or not, or hang. */
let away: boolean;
let known: boolean;
let problem: string | null;
let hang: Promise<void> | null;
let publishes: number;
let bus: Bus;

beforeEach(async () => {
  world = new World();
  dir = mkdtempSync(join(tmpdir(), 'upstream-'));
  got = [];
  [away, known, problem, hang, publishes] = [false, false, null, null, 0];
  inner = openInProcessBus({ clock: world.clock, log: silentLog, partitions: 1 });
  await inner.consume({
    topics: [BUS_TOPICS.upstream],
    group: 'test',
    handler: async (batch) => {
      got.push(...batch);
    },
  });
  bus = {
    publish: async (records, durability) => {
      publishes++;
      await hang;
      if (away) throw new BusUnavailableError('away');
      await inner.publish(records, durability);
    },
    health: () => ({ reachable: !(away && known), problem }),
    consume: (options) => inner.consume(options),
    lag: (group, topic) => inner.lag(group, topic),
    close: () => inner.close(),
  };
});
afterEach(async () => {
  await inner.close();
  await world.end();
  rmSync(dir, { recursive: true });
});

let sent = 0;
function send(client: TestClient, key: string, more: { order?: string; body?: unknown } = {}): number {
  const id = ++sent;
  client.send({ type: 'upstream', id, kind: 'order', key, body: key, ...more });
  return id;
}
const keys = (): (string | undefined)[] => got.map(({ headers }) => headers['key']);
const buffered = (bytesMax = 67_108_864): Promise<TestGateway> =>
  world.gateway({ upstreamBufferDir: dir, upstreamBufferBytesMax: bytesMax }, { bus });

describe('an upstream frame', () => {
  test('reaches the bus in order with who sent it, and is answered taken', async () => {
    const gateway = await world.gateway({}, { bus });
    const client = await gateway.connect({ token: await world.device('d') });
    const bodies = [1, 2, 3].map((n) => ({ n, t: 'ä' }));
    for (const body of bodies) send(client, `k${body.n}`, { body });
    for (const n of [2, 1, 0]) assert.equal((await client.next('taken')).id, sent - n);
    await until('the handler had them', () => got.length === 3);
    assert.deepEqual(
      got.map(({ value }) => JSON.parse(Buffer.from(value).toString()) as unknown),
      bodies,
    );
    const { headers, key } = got[0]!;
    assert.equal(key, 'shop/d');
    const { app, account, device, kind, key: dedup, gateway: at, traceId } = headers;
    assert.deepEqual([app, account, device, kind, dedup, at], ['shop', 'ann', 'd', 'order', 'k1', 'gateway-0']);
    assert.match(traceId!, /^[0-9a-f]{32}$/);
  });

  test('is keyed by its order key where it has one', async () => {
    const gateway = await world.gateway({}, { bus });
    const client = await gateway.connect({ token: await world.device('d') });
    send(client, 'k', { order: 'basket-7' });
    await client.next('taken');
    await until('the handler had it', () => got.length === 1);
    assert.equal(got[0]!.key, 'shop/basket-7');
  });

  test('that was taken is answered again without reaching the bus twice, also over another connection', async () => {
    const gateway = await world.gateway({}, { bus });
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    send(first, 'k');
    await first.next('taken');
    const second = await gateway.connect({ token });
    const other = await gateway.connect({ token: await world.device('e') });
    assert.equal((send(second, 'k'), await second.next('taken')).id, sent);
    assert.equal((send(other, 'k'), await other.next('taken')).id, sent);
    await until('the handler had both', () => got.length === 2);
    assert.deepEqual(
      got.map(({ headers }) => headers['device']),
      ['d', 'e'],
    );
  });

  test('that comes again before it was taken is passed on once, and everyone is answered', async () => {
    const gateway = await world.gateway({}, { bus });
    const token = await world.device('d');
    const first = await gateway.connect({ token });
    const gate = Promise.withResolvers<void>();
    hang = gate.promise;
    const ids = [send(first, 'k'), send(first, 'k')];
    await until('the bus was asked', () => publishes === 1);
    ids.push(send(first, 'k'));
    await turns();
    gate.resolve();
    for (const id of ids) assert.equal((await first.next('taken')).id, id);
    await turns();
    assert.deepEqual(keys(), ['k']);
  });

  test('is answered upstream-unavailable with a time to come back when neither bus nor file takes it', async () => {
    away = true;
    const gateway = await world.gateway({}, { bus });
    const client = await gateway.connect({ token: await world.device('d') });
    send(client, 'k');
    const { id, code, retryAfterMs } = await client.next('error');
    assert.deepEqual([id, code, retryAfterMs], [sent, 'upstream-unavailable', 1500]);
    away = false;
    send(client, 'k');
    await client.next('taken');
  });
});

describe('while the bus is away', () => {
  for (const isKnown of [false, true])
    test(`messages are taken into the file and reach the bus in order when it is back, ${isKnown ? 'without asking it each time' : 'found out by asking it'}`, async () => {
      [away, known] = [true, isKnown];
      const gateway = await buffered();
      const client = await gateway.connect({ token: await world.device('d') });
      for (const key of ['a', 'b']) {
        send(client, key);
        await client.next('taken');
      }
      assert.equal(publishes, isKnown ? 0 : 1);
      away = false;
      send(client, 'c'); // behind the others, though the bus is there
      await client.next('taken');
      assert.deepEqual(keys(), []);
      await world.pass(1000);
      await until('the bus had them', () => got.length === 3);
      send(client, 'd');
      await client.next('taken');
      await until('the bus had the last', () => got.length === 4);
      assert.deepEqual(keys(), ['a', 'b', 'c', 'd']);
    });

  test('what the file holds survives the gateway, and goes to the bus from its next life', async () => {
    away = true;
    const gateway = await buffered();
    const client = await gateway.connect({ token: await world.device('d') });
    send(client, 'a');
    await client.next('taken');
    gateway.kill();
    const [name] = readdirSync(dir);
    assert.equal(name, 'gateway-0');
    away = false;
    // The next life has another name in this world: its folder is handed over.
    renameSync(join(dir, 'gateway-0'), join(dir, 'gateway-1'));
    await buffered();
    await until('the bus had it', () => got.length === 1);
    assert.deepEqual(keys(), ['a']);
  });

  test('a file that is full refuses with a time to come back, and what it had taken still arrives', async () => {
    [away, known] = [true, true];
    const gateway = await buffered(65_536);
    const client = await gateway.connect({ token: await world.device('d') });
    const body = 'x'.repeat(30_000);
    for (const key of ['a', 'b']) {
      send(client, key, { body });
      await client.next('taken');
    }
    send(client, 'c', { body });
    const { code, retryAfterMs } = await client.next('error');
    assert.deepEqual([code, retryAfterMs], ['upstream-unavailable', 1500]);
    away = false;
    await world.pass(1100);
    await until('the bus had them', () => got.length === 2);
    assert.deepEqual(keys(), ['a', 'b']);
  });
});

test('a bus that answers and does not take what it should counts as away, and the gateway says why', async () => {
  const gateway = await world.gateway({}, { bus });
  const seen = async (): Promise<unknown[]> => {
    const ready = (await (await gateway.admin('GET', '/readyz')).json()) as Record<string, unknown>;
    const metrics = await (await gateway.admin('GET', '/metrics')).text();
    const gauge = /^pushcluster_gateway_bus_reachable\S* (\d)$/m.exec(metrics)?.[1];
    return [ready['ready'], (await gateway.state()).bus, ready['bus'], ready['busProblem'], gauge];
  };
  assert.deepEqual(await seen(), [true, 'reachable', 'reachable', null, '1']);
  problem = 'a topic was not made';
  assert.deepEqual(await seen(), [true, 'away', 'away', 'a topic was not made', '0']);
});
