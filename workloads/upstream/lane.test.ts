import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aMessage, ScriptedHandler } from './fixtures.ts';
import { HANDLED, HandlerUnavailableError } from './handlers/handler.ts';
import type { Outcome } from './handlers/handler.ts';
import { Lane } from './lane.ts';

const messages = (count: number, from = 0) => Array.from({ length: count }, (_, i) => aMessage({ key: `${from + i}` }));

test('what is offered in one tick goes in one call, up to batchMax', async () => {
  const handler = new ScriptedHandler({ batchMax: 5, concurrency: 1 });
  const lane = new Lane(handler);
  await Promise.all([messages(2), messages(2, 2), messages(2, 4)].map((run) => lane.offer(run)));
  assert.deepEqual(
    handler.asked.map((call) => call.length),
    [4, 2],
  );
});

test('at most `concurrency` calls are under way, the next starts when one ends', async () => {
  const handler = new ScriptedHandler({ batchMax: 1, concurrency: 2 });
  const gates: ((outcome: Outcome) => void)[] = [];
  handler.answer = () => new Promise((resolve) => gates.push(resolve));
  const lane = new Lane(handler);
  const offers = messages(4).map((message) => lane.offer([message]));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([lane.calls, lane.waiting], [2, 2]);
  gates[0]!(HANDLED);
  await offers[0];
  assert.deepEqual([lane.calls, lane.waiting], [2, 1]);
  while (gates.length < 4 || lane.calls > 0) {
    for (const open of gates) open(HANDLED);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await Promise.all(offers)).length, 4);
});

test('each run gets its own outcomes; what a handler throws is every message’s', async () => {
  const handler = new ScriptedHandler({ concurrency: 1 });
  const lane = new Lane(handler);
  handler.answer = ({ key }) => ({ kind: 'rejected', reason: key });
  const [first, second] = await Promise.all([lane.offer(messages(2)), lane.offer(messages(1, 2))]);
  assert.deepEqual(
    [first, second].map((run) => run?.map((outcome) => 'reason' in outcome && outcome.reason)),
    [['0', '1'], ['2']],
  );
  handler.answer = () => Promise.reject(new HandlerUnavailableError('gone'));
  assert.deepEqual(
    await lane.offer(messages(2)),
    [0, 1].map(() => ({ kind: 'unavailable', reason: 'gone' })),
  );
  handler.answer = () => Promise.reject(new TypeError('a bug'));
  assert.deepEqual(await lane.offer(messages(1)), [{ kind: 'failed', reason: 'a bug' }]);
});
