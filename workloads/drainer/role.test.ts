import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { RECORD_DEFAULTS, decodeRecord, encodeRecord } from '../protocol/record.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { Store } from '../store/port.ts';
import { FEED_BYTES_MAX, feedOf } from './feeds.ts';
import { withOperation } from '../store/with-operation.ts';
import { World, until } from './fixtures.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

describe('a drainer', () => {
  test('links itself to every gateway with a lease, also one that comes later, and hands on the page asked for', async () => {
    const first = await world.gateway('gateway-0');
    await world.drainer();
    await first.linked();
    const second = await world.gateway('gateway-1');
    await world.pass(600);
    await second.linked();
    await world.device('d');
    await world.append('d', 5);
    const feed = await second.feed(second.ask('d', { entriesMax: 3 }));
    assert.deepEqual([feed.from, feed.head, feed.complete, feed.notRecovered], [0, 5, false, 'no-position']);
    assert.deepEqual(
      feed.entries.map(({ offset, prev }) => [offset, prev]),
      [
        [1, 0],
        [2, 1],
        [3, 2],
      ],
    );
    const rest = await second.feed(second.ask('d', { epoch: feed.epoch, offset: 3 }));
    assert.deepEqual([rest.complete, rest.entries.length], [true, 2]);
  });

  test('says why a position could not be continued', async () => {
    const gateway = await world.gateway();
    await world.drainer();
    await gateway.linked();
    await world.device('d');
    await world.append('d', 2);
    const feed = await gateway.feed(gateway.ask('d', { epoch: 'other' as never, offset: 9 }));
    assert.deepEqual([feed.notRecovered, feed.entries.length], ['epoch-unknown', 2]);
  });

  test('fills in bodies that are kept once with their message; one that is gone stays without', async () => {
    const gateway = await world.gateway();
    const bodies: Store['bodies'] = (_app, ids) =>
      Promise.resolve(
        ids.map((id) =>
          id === known
            ? encodeRecord({
                ...RECORD_DEFAULTS,
                id,
                publishedAtMs: 1,
                expiresAtMs: 0,
                content: 'text',
                attributes: new Uint8Array(0),
                body: Buffer.from('the body'),
              })
            : null,
        ),
      );
    const known = world.id();
    await world.drainer({}, withOperation(world.store, { bodies }));
    await gateway.linked();
    await world.device('d');
    const elsewhere = { bodyElsewhere: true, body: new Uint8Array(0) };
    await world.append('d', 1, { ...elsewhere, id: known });
    await world.append('d', 1, elsewhere);
    await world.append('d', 1);
    const { entries } = await gateway.feed(gateway.ask('d'));
    assert.deepEqual(
      entries.map(({ record }) => {
        const { body, bodyElsewhere } = decodeRecord(record);
        return [Buffer.from(body).toString(), bodyElsewhere];
      }),
      [
        ['the body', false],
        ['', true],
        ['hello', false],
      ],
    );
  });

  test('keeps its budget, goes round the devices, and tells the rest when to come back', async () => {
    const gateway = await world.gateway();
    await world.drainer({ entriesPerSecond: 100, waitMaxMs: 1000 });
    await gateway.linked();
    const devices = Array.from({ length: 8 }, (_, i) => `d${i}`);
    for (const device of devices) {
      await world.device(device);
      await world.append(device, 20);
    }
    const asked = devices.map((device) => gateway.ask(device, { entriesMax: 20 }));
    await until('somebody was answered', () => gateway.answers.size > 0);
    await world.pass(400);
    const later = asked.map((seq) => gateway.answers.get(seq)).filter((answer) => answer?.kind === 'feed-later');
    assert.ok(later.length > 0, 'nobody was put off');
    for (const answer of later) assert.ok(answer.retryAfterMs >= 500, `${answer.retryAfterMs}`);
    let fed = 0;
    for (let second = 1; second <= 3; second++) {
      await world.pass(1000);
      fed = [...gateway.answers.values()].reduce((n, a) => n + (a.kind === 'feed' ? a.entries.length : 0), 0);
      assert.ok(fed <= 100 * (second + 0.4) + 25 + 20, `${fed} entries in ${second}.4 s`);
    }
    assert.equal(fed, (8 - later.length) * 20);
  });

  test('puts gateways off while the store is away', async () => {
    const gateway = await world.gateway();
    let away = false;
    const read: Store['read'] = (reads) =>
      away ? Promise.reject(new StoreUnavailableError('away')) : world.store.read(reads);
    await world.drainer({}, withOperation(world.store, { read }));
    await gateway.linked();
    await world.device('d');
    away = true;
    const answer = await gateway.answer(gateway.ask('d'));
    assert.deepEqual([answer.kind, 'retryAfterMs' in answer && answer.retryAfterMs], ['feed-later', 1500]);
    away = false;
    assert.equal((await gateway.answer(gateway.ask('d'))).kind, 'feed');
  });

  test('shares the budget with the others that have a lease, and is ready with details and metrics', async () => {
    await world.drainer();
    const second = await world.drainer();
    await world.pass(2100);
    const get = async (path: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${second.ports['admin']}${path}`, { headers: { connection: 'close' } })).text();
    assert.match(await get('/metrics'), /pushcluster_drainer_rate 10000\n/);
    const ready = JSON.parse(await get('/readyz')) as Record<string, unknown>;
    assert.deepEqual([ready['ready'], ready['store'], ready['drainers']], [true, 'reachable', 2]);
    await second.stop();
    assert.equal((await world.store.roleLeases('drainer')).length, 1);
  });
});

test('a page is cut where its bodies grow too large for a frame, and says that more is there', () => {
  const record = new Uint8Array(FEED_BYTES_MAX / 4);
  const entries = (count: number) => Array.from({ length: count }, (_, i) => ({ offset: i + 1, prev: i, record }));
  const outcome = { epoch: null, notRecovered: null, from: 0, head: 9, complete: true };
  const four = feedOf(1, { ...outcome, entries: entries(4) });
  assert.deepEqual([four.feed.entries.length, four.feed.complete, four.bytes], [4, true, FEED_BYTES_MAX]);
  const five = feedOf(1, { ...outcome, entries: entries(5) });
  assert.deepEqual([five.feed.entries.length, five.feed.complete], [4, false]);
  const huge = feedOf(1, { ...outcome, entries: [{ offset: 1, prev: 0, record: new Uint8Array(FEED_BYTES_MAX + 1) }] });
  assert.deepEqual([huge.feed.entries.length, huge.feed.complete], [1, true]);
});
