// The operator is killed between any two writes, and the next one, which remembers nothing, goes on: seeded random walks over
// scaling, rollouts, crashes and unreachable gateways, with what must never happen checked at each removal (fake-world.ts).
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeWorld, KilledError } from './fake-world.ts';
import { aRandom } from './fixtures.ts';
import { KINDS } from './kube/port.ts';

const SEEDS = Array.from({ length: 8 }, (_, i) => i + 1);
const STEPS = 100;

/** One look, perhaps cut short before one of its writes. */
async function look(world: FakeWorld, writesMax: number): Promise<void> {
  try {
    await world.reconcile(writesMax);
  } catch (error) {
    if (!(error instanceof KilledError)) throw error;
  }
}

function heldByRemoved(world: FakeWorld): number {
  return world.removals.reduce((sum, removal) => sum + removal.sessions, 0);
}

async function disturb(world: FakeWorld, random: () => number): Promise<void> {
  const names = [...world.gateways.keys()];
  const any = world.gateways.get(names[Math.floor(random() * names.length)] ?? '');
  const roll = random();
  if (roll < 0.05) await world.patch({ gateway: { replicas: 1 + Math.floor(random() * 4) } });
  else if (roll < 0.08) await world.patch({ image: `pushcluster:${Math.floor(random() * 3)}` });
  else if (roll < 0.12 && any !== undefined) any.isReachable = false;
  else if (roll < 0.3 && any !== undefined) any.isReachable = true;
  else if (roll < 0.35 && any !== undefined && any.drain === null) any.sessions += Math.floor(random() * 800);
  else if (roll < 0.37) await world.kube.delete(KINDS.configMap, { name: 'demo-routing', namespace: 'push' });
}

describe('an operator killed between any two writes', () => {
  for (const seed of SEEDS) {
    it(`loses nothing and removes nothing twice (seed ${seed})`, async () => {
      const random = aRandom(seed);
      const world = new FakeWorld();
      await world.create({ gateway: { replicas: 2 }, disruption: { reconnectsPerSecond: 200, drainDeadline: '60s' } });
      world.drainDeadlineMs = 60_000;
      for (let step = 0; step < STEPS; step++) {
        await look(world, random() < 0.6 ? Math.floor(random() * 8) : Number.POSITIVE_INFINITY);
        if (random() < 0.7) await world.tick();
        await disturb(world, random);
        assert.ok(world.ratePeak <= 200.001, `seed ${seed}: ${world.ratePeak}/s within the budget`);
      }
      for (const gateway of world.gateways.values()) gateway.isReachable = true;
      const total = world.sessions + world.sessionsLost + heldByRemoved(world);
      await world.settle(600);
      assert.equal(world.sessions + world.sessionsLost + heldByRemoved(world), total, `seed ${seed}: none went unseen`);
      for (const removal of world.removals)
        assert.ok(removal.sessions === 0 || removal.isOverdue, `seed ${seed}: ${removal.name} was empty or overdue`);
      const wanted = (await world.resource())?.['spec'] as { gateway: { replicas: number } };
      assert.equal(await world.replicas(), wanted.gateway.replicas, `seed ${seed}`);
    });
  }

  it('ends a scale-in however often it is killed: before its first write, before its second …', async () => {
    for (let writes = 0; writes < 12; writes++) {
      const world = new FakeWorld();
      await world.create({ gateway: { replicas: 3 } });
      await world.settle();
      world.gateway(2).sessions = 700;
      await world.patch({ gateway: { replicas: 2 } });
      for (let i = 0; i < 40; i++) {
        await look(world, i % 2 === 0 ? writes % 6 : Number.POSITIVE_INFINITY);
        await world.tick();
      }
      assert.equal(await world.replicas(), 2);
      assert.deepEqual(world.removals, [{ name: 'demo-gateway-2', sessions: 0, isOverdue: false }]);
      assert.deepEqual(world.decisions, [2]);
      assert.equal(world.sessions, 700);
    }
  });

  it('keeps the start of a drain: the next one does not begin its deadline anew', async () => {
    const world = new FakeWorld();
    await world.create({ gateway: { replicas: 3 }, disruption: { drainDeadline: '30s', reconnectsPerSecond: 1 } });
    await world.settle();
    world.gateway(2).sessions = 10_000;
    await world.patch({ gateway: { replicas: 2 } });
    await world.reconcile();
    const deadline = (await world.status()).drain?.deadline;
    for (let i = 0; i < 10; i++) {
      await world.tick();
      await world.kube.delete(KINDS.configMap, { name: 'demo-routing', namespace: 'push' });
      await world.reconcile();
    }
    assert.equal((await world.status()).drain?.deadline, deadline, 'read from the gateway when the ConfigMap is gone');
  });
});
