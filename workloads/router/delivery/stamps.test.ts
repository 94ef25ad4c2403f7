import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aManualClock } from '../../runtime/clock.ts';
import type { BootId } from '../../protocol/ids.ts';
import { LEAP_MS, Stamps, parseClockTold } from './stamps.ts';

const B = 'b' as BootId;

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
  stamps.heard(B, { nowMs: askedMs + 800, newest: 0, ahead: {} }, askedMs);
  stamps.heard('c' as BootId, { nowMs: askedMs - 400, newest: 0, ahead: {} }, askedMs);
  const last = ahead.next();
  assert.ok(stamps.next() > last);
  stamps.keep(new Set(['c']));
  assert.ok(stamps.next() > last, 'also once it is gone');
  clock.advance(1000);
  assert.equal(stamps.next(), clock.nowMs() * 1000, 'and the own clock counts again when it has caught up');
});

test('a clock that is ahead is known by hearsay to a router that came after its owner had died; hearsay never adds up', () => {
  const clock = aManualClock();
  const [old, came] = [new Stamps(clock), new Stamps(clock)];
  const now = clock.nowMs();
  old.heard(B, { nowMs: now + 800, newest: 0, ahead: {} }, now);
  const last = old.next();
  came.heard('old' as BootId, old.tell(), now - 3);
  assert.ok(came.next() > last);
  for (let round = 0; round < 100; round++) {
    old.heard('came' as BootId, came.tell(), now - 3);
    came.heard('old' as BootId, old.tell(), now - 3);
  }
  assert.ok(came.next() - last < 10_000, 'less than 10 ms');
});

test('who takes over streams starts ahead of the round trip by which estimates differ', () => {
  const clock = aManualClock();
  const stamps = new Stamps(clock);
  stamps.leap();
  assert.equal(stamps.next(), (clock.nowMs() + LEAP_MS) * 1000 + 1);
});

test('an answer that tells no clock is none', () => {
  const told = { nowMs: 1, newest: 2, ahead: { a: 3 } };
  assert.deepEqual(parseClockTold(JSON.stringify(told)), told);
  for (const bad of ['', 'null', '1', '{}', '{"nowMs":1,"newest":2}', '{"nowMs":"1","newest":2,"ahead":{}}'])
    assert.equal(parseClockTold(bad), null, bad);
  assert.equal(parseClockTold('{"nowMs":1,"newest":2,"ahead":{"a":null}}'), null);
});
