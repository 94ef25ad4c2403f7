import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLOSED, FAILURES_MAX, PROBE_MS, probed, stepCircuit, tickCircuit, wayOf } from './circuit.ts';
import type { Circuit, CircuitEvent, Way } from './circuit.ts';

const failing = (failures: number): Circuit => ({ state: 'closed', failures });
const OPEN: Circuit = { state: 'open', untilMs: 1000, opens: 1 };
const HALF: Circuit = { state: 'half-open', opens: 1, probedMs: null };
const PROBED: Circuit = { state: 'half-open', opens: 1, probedMs: 500 };

const steps: readonly [title: string, from: Circuit, event: CircuitEvent, to: Circuit][] = [
  ['a failure is counted', CLOSED, 'failed', failing(1)],
  ['an answer forgets failures', failing(FAILURES_MAX - 1), 'succeeded', CLOSED],
  ['the last failure in a row opens it for a second', failing(FAILURES_MAX - 1), 'failed', OPEN],
  ['one before that does not', failing(FAILURES_MAX - 2), 'failed', failing(FAILURES_MAX - 1)],
  ['open: further failures change nothing', OPEN, 'failed', OPEN],
  ['open: an answer that was under way changes nothing', OPEN, 'succeeded', OPEN],
  ['half-open: a failure before the probe changes nothing', HALF, 'failed', HALF],
  ['half-open: the probe’s answer closes it', PROBED, 'succeeded', CLOSED],
  ['half-open: an answer without a probe closes it', HALF, 'succeeded', CLOSED],
  [
    'half-open: a probe that failed opens it for twice as long',
    PROBED,
    'failed',
    { state: 'open', untilMs: 2000, opens: 2 },
  ],
];
for (const [title, from, event, to] of steps) test(title, () => assert.deepEqual(stepCircuit(from, event, 0), to));

const ticks: readonly [title: string, from: Circuit, nowMs: number, to: Circuit][] = [
  ['closed stays closed', CLOSED, 99_999, CLOSED],
  ['open stays open until its time', OPEN, 999, OPEN],
  ['then it is half-open', OPEN, 1000, HALF],
  ['half-open waits for something to probe with', HALF, 99_999, HALF],
  ['a probe has its time', PROBED, 500 + PROBE_MS - 1, PROBED],
  ['and then has failed', PROBED, 500 + PROBE_MS, { state: 'open', untilMs: 500 + PROBE_MS + 2000, opens: 2 }],
];
for (const [title, from, nowMs, to] of ticks) test(title, () => assert.deepEqual(tickCircuit(from, nowMs), to));

const ways: readonly [Circuit, Way][] = [
  [CLOSED, 'direct'],
  [failing(3), 'direct'],
  [OPEN, 'divert'],
  [HALF, 'probe'],
  [PROBED, 'divert'],
];
for (const [circuit, way] of ways)
  test(`a delivery goes ${way} where it is ${JSON.stringify(circuit)}`, () => assert.equal(wayOf(circuit), way));

test('half a minute is the longest it stays open', () => {
  let circuit: Circuit = HALF;
  let nowMs = 0;
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    circuit = stepCircuit(probed(circuit, nowMs), 'failed', nowMs);
    assert.ok(circuit.state === 'open');
    waits.push((circuit.untilMs - nowMs) / 1000);
    nowMs = circuit.untilMs;
    circuit = tickCircuit(circuit, nowMs);
  }
  assert.deepEqual(waits, [2, 4, 8, 16, 30, 30, 30, 30]);
});
