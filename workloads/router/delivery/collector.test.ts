import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCollector } from './collector.ts';

test('what is asked in one tick leaves in one trip, in order; what comes later in the next', async () => {
  const trips: number[][] = [];
  const collector = openCollector<number, number>({
    questionsMax: 100,
    run: (questions) => {
      trips.push([...questions]);
      return Promise.resolve(questions.map((q) => q * 10));
    },
  });
  assert.deepEqual(await Promise.all([1, 2, 3].map((q) => collector.ask(q))), [10, 20, 30]);
  assert.equal(await collector.ask(4), 40);
  assert.deepEqual(trips, [[1, 2, 3], [4]]);
});

test('a full trip leaves at once', async () => {
  const trips: number[] = [];
  const collector = openCollector<number, number>({
    questionsMax: 2,
    run: (questions) => {
      trips.push(questions.length);
      return Promise.resolve(questions);
    },
  });
  const answers = [1, 2, 3].map((q) => collector.ask(q));
  assert.deepEqual(trips, [2]);
  assert.deepEqual(await Promise.all(answers), [1, 2, 3]);
  assert.deepEqual(trips, [2, 1]);
});

test('an Error among the answers rejects its question alone', async () => {
  const collector = openCollector<number, number>({
    questionsMax: 100,
    run: (questions) => Promise.resolve(questions.map((q) => (q === 2 ? new Error('down') : q))),
  });
  const settled = await Promise.allSettled([1, 2, 3].map((q) => collector.ask(q)));
  assert.deepEqual(
    settled.map((end) => (end.status === 'fulfilled' ? end.value : String(end.reason))),
    [1, 'Error: down', 3],
  );
});

test('a trip that fails rejects each of its questions and none of the next', async () => {
  let failing = true;
  const collector = openCollector<number, number>({
    questionsMax: 100,
    run: (questions) => (failing ? Promise.reject(new Error('down')) : Promise.resolve(questions)),
  });
  const settled = await Promise.allSettled([collector.ask(1), collector.ask(2)]);
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  failing = false;
  assert.equal(await collector.ask(3), 3);
});
