import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { DeviceId, MessageId } from '../../protocol/ids.ts';
import { encodeRecord, decodeRecord } from '../../protocol/record.ts';
import type { Entry } from '../fixtures.ts';
import { APP, World } from '../fixtures.ts';
import { withOperation } from '../../store/with-operation.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { turns } from '../test-client.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());
const bodies = (frames: readonly { body?: unknown }[]): unknown[] => frames.map(({ body }) => body);
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('R4: a message that is acked by its id', () => {
  test('ends where it stands: it is not written again, and the rest is', async () => {
    const gateway = await world.gateway({ ackTimeoutMs: 1000 });
    const token = await world.device('d');
    const entries: Entry[] = [];
    for (const n of numbers(1, 4)) entries.push(await world.appendTo('d', n));
    const client = await gateway.connect({ token });
    await client.nextMessages(4);
    client.ackIds('@normal', [entries[1]!.id, entries[2]!.id]);
    await turns();
    assert.equal((await gateway.state()).unacked, 2);
    await world.pass(1100);
    const again = await client.nextMessages(2);
    assert.deepEqual(
      again.map(({ body, prev, offset }) => [body, prev ?? offset! - 1]),
      [
        [1, 0],
        [4, 1],
      ],
    );
    client.ack('@normal', 1);
    await turns();
    assert.equal((await gateway.state()).unacked, 1, 'the cursor goes over what had ended');
    client.ack('@normal', 4);
    await turns();
    assert.equal((await gateway.state()).unacked, 0);
    const { accepted, acked } = await world.store.ledger(APP);
    assert.deepEqual([accepted, acked, await world.store.countWaiting(APP)], [4, 4, 0]);
  });

  test('stays ended over connections, and what was not acked comes', async () => {
    const gateway = await world.gateway();
    const token = await world.device('d');
    const entries: Entry[] = [];
    for (const n of numbers(1, 3)) entries.push(await world.appendTo('d', n));
    const client = await gateway.connect({ token });
    await client.nextMessages(3);
    client.ackIds('@normal', [entries[1]!.id]);
    await turns();
    client.socket.terminate();
    await client.end();
    const again = await gateway.connect({ token });
    assert.deepEqual(bodies(await again.nextMessages(2)), [1, 3]);
  });

  test('makes room in the window, for at most a window of them above the first that is not acked', async () => {
    const gateway = await world.gateway({ windowMessagesMax: 4 });
    const token = await world.device('d');
    const entries: Entry[] = [];
    for (const n of numbers(1, 20)) entries.push(await world.appendTo('d', n));
    const client = await gateway.connect({ token });
    await client.nextMessages(4);
    let given = 4;
    for (let round = 0; round < 4; round++) {
      client.ackIds(
        '@normal',
        entries.slice(1, given).map(({ id }) => id),
      );
      await turns(30);
      given += client.unread.length;
      await client.nextMessages(client.unread.length);
    }
    assert.equal(given, 7, 'of seven written three are acked by then: one more would be the fifth above the first');
    client.ack('@normal', 1);
    await client.nextMessages(4);
  });

  test('of one that nobody knows is passed over', async () => {
    const gateway = await world.gateway();
    const token = await world.device('d');
    await world.appendTo('d', 1);
    const client = await gateway.connect({ token });
    await client.next('message');
    client.ackIds('@high', ['01JD9Z6Y4M8Q0V2X4B6D8F0H2K' as MessageId]);
    client.ackIds('@normal', ['01JD9Z6Y4M8Q0V2X4B6D8F0H2K' as MessageId]);
    await turns();
    assert.deepEqual(client.unread, []);
    assert.equal((await gateway.state()).unacked, 1);
  });

  test('is kept while the store is away', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: failing.store });
    const token = await world.device('d');
    const { id } = await world.appendTo('d', 1);
    const client = await gateway.connect({ token });
    await client.next('message');
    failing.away = true;
    client.ackIds('@normal', [id]);
    await turns();
    assert.equal((await gateway.state()).unacked, 1);
    failing.away = false;
    await world.pass(600);
    assert.equal((await gateway.state()).unacked, 0);
  });
});

