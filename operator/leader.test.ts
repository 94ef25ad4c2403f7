import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { aManualClock } from '../workloads/runtime/clock.ts';
import type { ManualClock } from '../workloads/runtime/clock.ts';
import { silentLog } from '../workloads/runtime/log.ts';
import { openMemoryKube } from './kube/memory.ts';
import type { LeaseView } from './kube/objects.ts';
import { KINDS } from './kube/port.ts';
import type { Kube } from './kube/port.ts';
import { startLeader } from './leader.ts';
import type { Leader } from './leader.ts';

const LEASE_MS = 15_000;
const at = { name: 'pushcluster-operator', namespace: 'system' };

function aWorld(): {
  clock: ManualClock;
  kube: ReturnType<typeof openMemoryKube>;
  pass: (ms: number) => Promise<void>;
} {
  const clock = aManualClock();
  return {
    clock,
    kube: openMemoryKube({ clock }),
    async pass(ms) {
      for (let gone = 0; gone < ms; gone += 500) {
        clock.advance(Math.min(500, ms - gone));
        for (let i = 0; i < 3; i++) await turn();
      }
    },
  };
}
function join(world: ReturnType<typeof aWorld>, identity: string, kube: Kube = world.kube): Leader & { log: string[] } {
  const log: string[] = [];
  const leader = startLeader({
    kube,
    clock: world.clock,
    log: silentLog,
    ...at,
    identity,
    leaseMs: LEASE_MS,
    random: () => 0,
    onLead: () => log.push('lead'),
    onLost: (why) => log.push(why),
  });
  return { ...leader, log };
}
/** A kube that can be cut off. */
function cuttable(kube: Kube): { kube: Kube; cut: () => void } {
  let isCut = false;
  const proxy = new Proxy(kube, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown =>
        isCut ? Promise.reject(new Error('cut off')) : (Reflect.apply(value, target, given) as unknown);
    },
  });
  return { kube: proxy, cut: () => (isCut = true) };
}

describe('leader election', () => {
  it('lets the first lead and has the second wait', async () => {
    const world = aWorld();
    const first = join(world, 'a');
    await world.pass(500);
    const second = join(world, 'b');
    await world.pass(60_000);
    assert.deepEqual([first.isLeading(), second.isLeading()], [true, false]);
    assert.deepEqual(first.log, ['lead']);
    const lease: LeaseView | null = await world.kube.get(KINDS.lease, at);
    assert.equal(lease?.spec?.holderIdentity, 'a');
    assert.match(lease.spec.renewTime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  it('gives the Lease back at stop, so that the next one leads at once', async () => {
    const world = aWorld();
    const first = join(world, 'a');
    await world.pass(500);
    const second = join(world, 'b');
    await world.pass(500);
    await first.stop();
    await world.pass(3500);
    assert.equal(second.isLeading(), true);
  });

  it('ends the leader that is cut off before another one can lead', async () => {
    const world = aWorld();
    const { kube, cut } = cuttable(world.kube);
    const first = join(world, 'a', kube);
    await world.pass(500);
    const second = join(world, 'b');
    await world.pass(10_000);
    cut();
    let lostAtMs = 0;
    let ledAtMs = 0;
    for (let ms = 0; ms < 40_000; ms += 500) {
      await world.pass(500);
      if (lostAtMs === 0 && !first.isLeading()) lostAtMs = world.clock.nowMs();
      if (ledAtMs === 0 && second.isLeading()) ledAtMs = world.clock.nowMs();
      assert.ok(!(first.isLeading() && second.isLeading()), 'never two');
    }
    assert.ok(lostAtMs > 0 && ledAtMs > lostAtMs, `lost at ${lostAtMs}, led at ${ledAtMs}`);
    assert.match(first.log[1] ?? '', /not renewed for/);
  });

  it('takes over from one that died, by its own clock, after the whole lease', async () => {
    const world = aWorld();
    const renewTime = '2000-01-01T00:00:00.000000Z';
    const spec = { holderIdentity: 'dead', leaseDurationSeconds: 15, renewTime, acquireTime: renewTime };
    await world.kube.create({ apiVersion: KINDS.lease.apiVersion, kind: 'Lease', metadata: at, spec });
    const next = join(world, 'b');
    await world.pass(14_000);
    assert.equal(next.isLeading(), false, 'whatever its renewTime says: clocks differ');
    await world.pass(6000);
    assert.equal(next.isLeading(), true);
    const lease: LeaseView | null = await world.kube.get(KINDS.lease, at);
    assert.equal(lease?.spec?.leaseTransitions, 1);
  });

  it('goes on leading when it starts again under the same name', async () => {
    const world = aWorld();
    join(world, 'a');
    await world.pass(500);
    const again = join(world, 'a');
    await world.pass(500);
    assert.equal(again.isLeading(), true);
  });

  it('loses it when somebody else wrote the Lease', async () => {
    const world = aWorld();
    const first = join(world, 'a');
    await world.pass(500);
    await world.kube.merge(KINDS.lease, at, { spec: { holderIdentity: 'thief' } });
    await world.pass(4000);
    assert.equal(first.isLeading(), false);
    assert.deepEqual(first.log, ['lead', 'the Lease has another holder']);
  });
});
