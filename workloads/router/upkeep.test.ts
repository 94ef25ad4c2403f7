import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BootId } from '../protocol/ids.ts';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { newRouterCounts } from './counts.ts';
import { COUNT_MS, SWEEP_MS, startUpkeep } from './upkeep.ts';

const turns = async (): Promise<void> => {
  for (let i = 0; i < 50; i++) await Promise.resolve();
};

function anUpkeep(over: { expired?: number; random?: number } = {}) {
  const clock = aManualClock();
  const counts = newRouterCounts();
  const asked: string[] = [];
  let expired = over.expired ?? 0;
  const store = {
    failing: false,
    sweepExpired(limit: number) {
      asked.push('expired');
      if (store.failing) return Promise.reject(new Error('down'));
      const swept = Math.min(limit, expired);
      expired -= swept;
      return Promise.resolve(swept);
    },
    sweepRoutes() {
      asked.push('routes');
      return Promise.resolve(3);
    },
    countRoutes() {
      asked.push('count');
      return Promise.resolve(new Map([['boot-1' as BootId, 7]]));
    },
  };
  const random = (): number => over.random ?? 0.5;
  return { clock, counts, asked, store, upkeep: startUpkeep({ store, clock, log: silentLog, random, counts }) };
}

test('sweeps at times of its own, in bounded steps until nothing is left', async () => {
  const { clock, counts, asked } = anUpkeep({ expired: 1200 });
  clock.advance(SWEEP_MS - 1);
  assert.deepEqual(asked, []);
  clock.advance(1);
  await turns();
  assert.deepEqual(asked, ['expired', 'expired', 'expired', 'routes']);
  assert.deepEqual([counts.sweptEntries, counts.sweptRoutes], [1200, 3]);
  const early = anUpkeep({ random: 0 });
  early.clock.advance(SWEEP_MS / 2);
  await turns();
  assert.equal(early.asked.length, 2);
});

test('one go is bounded: the rest is swept in the next', async () => {
  const { clock, counts } = anUpkeep({ expired: 12_000 });
  clock.advance(SWEEP_MS);
  await turns();
  assert.equal(counts.sweptEntries, 5000);
  clock.advance(SWEEP_MS);
  await turns();
  assert.equal(counts.sweptEntries, 10_000);
});

test('counts the routes each half minute', async () => {
  const { clock, upkeep } = anUpkeep();
  assert.equal(upkeep.routes(), null);
  clock.advance(COUNT_MS);
  await turns();
  assert.deepEqual([...upkeep.routes()!], [['boot-1', 7]]);
});

test('a store that fails is asked again next time; after stop it is not asked', async () => {
  const { clock, counts, asked, store, upkeep } = anUpkeep();
  store.failing = true;
  clock.advance(SWEEP_MS);
  await turns();
  assert.deepEqual([asked.length, counts.storeFailures], [1, 1]);
  store.failing = false;
  clock.advance(SWEEP_MS);
  await turns();
  assert.equal(asked.length, 3);
  upkeep.stop();
  clock.advance(10 * COUNT_MS);
  await turns();
  assert.equal(asked.length, 3);
  assert.equal(clock.pending(), 0);
});
