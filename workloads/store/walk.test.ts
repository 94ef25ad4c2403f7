// Ten thousand random walks (walk.ts) on the SQLite store in memory, with a clock that is moved: about 2.5 ms each. SEED=n walks that one.
import { test } from 'node:test';
import type { StoreUnderTest } from './contract-subject.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import { walk, WALK_LIMITS } from './walk.ts';
import { aManualClock } from '../runtime/clock.ts';

const WALKS = 10_000;
const OPERATIONS = 24;
/** Walks of one store: their apps stay apart, and what they leave behind slows it. */
const WALKS_OF_A_STORE = 50;

function inMemory(): StoreUnderTest {
  const clock = aManualClock();
  const store = openSqliteStore({ path: ':memory:', clock, limits: WALK_LIMITS });
  return {
    store,
    advance: (ms) => Promise.resolve(clock.advance(ms)),
    nowMs: () => clock.nowMs(),
    close: () => store.close(),
  };
}

test('random walks in memory lose nothing, end each delivery once and keep an exact ledger', async (t) => {
  const asked = process.env['SEED'];
  const start = asked === undefined ? Math.floor(Math.random() * 2 ** 30) : Number(asked);
  const end = start + (asked === undefined ? WALKS : 1);
  for (let seed = start; seed < end;) {
    const under = inMemory();
    for (let i = 0; i < WALKS_OF_A_STORE && seed < end; i++)
      await walk(under, { seed: seed++, operations: OPERATIONS, clock: 'manual', alone: false });
    await under.close();
  }
  t.diagnostic(`seeds ${start} to ${end - 1}`);
});
