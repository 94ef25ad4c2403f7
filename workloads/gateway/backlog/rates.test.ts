import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FEED_ENTRIES_PER_SECOND, Rates } from './rates.ts';

function theRates(share: number): Rates<string> {
  return new Rates({ firstReadsPerSecond: 100, share, nowMs: 0, expected: () => 100 });
}
const firstReads = (rates: Rates<string>, nowMs: number): number => {
  let count = 0;
  while (rates.takeFirstRead(nowMs)) count++;
  return count;
};

describe('the rates at which sessions get what they missed', () => {
  test('are shares of the whole', () => {
    const rates = theRates(0.5);
    assert.equal(firstReads(rates, 0), 50, 'a second of them is saved up');
    assert.equal(firstReads(rates, 1000), 50);
    rates.follow(0.1, 1000);
    assert.equal(firstReads(rates, 2000), 10);
  });
  test('let pulls through up to a quarter of a second ahead, and then say when', () => {
    const rates = theRates(0.1);
    const saved = (FEED_ENTRIES_PER_SECOND * 0.1) / 4;
    assert.equal(rates.putOffPull(saved - 1, 0), null);
    assert.equal(rates.putOffPull(2001, 0), null, 'the last one may go into debt');
    assert.ok(Math.abs(rates.putOffPull(1, 0)! - 1000.5) < 0.01);
    assert.equal(rates.putOffPull(1, 1001), null);
  });
  test('name a time that is worth coming back for', () => {
    const rates = theRates(1);
    assert.equal(rates.putOffPull(FEED_ENTRIES_PER_SECOND / 4, 0), null);
    assert.equal(rates.putOffPull(1, 0), 500);
  });
  test('count a first read that nobody asked for', () => {
    const rates = theRates(1);
    rates.owedFirstRead();
    assert.equal(firstReads(rates, 0), 99);
  });
  test('move the line on', () => {
    const rates = theRates(1);
    rates.follow(0.01, 0);
    for (const who of ['a', 'b', 'c']) rates.line.join(who);
    assert.deepEqual([rates.line.next(0)?.who, rates.line.next(0)], ['a', null]);
  });
});
