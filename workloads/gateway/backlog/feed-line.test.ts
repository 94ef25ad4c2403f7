import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FeedLine, UNDER_WAY_SECONDS } from './feed-line.ts';
import type { FeedTurn } from './feed-line.ts';

const RATE = 1000;

function aLine(expected: (who: string) => number = () => 50): FeedLine<string> {
  return new FeedLine({ entriesPerSecond: RATE, nowMs: 0, expected });
}
function turnsAt(line: FeedLine<string>, nowMs: number): FeedTurn<string>[] {
  const turns: FeedTurn<string>[] = [];
  for (let turn = line.next(nowMs); turn !== null; turn = line.next(nowMs)) turns.push(turn);
  return turns;
}
const names = (turns: readonly FeedTurn<string>[]): string[] => turns.map(({ who }) => who);

describe('the line for pages', () => {
  test('lets the first in at once and the others at the rate, in the order they came', () => {
    const line = aLine();
    for (const who of ['a', 'b', 'c', 'd']) line.join(who);
    line.join('a');
    assert.deepEqual(names(turnsAt(line, 0)), ['a'], 'a twentieth of a second is saved up');
    assert.deepEqual(names(turnsAt(line, 40)), ['b'], 'what is missing is debt');
    assert.deepEqual(names(turnsAt(line, 50)), []);
    assert.deepEqual(names(turnsAt(line, 60)), ['c']);
    assert.equal(line.waiting, 1);
  });
  test('asks for no more at once than a short time is worth', () => {
    const line = aLine();
    for (let i = 0; i < 20; i++) line.join(String(i));
    const turns: FeedTurn<string>[] = [];
    for (let nowMs = 0; nowMs < 2000; nowMs += 10) turns.push(...turnsAt(line, nowMs));
    assert.equal(line.underWay, RATE * UNDER_WAY_SECONDS);
    assert.equal(turns.length, 5);
    line.end(turns[0]!, 50);
    assert.equal(turnsAt(line, 2000).length, 1);
  });
  test('lets one page through however low the rate', () => {
    const line = aLine();
    line.setRate(1, 0);
    line.join('a');
    assert.deepEqual(names(turnsAt(line, 1000)), ['a']);
  });
  test('charges what a page turned out to hold', () => {
    const line = aLine();
    for (const who of ['a', 'b']) line.join(who);
    const turns = turnsAt(line, 0);
    for (const turn of turns) line.end(turn, 0);
    assert.equal(line.underWay, 0);
    line.join('c');
    assert.equal(turnsAt(line, 0).length, 1, 'both cost nothing');
  });
  test('passes over who left, and who wants nothing any more', () => {
    const line = aLine((who) => (who === 'done' ? 0 : 50));
    for (const who of ['gone', 'done', 'c']) line.join(who);
    line.leave('gone');
    assert.deepEqual(names(turnsAt(line, 0)), ['c']);
    assert.equal(line.waiting, 0);
  });
  test('goes by a new rate from then on', () => {
    const line = aLine();
    for (let i = 0; i < 20; i++) line.join(String(i));
    for (const turn of turnsAt(line, 0)) line.end(turn, 50);
    line.setRate(RATE / 10, 0);
    const slow: FeedTurn<string>[] = [];
    for (let nowMs = 0; nowMs <= 2000; nowMs += 10)
      for (const turn of turnsAt(line, nowMs)) {
        slow.push(turn);
        line.end(turn, 50);
      }
    assert.ok(slow.length >= 1 && slow.length <= 4, `${slow.length} in two seconds at 100 a second`);
  });
});
