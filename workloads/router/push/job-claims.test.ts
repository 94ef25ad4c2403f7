import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Job } from '../../store/port.ts';
import { SHOP } from '../fixtures.ts';
import { JobClaims } from './job-claims.ts';

const MOST = 16;
const TOGETHER = 8;
const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};

/** A queue of so many jobs; what was claimed runs until the test ends it. */
function aQueue(waiting: number, { most = MOST, together = TOGETHER } = {}) {
  const asked: number[] = [];
  let left = waiting;
  let running = 0;
  const claims = new JobClaims({
    most,
    together,
    async claim(limit) {
      asked.push(limit);
      await new Promise(setImmediate);
      const count = Math.min(limit, left);
      left -= count;
      return Array.from({ length: count }, (): Job => ({
        id: 'a',
        app: SHOP,
        kind: 'notice',
        dueAtMs: 0,
        claims: 0,
        payload: new Uint8Array(0),
      }));
    },
    onJobs: (jobs) => void (running += jobs.length),
    onFailure: (error) => assert.fail(String(error)),
  });
  const end = async (count: number, wasDone: boolean): Promise<void> => {
    for (let i = 0; i < count; i++) {
      running--;
      claims.ended(wasDone);
    }
    await turns();
  };
  return { claims, asked, end, running: () => running, left: () => left };
}

test('a poke fills up to the most and no further, however often', async () => {
  const { claims, asked, running } = aQueue(100);
  for (const _ of [1, 2, 3]) {
    claims.poke();
    await turns();
  }
  assert.deepEqual([running(), asked], [MOST, [MOST]]);
});

test('jobs that are done let others in, some together, until the queue is empty', async () => {
  const { claims, asked, end, running, left } = aQueue(40);
  claims.poke();
  await turns();
  await end(7, true);
  assert.equal(asked.length, 1);
  await end(1, true);
  assert.deepEqual([asked, running()], [[MOST, 8], MOST]);
  while (left() > 0) await end(8, true);
  assert.equal(
    asked.reduce((sum, limit) => sum + limit, 0),
    40,
  );
});

test('where one is enough, each job that is done lets one in, and the others are left to other routers', async () => {
  const { claims, asked, end, running, left } = aQueue(10, { most: 2, together: 1 });
  claims.poke();
  await turns();
  assert.deepEqual([running(), left()], [2, 8]);
  for (let done = 1; done <= 8; done++) {
    await end(1, true);
    assert.deepEqual([running(), left()], [2, 8 - done]);
  }
  assert.deepEqual(asked, [2, ...Array.from({ length: 8 }, () => 1)]);
});

test('jobs that are put off let nobody in until the next poke: the store is not asked in circles', async () => {
  const { claims, asked, end, running } = aQueue(1000);
  claims.poke();
  await turns();
  await end(MOST, false);
  assert.deepEqual([asked.length, running()], [1, 0]);
  claims.poke();
  await turns();
  assert.deepEqual([asked.length, running()], [2, MOST]);
});

test('a poke while a claim is under way is not lost', async () => {
  const { claims, asked } = aQueue(3);
  claims.poke();
  claims.poke();
  await turns();
  assert.deepEqual(asked, [MOST, MOST - 3]);
});

test('an empty queue is not asked again because a job ended', async () => {
  const { claims, asked, end } = aQueue(9);
  claims.poke();
  await turns();
  await end(9, true);
  assert.deepEqual(asked, [MOST]);
});

test('nothing is claimed once it is stopped', async () => {
  const { claims, asked } = aQueue(9);
  await claims.stop();
  claims.poke();
  await turns();
  assert.deepEqual(asked, []);
});

test('a poke is heard whenever it comes, also while the claim before it ends', async () => {
  // Steps of promises after the answer of the first claim; one in which nobody listens would wait for the next poll.
  for (let steps = 0; steps < 8; steps++) {
    let asked = 0;
    const first = Promise.withResolvers<readonly Job[]>();
    const claims = new JobClaims({
      most: MOST,
      together: TOGETHER,
      claim: () => (++asked === 1 ? first.promise : Promise.resolve([])),
      onJobs: () => {},
      onFailure: (error) => assert.fail(String(error)),
    });
    claims.poke();
    const poked = (async () => {
      await first.promise;
      for (let i = 0; i < steps; i++) await Promise.resolve();
      claims.poke();
    })();
    first.resolve([]);
    await poked;
    await turns();
    assert.equal(asked, 2, `${steps} steps after the answer`);
  }
});
