import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AppId, TopicName } from '../../protocol/ids.ts';
import { aManualClock } from '../../runtime/clock.ts';
import type { Delivery } from './gateway-link.ts';
import { LIVE_WAITING_MAX, LiveQueue, STALL_MS } from './live-queue.ts';

const message = (stamp: number): Delivery => ({
  kind: 'deliver-topic',
  app: 'shop' as AppId,
  topic: 'news' as TopicName,
  epoch: null,
  offset: 0,
  prev: 0,
  stamp,
  record: new Uint8Array(0),
});

/** What the queue sees of a link: room for some, and what it was given. */
function aLink(room: number) {
  const got: number[] = [];
  const link = {
    isReachable: true,
    stalled: false,
    room,
    got,
    get hasLiveRoom() {
      return link.isReachable && link.room > 0;
    },
    offerLive(delivery: Delivery) {
      if (!link.hasLiveRoom) return false;
      link.room--;
      if (delivery.kind === 'deliver-topic') got.push(delivery.stamp);
      return true;
    },
  };
  return link;
}
function aQueue(links: readonly ReturnType<typeof aLink>[]) {
  const clock = aManualClock();
  let missed = 0;
  const queue = new LiveQueue({
    clock,
    gateways: () => links,
    onMissed: () => void missed++,
  });
  return { queue, clock, missed: () => missed };
}

test('messages wait until every gateway has room, and keep their order', async () => {
  const links = [aLink(10), aLink(1)];
  const { queue, missed } = aQueue(links);
  assert.equal(await queue.send(message(1)), 2);
  const later = [queue.send(message(2)), queue.send(message(3))];
  assert.deepEqual([links[0]!.got, queue.length], [[1], 2]);
  links[1]!.room = 1;
  queue.roomChanged();
  assert.deepEqual([links[0]!.got, queue.length], [[1, 2], 1]);
  links[1]!.room = 5;
  queue.roomChanged();
  assert.deepEqual(await Promise.all(later), [2, 2]);
  assert.deepEqual(
    links.map(({ got }) => got),
    [
      [1, 2, 3],
      [1, 2, 3],
    ],
  );
  assert.equal(missed(), 0);
});

test('a gateway that stays behind is passed over, counted, until it has room again', async () => {
  const links = [aLink(100), aLink(0)];
  const { queue, clock, missed } = aQueue(links);
  const first = queue.send(message(1));
  clock.advance(STALL_MS - 1);
  assert.equal(links[0]!.got.length, 0);
  clock.advance(1);
  assert.equal(await first, 1);
  assert.equal(await queue.send(message(2)), 1); // without another wait
  assert.equal(missed(), 2);
  links[1]!.room = 1;
  assert.equal(await queue.send(message(3)), 2);
  assert.deepEqual(links[1]!.got, [3]);
});

test('a gateway whose link is down is not waited for', async () => {
  const links = [aLink(1), aLink(1)];
  links[1]!.isReachable = false;
  const { queue, missed } = aQueue(links);
  assert.equal(await queue.send(message(1)), 1);
  assert.equal(missed(), 1);
});

test('without gateways a message is sent to none at once', async () => {
  assert.equal(await aQueue([]).queue.send(message(1)), 0);
});

test('as many wait as may, one more is refused with a wait; stopping lets them go', async () => {
  const { queue } = aQueue([aLink(0)]);
  const waiting = Array.from({ length: LIVE_WAITING_MAX }, (_, i) => queue.send(message(i)));
  assert.throws(() => queue.send(message(0)), { code: 'overloaded', retryAfterMs: 200 });
  queue.stop();
  assert.equal((await Promise.all(waiting)).length, LIVE_WAITING_MAX);
});
