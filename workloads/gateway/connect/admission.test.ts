import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Admission, WAIT_MAX_MS } from './admission.ts';
import type { Comer, Turn } from './admission.ts';

const START = 1_000_000;

function anAdmission(changes: { rate?: number; rampMs?: number } = {}) {
  const { rate = 100, rampMs = 0 } = changes;
  const admission = new Admission({ ratePerSecond: rate, rampMs, nowMs: START, random: () => 0.5 });
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
  test('refuses who would wait longer than the bound, with the time until the queue is done', () => {
    const { ask, turns } = anAdmission();
    const most = (WAIT_MAX_MS / 1000) * 100;
    for (let i = 0; i < 10 + most + 1; i++) ask('waits', 'newcomer');
    assert.equal(turns.length, 10, 'the last one that may wait waits');
    ask('late', 'newcomer');
    assert.deepEqual(turns.slice(10), ['late in 7515']);
    ask('resumer', 'resumer');
    assert.equal(turns.length, 11, 'newcomers do not stand in the way of a resumer');
  });
});
