// Two hundred random walks (../walk.ts) on a file that is killed, saved and set back to what was saved. SEED=n walks that one.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSqliteStore } from './sqlite-store.ts';
import type { SqliteStore } from './sqlite-store.ts';
import type { StoreUnderTest } from '../contract-subject.ts';
import { walk, WALK_LIMITS } from '../walk.ts';
import { aManualClock } from '../../runtime/clock.ts';

const WALKS = 200;
const OPERATIONS = 40;

function onFile(path: string): StoreUnderTest {
  const clock = aManualClock();
  const open = (newLife = false): SqliteStore => openSqliteStore({ path, clock, limits: WALK_LIMITS, newLife });
  let store = open();
  return {
    get store() {
      return store;
    },
    advance: (ms) => Promise.resolve(clock.advance(ms)),
    nowMs: () => clock.nowMs(),
    crash() {
      store.cut();
      store = open();
      return Promise.resolve();
    },
    async checkpoint() {
      await store.close();
      copyFileSync(path, `${path}.backup`);
      store = open();
    },
    async fallBack() {
      await store.close();
      copyFileSync(`${path}.backup`, path);
      store = open(true);
    },
    close: () => store.close(),
  };
}

test('random walks on a file that crashes and falls back lose nothing, end each delivery once and keep an exact ledger', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pushcluster-walk-'));
  const asked = process.env['SEED'];
  const start = asked === undefined ? Math.floor(Math.random() * 2 ** 30) : Number(asked);
  const end = start + (asked === undefined ? WALKS : 1);
  try {
    for (let seed = start; seed < end; seed++) {
      const under = onFile(join(folder, `walk-${seed}.sqlite`));
      await walk(under, { seed, operations: OPERATIONS, clock: 'manual', alone: true });
      await under.close();
    }
    t.diagnostic(`seeds ${start} to ${end - 1}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
