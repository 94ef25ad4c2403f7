import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Epoch } from '../../protocol/ids.ts';
import { openSqliteStore } from '../../store/sqlite/sqlite-store.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { World } from '../fixtures.ts';
import { turns } from '../test-client.ts';

let world: World;
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gateway-epochs-'));
  world = new World(join(dir, 'store'));
});
afterEach(async () => {
  await world.end();
  rmSync(dir, { recursive: true });
});
const bodies = (frames: readonly { body?: unknown }[]): unknown[] => frames.map(({ body }) => body);

describe('a change of epoch', () => {
  test('while connected waits for the acks of the one before, then the client is told and goes on', async () => {
    const failing = aStoreThatFails(world.store);
    const gateway = await world.gateway({}, { store: failing.store });
    const router = await gateway.router();
    const client = await gateway.connect({ token: await world.device('d') });
    const first = await world.appendTo('d', 1);
    await router.toDevice('d', first);
    await client.next('stream');
    await client.nextMessages(1);
    await world.store.close();
    const newLife = openSqliteStore({ path: join(dir, 'store'), clock: world.clock, newLife: true });
    failing.behind = newLife;
    world.store = newLife;
    const second = await world.appendTo('d', 2);
    assert.notEqual(second.epoch, first.epoch);
    await router.toDevice('d', second);
    await world.pass(100);
    assert.deepEqual(client.unread, [], 'an ack of the old epoch could be taken for the new one');
    client.ack('@normal', first.offset);
    await turns();
    await world.pass(100);
    const { state } = await client.next('stream');
    assert.equal(state.epoch, second.epoch);
    assert.deepEqual(bodies(await client.nextMessages(1)), [2]);
    client.send({ type: 'ack', positions: [{ stream: '@normal', offset: second.offset, epoch: first.epoch }] });
    await turns();
    assert.equal((await gateway.state()).unacked, 1, 'an ack that names the old epoch does not count');
    client.send({ type: 'ack', positions: [{ stream: '@normal', offset: second.offset, epoch: second.epoch }] });
    await turns();
    assert.equal((await gateway.state()).unacked, 0);
  });

  test('that a client does not know of is answered honestly, with all that is held', async () => {
    const gateway = await world.gateway();
    const token = await world.device('d');
    const entry = await world.appendTo('d', 'held');
    const open = async (epoch: Epoch, offset: number) => {
      const client = await gateway.connect({ token, positions: [{ stream: '@normal', epoch, offset }] });
      return { client, state: client.welcome().streams.find(({ stream }) => stream === '@normal') };
    };
    const common = { stream: '@normal', epoch: entry.epoch, recovered: false };
    const unheard = await open('unheard' as Epoch, 5);
    assert.deepEqual(unheard.state, { ...common, offset: 0, reason: 'epoch-unknown' });
    assert.deepEqual(bodies(await unheard.client.nextMessages(1)), ['held']);
    const ahead = await open(entry.epoch, 5);
    assert.deepEqual(
      ahead.state,
      { ...common, offset: 1, reason: 'ahead' },
      'its end: what follows is new to the client',
    );
  });
});
