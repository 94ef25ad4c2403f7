import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Admission,
  PLACES_MAX_MS,
  PLACES_PER_TURN,
  SENT_AWAY_PER_TICK,
  WAIT_LONGEST_MS,
  WAIT_MAX_MS,
} from './admission.ts';
import type { Comer, Turn } from './admission.ts';

const START = 1_000_000;

function anAdmission(changes: { rate?: number; rampMs?: number; share?: () => number } = {}) {
  const { rate = 100, rampMs = 0, share = () => 1 } = changes;
  const admission = new Admission({ ratePerSecond: rate, rampMs, nowMs: START, random: () => 0.5, share });
  const turns: string[] = [];
  const ask = (name: string, comer: Comer, nowMs = START): void =>
    admission.ask(comer, nowMs, (turn: Turn) =>
      turns.push(turn.kind === 'go' ? name : `${name} in ${turn.retryAfterMs}`),
    );
  return { admission, turns, ask };
}

describe('admission', () => {
  test('lets those in at once who are within the burst of a tenth of a second', () => {
    const { ask, turns } = anAdmission();
    for (let i = 0; i < 11; i++) ask(String(i), 'newcomer');
    assert.equal(turns.length, 10);
  });
  test('takes as many as the rate says, resumers first', () => {
    const { admission, ask, turns } = anAdmission();
    for (let i = 0; i < 10; i++) ask('burst', 'newcomer');
    for (let i = 0; i < 3; i++) ask(`new${i}`, 'newcomer');
    for (let i = 0; i < 3; i++) ask(`resumer${i}`, 'resumer');
    turns.length = 0;
    admission.tick(START + 20);
    assert.deepEqual(turns, ['resumer0', 'resumer1']);
    admission.tick(START + 40);
    assert.deepEqual(turns.slice(2), ['resumer2', 'new0']);
    assert.equal(admission.waiting, 2);
  });
  test('rises from a tenth to the full rate', () => {
    const { admission } = anAdmission({ rampMs: 1000 });
    assert.deepEqual(
      [0, 500, 1000, 5000].map((ms) => Math.round(admission.rateAt(START + ms))),
      [10, 55, 100, 100],
    );
    admission.start(START + 5000);
    assert.equal(admission.rateAt(START + 5000), 10);
  });
  test('takes the share of the rate that there is room for, from the next tick on', () => {
    let share = 1;
    const { admission, ask, turns } = anAdmission({ share: () => share });
    for (let i = 0; i < 10 + 20; i++) ask('one', 'newcomer');
    admission.tick(START + 50);
    assert.equal(turns.length, 15);
    share = 0.2;
    admission.tick(START + 100);
    assert.equal(turns.length, 16);
    assert.equal(admission.rateAt(START + 100), 20);
  });
  test('refuses who would wait longer than the bound, with the time until the queue is done', () => {
    const { ask, turns } = anAdmission();
    const most = (WAIT_MAX_MS / 1000) * 100;
    for (let i = 0; i < 10 + most + 1; i++) ask('waits', 'newcomer');
    assert.equal(turns.length, 10, 'the last one that may wait waits');
    ask('late', 'newcomer');
    assert.deepEqual(turns.slice(10), ['late in 5010']);
    ask('resumer', 'resumer');
    assert.equal(turns.length, 11, 'newcomers do not stand in the way of a resumer');
  });
  test('gives each that is sent away a place behind the one before, as many as there are turns and some more', () => {
    const { ask, turns } = anAdmission();
    for (let i = 0; i < 10 + 501; i++) ask('waits', 'newcomer');
    turns.length = 0;
    const later = PLACES_PER_TURN * 100;
    for (let i = 0; i <= later; i++) ask('late', 'newcomer');
    const ms = turns.map((turn) => Number(/ in (\d+)$/.exec(turn)?.[1]));
    assert.equal(ms[0], 5010);
    assert.equal(ms[later], 6010, 'a second later');
    assert.ok(ms.every((each, i) => i === 0 || each > ms[i - 1]!));
    turns.length = 0;
    ask('later', 'newcomer', START + 500);
    assert.deepEqual(turns, ['later in 5515'], 'places are moments, not waits');
  });
  test('sends the last ones away when the rate has fallen, newcomers first, a few at a time', () => {
    let share = 1;
    const { admission, ask, turns } = anAdmission({ share: () => share });
    for (let i = 0; i < 10; i++) ask('burst', 'newcomer');
    for (let i = 0; i < 100; i++) ask(`resumer${i}`, 'resumer');
    for (let i = 0; i < 100; i++) ask(`new${i}`, 'newcomer');
    turns.length = 0;
    share = 0.1;
    admission.tick(START);
    assert.equal(turns.length, SENT_AWAY_PER_TICK);
    assert.match(turns[0]!, /^new99 in \d+$/);
    for (let i = 0; i < 20; i++) admission.tick(START);
    assert.equal(admission.waiting, (WAIT_LONGEST_MS / 1000) * 10);
    assert.match(turns.at(-1)!, /^resumer75 in \d+$/);
    admission.tick(START + 100);
    assert.equal(turns.at(-1), 'resumer0');
  });
  test('keeps places apart for a minute, and beyond that spreads by chance', () => {
    const { ask, turns } = anAdmission({ rate: 1 });
    for (let i = 0; i < 200; i++) ask('one', 'newcomer');
    assert.equal(turns.at(-1), `one in ${PLACES_MAX_MS * 1.5}`);
  });
});
