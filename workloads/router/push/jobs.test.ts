import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { aManualClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { Job, JobKind } from '../../store/port.ts';
import { newRouterCounts } from '../counts.ts';
import { SHOP, aStore } from '../fixtures.ts';
import { JOBS_AT_ONCE, JOB_LEASE_MS, JOB_POLL_MS, JOB_SLICE_MS, startJobs } from './jobs.ts';
import type { JobHandlers } from './jobs.ts';

const job = (id: string, kind: JobKind = 'notice', dueAtMs = 0): Job => ({
  id,
  app: SHOP,
  kind,
  dueAtMs,
  claims: 0,
  payload: Buffer.from(id),
});
/** Jobs and stores take some turns of the event loop, and no time of the clock. */
const turns = async (count = 20): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

async function aRunner(t: TestContext, handlers: JobHandlers) {
  const clock = aManualClock();
  const { store, failing } = await aStore(t, clock);
  const counts = newRouterCounts();
  const start = () => startJobs({ store, handlers, clock, log: silentLog, random: () => 0.5, counts });
  return { clock, store, failing, counts, start, jobs: start() };
}

describe('a job', () => {
  test('is found by the poll, run once and gone', async (t) => {
    const ran: string[] = [];
    const { clock, store, counts } = await aRunner(t, { notice: async ({ id }) => (ran.push(id), 'done') });
    await store.putJobs([job('a'), job('b'), job('later', 'notice', clock.nowMs() + 60_000)]);
    clock.advance(JOB_POLL_MS);
    await turns();
    assert.deepEqual([ran.toSorted(), await store.countJobs()], [['a', 'b'], 1]);
    assert.equal(counts.jobs.get('notice/done'), 2);
    clock.advance(60_000);
    await turns();
    assert.deepEqual([ran.at(-1), await store.countJobs()], ['later', 0]);
  });

  test('is run at once when someone pokes', async (t) => {
    const ran: string[] = [];
    const { store, jobs } = await aRunner(t, { notice: async ({ id }) => (ran.push(id), 'done') });
    await store.putJobs([job('a')]);
    jobs.poke();
    await turns();
    assert.deepEqual(ran, ['a']);
  });

  test('that says later comes again with the payload it left', async (t) => {
    const seen: string[] = [];
    const { clock, store, jobs } = await aRunner(t, {
      notice: async ({ payload }) => {
        seen.push(Buffer.from(payload).toString());
        return seen.length === 1 ? { laterMs: 5000, payload: Buffer.from('next') } : 'done';
      },
    });
    await store.putJobs([job('a')]);
    jobs.poke();
    await turns();
    clock.advance(4900);
    await turns();
    assert.equal(seen.length, 1);
    clock.advance(JOB_POLL_MS + 100);
    await turns();
    assert.deepEqual(seen, ['a', 'next']);
  });

  test('that fails is tried again with backoff, however often', async (t) => {
    let tries = 0;
    const { clock, store, jobs, counts } = await aRunner(t, {
      notice: async () => {
        if (++tries < 4) throw new Error('not yet');
        return 'done';
      },
    });
    await store.putJobs([job('a')]);
    jobs.poke();
    for (let i = 0; i < 20 && tries < 4; i++) {
      await turns();
      clock.advance(JOB_POLL_MS);
    }
    await turns();
    assert.deepEqual([tries, counts.jobs.get('notice/failed'), counts.jobs.get('notice/done')], [4, 3, 1]);
  });

  test('of a router that died is run by another one when its lease has run out', async (t) => {
    const ran: string[] = [];
    let dead = true;
    const { clock, store, jobs, start } = await aRunner(t, {
      notice: async ({ id }) => {
        if (dead) return await new Promise(() => {});
        return (ran.push(id), 'done');
      },
    });
    await store.putJobs([job('a')]);
    jobs.poke();
    await turns();
    dead = false;
    start().poke();
    await turns();
    assert.deepEqual(ran, []);
    clock.advance(JOB_LEASE_MS + JOB_POLL_MS);
    await turns();
    assert.deepEqual(ran, ['a']);
  });

  test('of a kind that nobody here runs waits for a router that does', async (t) => {
    const { store, jobs, counts } = await aRunner(t, {});
    await store.putJobs([job('a')]);
    jobs.poke();
    await turns();
    assert.deepEqual([await store.countJobs(), counts.jobs.get('notice/later')], [1, 1]);
  });
});

test('of one kind only so many run at once; the others come later and do not hold up other kinds', async (t) => {
  let open = 0;
  let most = 0;
  const ran: string[] = [];
  const ends: (() => void)[] = [];
  const { clock, store, jobs } = await aRunner(t, {
    expand: async () => {
      most = Math.max(most, ++open);
      await new Promise<void>((resolve) => void ends.push(resolve));
      open--;
      return 'done';
    },
    notice: async ({ id }) => (ran.push(id), 'done'),
  });
  const count = JOBS_AT_ONCE.expand + 3;
  await store.putJobs([...Array.from({ length: count }, (_, i) => job(`e${i}`, 'expand')), job('n')]);
  jobs.poke();
  await turns();
  assert.deepEqual([open, ran], [JOBS_AT_ONCE.expand, ['n']]);
  for (let i = 0; i < 10; i++) {
    ends.splice(0).forEach((end) => end());
    clock.advance(JOB_POLL_MS * 2);
    await turns();
  }
  assert.deepEqual([most, await store.countJobs()], [JOBS_AT_ONCE.expand, 0]);
});

test('a slice is over after its time, which leaves room in the lease; stopping ends it too, and what is left is put back', async (t) => {
  assert.ok(JOB_SLICE_MS * 3 <= JOB_LEASE_MS);
  const over: boolean[] = [];
  let go = (): void => {};
  const { clock, store, jobs } = await aRunner(t, {
    expand: async (_, slice) => {
      over.push(slice.isOver());
      clock.advance(JOB_SLICE_MS);
      over.push(slice.isOver());
      return { laterMs: 60_000 };
    },
    notice: async (_, slice) => {
      await new Promise<void>((resolve) => (go = resolve));
      over.push(slice.isOver());
      return { laterMs: 0 };
    },
  });
  await store.putJobs([job('e', 'expand')]);
  jobs.poke();
  await turns();
  assert.deepEqual(over, [false, true]);
  await store.putJobs([job('n')]);
  jobs.poke();
  await turns();
  const stopped = jobs.stop();
  go();
  await stopped;
  assert.deepEqual(over, [false, true, true]);
  assert.deepEqual(
    (await store.claimJobs(10, 1000, 'notices')).map(({ id }) => id),
    ['n'],
  );
});

test('a store that does not answer costs nothing but time', async (t) => {
  const ran: string[] = [];
  const { clock, store, failing, counts } = await aRunner(t, { notice: async ({ id }) => (ran.push(id), 'done') });
  await store.putJobs([job('a')]);
  failing.set('claimJobs', 'before');
  clock.advance(JOB_POLL_MS);
  await turns();
  assert.ok(counts.storeFailures > 0);
  failing.clear();
  clock.advance(JOB_POLL_MS);
  await turns();
  assert.deepEqual(ran, ['a']);
});
