import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aManualClock } from '../runtime/clock.ts';
import { Stamps } from './stamps.ts';

test('stamps rise within one millisecond, with the clock, and over a clock that was set back', () => {
  const clock = aManualClock();
  const behind = aManualClock(clock.nowMs() - 5000);
  let now = clock;
  const stamps = new Stamps({ ...clock, nowMs: () => now.nowMs() });
  const given = [stamps.next(), stamps.next()];
  clock.advance(3);
  given.push(stamps.next());
  now = behind;
  given.push(stamps.next());
  const start = 1_800_000_000_000_000;
  assert.deepEqual(given, [start, start + 1, start + 3000, start + 3001]);
});

test('what another router stamped is passed', () => {
  const clock = aManualClock();
  const stamps = new Stamps(clock);
  const theirs = clock.nowMs() * 1000 + 7_000_000;
  stamps.observe(theirs);
  assert.equal(stamps.next(), theirs + 1);
  stamps.observe(theirs - 100);
  assert.equal(stamps.next(), theirs + 2);
});

test('the clock that is furthest ahead is kept to, so that the next owner’s stamps are above those of an owner that died', () => {
  const clock = aManualClock();
  const ahead = new Stamps(aManualClock(clock.nowMs() + 800));
  const stamps = new Stamps(clock);
  const askedMs = clock.nowMs();
  clock.advance(2); // the way there and back
  stamps.heardClock('b', { peerMs: askedMs + 800, askedMs });
  stamps.heardClock('c', { peerMs: askedMs - 400, askedMs });
  const last = ahead.next();
  assert.ok(stamps.next() > last);
  stamps.forget('b');
  assert.ok(stamps.next() > last, 'also once it is gone');
  clock.advance(1000);
  assert.equal(stamps.next(), clock.nowMs() * 1000, 'and the own clock counts again when it has caught up');
});
