import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEVICE_REQUESTS_MAX, FeedQueue } from './feed-queue.ts';
import type { FeedQueueOptions } from './feed-queue.ts';

function aQueue(over: Partial<FeedQueueOptions> = {}): FeedQueue<string> {
  return new FeedQueue<string>({
    entriesPerSecond: 1000,
    bytesPerSecond: 1_000_000,
    requestsMax: 10_000,
    waitMaxMs: 60_000,
    nowMs: 0,
    random: () => 0.5,
    ...over,
  });
}
const ask = (device: string, request = device, entriesMax = 100) => ({ device, entriesMax, askedAtMs: 0, request });
const requests = (taken: readonly { request: string }[]): string[] => taken.map(({ request }) => request);

test('turns go round the devices: who asks for much waits for those who ask for little', () => {
  const queue = aQueue();
  for (const request of ['a1', 'a2', 'a3']) queue.offer(ask('a', request, 1));
  for (const device of ['b', 'c']) queue.offer(ask(device, device, 1));
  assert.deepEqual(requests(queue.take(0, 10)), ['a1', 'b', 'c', 'a2', 'a3']);
});

describe('the budget', () => {
  test('is kept over any time, whatever the pages turn out to hold', () => {
    for (const held of [0, 1, 30, 100]) {
      const queue = aQueue();
      let read = 0;
      let n = 0;
      for (let nowMs = 0; nowMs <= 20_000; nowMs += 10) {
        while (queue.waiting < 200) queue.offer(ask(`d${n++}`));
        for (const asked of queue.take(nowMs, 64)) {
          queue.spend(asked, { entries: held, bytes: held * 10 });
          read += held;
        }
        assert.ok(read <= 250 + nowMs + 64 * 100, `${read} entries of pages of ${held} by ${nowMs} ms`);
      }
      if (held > 0) assert.ok(read >= 19_900, `${read} entries of pages of ${held}`);
    }
  });
  test('of bytes holds as well', () => {
    const queue = aQueue({ bytesPerSecond: 100_000 });
    let bytes = 0;
    let n = 0;
    for (let nowMs = 0; nowMs <= 10_000; nowMs += 10) {
      while (queue.waiting < 200) queue.offer(ask(`d${n++}`));
      for (const asked of queue.take(nowMs, 1)) {
        queue.spend(asked, { entries: 1, bytes: 5000 });
        bytes += 5000;
      }
      assert.ok(bytes <= 25_000 + nowMs * 100 + 5000, `${bytes} by ${nowMs} ms`);
    }
    assert.ok(bytes >= 990_000, `${bytes}`);
  });
  test('is divided by the drainers that live', () => {
    const queue = aQueue();
    queue.share(4, 0);
    assert.equal(queue.entriesPerSecond, 250);
    queue.share(0, 0);
    assert.equal(queue.entriesPerSecond, 1000);
  });
});

describe('what does not fit', () => {
  test('is told when to come back, computed from the queue and spread', () => {
    const queue = aQueue({ waitMaxMs: 2000 });
    let n = 0;
    while (queue.offer(ask(`d${n}`)) === null) n++;
    assert.equal(n, 63); // at 32 entries a page the 64th would wait for more than 2 s
    assert.ok(Math.abs(queue.retryAfterMs() - 2016 * 1.5) <= 1, `${queue.retryAfterMs()}`);
  });
  test('is refused past the most pages, and of one device past its own', () => {
    const queue = aQueue({ requestsMax: 6 });
    for (let i = 0; i < DEVICE_REQUESTS_MAX; i++) assert.equal(queue.offer(ask('a')), null);
    assert.notEqual(queue.offer(ask('a')), null);
    assert.equal(queue.offer(ask('b')), null);
    assert.equal(queue.offer(ask('c')), null);
    assert.notEqual(queue.offer(ask('d')), null);
    assert.equal(queue.waiting, 6);
  });
  test('is judged by what pages turned out to hold', () => {
    const queue = aQueue();
    queue.offer(ask('a'));
    assert.equal(queue.waitMs, 32);
    for (let i = 0; i < 300; i++) queue.spend({ charged: 2 }, { entries: 2, bytes: 0 });
    assert.ok(queue.waitMs < 2.1, `${queue.waitMs}`);
  });
});

test('what nobody waits for any more is forgotten', () => {
  const queue = aQueue();
  for (const device of ['a', 'b']) for (const n of [1, 2]) queue.offer(ask(device, `${device}${n}`, 1));
  assert.equal(
    queue.drop((request) => request === 'a1' || request.startsWith('b')),
    3,
  );
  assert.deepEqual([queue.waiting, requests(queue.take(0, 10))], [1, ['a2']]);
});
