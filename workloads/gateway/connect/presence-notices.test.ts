import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Notice } from '../../protocol/notices.ts';
import { aStoreThatFails } from '../failing-store.ts';
import { World } from '../fixtures.ts';
import { turns } from '../test-client.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

async function told(): Promise<string[]> {
  await turns();
  const jobs = await world.store.claimJobs(100, 1000, 'notices');
  await world.store.finishJobs(jobs);
  const notices = jobs.map(({ kind, payload }) => {
    assert.equal(kind, 'notice');
    return JSON.parse(Buffer.from(payload).toString()) as Notice & { event: 'presence' };
  });
  return notices
    .map((n) => `${n.device} ${n.online ? 'on' : 'off'} ${n.generation} ${n.account} ${n.gateway}`)
    .toSorted();
}

test('an app that wants it is told when a device comes and goes, by token and by ticket; others are not', async () => {
  const gateway = await world.gateway();
  const first = await gateway.connect({ token: await world.device('d', { presence: true }) });
  await gateway.connect({ token: await world.device('quiet') });
  assert.deepEqual(await told(), ['d on 1 ann gateway-0']);
  first.send({ type: 'bye' });
  await first.end();
  assert.deepEqual(await told(), ['d off 1 ann gateway-0']);
  const { ticket } = first.welcome();
  await gateway.connect({ ticket });
  assert.deepEqual(await told(), ['d on 2 ann gateway-0']);
});

test('a session that moved did not go: only the newer one is told', async () => {
  const [here, there] = [await world.gateway(), await world.gateway()];
  const first = await here.connect({ token: await world.device('d', { presence: true }) });
  await there.connect({ ticket: first.welcome().ticket });
  await first.end();
  assert.deepEqual(await told(), ['d on 1 ann gateway-0', 'd on 2 ann gateway-1']);
});

test('what was noted while the store is away is told when it is back', async () => {
  const failing = aStoreThatFails(world.store);
  const gateway = await world.gateway({ leaseMs: 3000 }, { store: failing.store });
  const client = await gateway.connect({ token: await world.device('d', { presence: true }) });
  assert.deepEqual(await told(), ['d on 1 ann gateway-0']);
  failing.away = true;
  await world.pass(1100);
  client.send({ type: 'bye' });
  await client.end();
  const late = await gateway.connect({ token: await world.device('late', { presence: true }) });
  assert.deepEqual(await told(), []);
  failing.away = false;
  await world.pass(4000);
  assert.deepEqual(await told(), ['d off 1 ann gateway-0', 'late on 1 ann gateway-0']);
  assert.equal(late.closed, null);
});