describe('a message that any device of the account satisfies', () => {
  for (const way of ['by position', 'by id'] as const)
    test(`ends for the others once one acked ${way}`, async () => {
      const gateway = await world.gateway();
      const [phone, tablet] = [await world.device('phone'), await world.device('tablet')];
      const { id, record } = world.record('hello', { satisfiedByAny: true });
      const append = (device: string) => ({
        stream: { app: APP, kind: 'device', device: device as DeviceId, lane: 'normal' } as const,
        messageId: id,
        record,
        expiresAtMs: 0,
      });
      await world.store.append([append('phone'), append('tablet')]);
      const client = await gateway.connect({ token: phone });
      await client.next('message');
      if (way === 'by id') client.ackIds('@normal', [id]);
      else client.ack('@normal', 1);
      await turns(40);
      const states = await world.store.deliveryStates(
        APP,
        ['phone', 'tablet'].map((device) => ({ device: device as DeviceId, lane: 'normal', messageId: id })),
      );
      assert.deepEqual(
        states.map(({ state }) => state),
        ['acked', 'satisfied'],
      );
      const other = await gateway.connect({ token: tablet });
      await turns();
      assert.deepEqual(other.unread, []);
      const { accepted, acked, cancelled } = await world.store.ledger(APP);
      assert.deepEqual([accepted, acked, cancelled], [2, 1, 1]);
    });
});

describe('one message for many devices', () => {
  test('is given to each of them that is here, and its answer names the others', async () => {
    const gateway = await world.gateway();
    const router = await gateway.router();
    const names = ['a', 'b', 'away', 'c'];
    const clients = [];
    for (const name of names) {
      const token = await world.device(name);
      await world.appendTo(name, 'first');
      if (name !== 'away') clients.push(await gateway.connect({ token }));
    }
    for (const client of clients) await client.nextMessages(1);
    const entries: Entry[] = [];
    for (const name of names) entries.push(await world.appendTo(name, 'for all'));
    const rows = entries.map(({ epoch, offset, prev }, i) => ({ device: names[i] as DeviceId, epoch, offset, prev }));
    const { notHere, slow } = await router.toMany(rows, entries[0]!.record);
    assert.deepEqual([notHere, slow], [[2], []]);
    for (const client of clients) {
      const [frame] = await client.nextMessages(1);
      assert.deepEqual([frame!.body, frame!.offset], ['for all', 2]);
    }
    assert.equal((await gateway.state()).unacked, 6);
  });

  test('has its body once in the store, and readers get it filled in, asked for once', async () => {
    const watched = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: watched.store });
    const { id, record } = world.record({ big: 'body' });
    const short = encodeRecord({ ...decodeRecord(record), body: new Uint8Array(0), bodyElsewhere: true });
    const row = {
      app: APP,
      id,
      target: { kind: 'devices' } as const,
      lane: 'normal' as const,
      state: 'expanded' as const,
      acceptedAtMs: world.clock.nowMs(),
      dueAtMs: 0,
      expiresAtMs: 0,
      recipients: 3,
      chunks: 0,
      chunksDone: 0,
      chunkMarks: '',
      record,
      options: '{}',
    };
    await world.store.putMessages([row], []);
    for (const name of ['a', 'b', 'c']) {
      const token = await world.device(name);
      const stream = { app: APP, kind: 'device', device: name as DeviceId, lane: 'normal' } as const;
      await world.store.append([{ stream, messageId: id, record: short, expiresAtMs: 0 }]);
      const client = await gateway.connect({ token });
      assert.deepEqual(bodies(await client.nextMessages(1)), [{ big: 'body' }]);
    }
    assert.equal(watched.calls.get('bodies'), 1);
  });

  test('whose body is no longer kept becomes a dead letter that says so', async () => {
    const gateway = await world.gateway();
    const token = await world.device('d');
    const { id, record } = world.record('gone');
    const short = encodeRecord({ ...decodeRecord(record), body: new Uint8Array(0), bodyElsewhere: true });
    const stream = { app: APP, kind: 'device', device: 'd' as DeviceId, lane: 'normal' } as const;
    await world.store.append([{ stream, messageId: id, record: short, expiresAtMs: 0 }]);
    await world.appendTo('d', 'next');
    const client = await gateway.connect({ token });
    assert.deepEqual(bodies(await client.nextMessages(1)), ['next']);
    const { letters } = await world.store.deadLetters(APP, { cursor: null, limit: 10 });
    assert.equal(letters[0]?.reason, 'its body is no longer kept');
  });
});

test('R8: a device that changes its account between the opening of a session and its first read is given nothing of the new account', async () => {
  const failing = aStoreThatFails(world.store);
  const gateway = await world.gateway({}, { store: failing.store });
  const token = await world.device('d', { account: 'ann' });
  await world.appendTo('d', 'for ann');
  const real = world.store;
  const client = await gateway.socket();
  // Behind the gateway's back, when it opens the session: the store answers, then the device changes hands.
  failing.behind = withOperation(real, {
    async openSession(request) {
      const opened = await real.openSession(request);
      await world.device('d', { account: 'bob' });
      await world.appendTo('d', 'for bob');
      return opened;
    },
  });
  client.send({ type: 'hello', version: 1, token });
  await client.end();
  assert.deepEqual(
    client.frames.filter(({ type }) => type === 'message'),
    [],
  );
});
