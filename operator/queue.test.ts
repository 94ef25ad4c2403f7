import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { aManualClock } from '../workloads/runtime/clock.ts';
import { BACKOFF_MAX_MS, WorkQueue } from './queue.ts';

function aQueue(work: (key: string) => Promise<number | null>, workersMax = 2) {
  const clock = aManualClock();
  const failures: number[] = [];
  const queue = new WorkQueue({
    clock,
    workersMax,
    pauseMs: 100,
    work,
    onFailure: (_key, _error, retryMs) => failures.push(retryMs),
    random: () => 1,
  });
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    for (let i = 0; i < 5; i++) await turn();
  };
  return { queue, pass, failures };
}

describe('WorkQueue', () => {
  it('does a key that was added ten times once', async () => {
    const done: string[] = [];
    const { queue, pass } = aQueue((key) => Promise.resolve((done.push(key), null)));
    for (let i = 0; i < 10; i++) queue.add('a');
    await pass(0);
    assert.deepEqual(done, ['a']);
  });

  it('never does a key twice at the same time; added meanwhile it is done once more', async () => {
    let running = 0;
    let runs = 0;
    let release: () => void = () => {};
    const { queue, pass } = aQueue(async () => {
      assert.equal(++running, 1);
      runs += 1;
      await new Promise<void>((resolve) => (release = resolve));
      running -= 1;
      return null;
    });
    queue.add('a');
    await pass(0);
    queue.add('a');
    queue.add('a');
    await pass(1000);
    assert.equal(runs, 1);
    release();
    await pass(0);
    await pass(100);
    assert.equal(runs, 2);
    release();
    await pass(1000);
    assert.equal(runs, 2);
  });

  it('does several keys at once, no more than there are workers', async () => {
    let running = 0;
    let most = 0;
    const releases: (() => void)[] = [];
    const { queue, pass } = aQueue(async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => releases.push(resolve));
      running -= 1;
      return null;
    });
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key);
    await pass(0);
    assert.equal(queue.depth, 2);
    while (releases.length > 0) {
      releases.shift()?.();
      await pass(0);
    }
    assert.equal(most, 2);
  });

  it('does a key again after the time that its work says, or sooner when it is added', async () => {
    let runs = 0;
    const { queue, pass } = aQueue(() => Promise.resolve((runs++, 5000)));
    queue.add('a');
    await pass(0);
    await pass(4999);
    assert.equal(runs, 1);
    await pass(1);
    assert.equal(runs, 2);
    await pass(1000);
    queue.add('a');
    await pass(0);
    assert.equal(runs, 3);
  });

  it('makes one look of a burst: a key is not done again within the pause', async () => {
    let runs = 0;
    const { queue, pass } = aQueue(() => Promise.resolve((runs++, 60_000)));
    queue.add('a');
    await pass(0);
    for (let i = 0; i < 9; i++) {
      queue.add('a');
      await pass(10);
    }
    assert.equal(runs, 1);
    await pass(10);
    assert.equal(runs, 2);
  });

  it('backs off twice as long with each failure, up to a minute, and starts anew after a success', async () => {
    let isBroken = true;
    const { queue, pass, failures } = aQueue(() => (isBroken ? Promise.reject(new Error('no')) : Promise.resolve(1)));
    queue.add('a');
    await pass(0);
    for (let i = 0; i < 10; i++) await pass(failures.at(-1) ?? 0);
    assert.deepEqual(failures.slice(0, 4), [500, 1000, 2000, 4000]);
    assert.equal(failures.at(-1), BACKOFF_MAX_MS);
    isBroken = false;
    await pass(BACKOFF_MAX_MS);
    isBroken = true;
    await pass(1);
    assert.equal(failures.at(-1), 500);
  });

  it('looks within a second at a failing key that somebody changed', async () => {
    let runs = 0;
    const { queue, pass, failures } = aQueue(() => Promise.reject(new Error(`${++runs}`)));
    queue.add('a');
    await pass(0);
    for (let i = 0; i < 6; i++) await pass(failures.at(-1) ?? 0);
    const before = runs;
    queue.add('a');
    await pass(999);
    assert.equal(runs, before);
    await pass(1);
    assert.equal(runs, before + 1);
  });

  it('takes no work after stop, and stop waits for what is being done', async () => {
    let release: () => void = () => {};
    let isDone = false;
    const { queue, pass } = aQueue(async () => {
      await new Promise<void>((resolve) => (release = resolve));
      isDone = true;
      return 1;
    });
    queue.add('a');
    await pass(0);
    const stopped = queue.stop();
    queue.add('b');
    release();
    await stopped;
    assert.equal(isDone, true);
    await pass(10_000);
    assert.equal(queue.depth, 0);
  });
});
