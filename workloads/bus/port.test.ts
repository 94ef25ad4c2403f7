import assert from 'node:assert/strict';
import { test } from 'node:test';
import { busState } from './port.ts';

for (const [what, health, expected] of [
  ['answers and has nothing to say', { reachable: true, problem: null }, 'reachable'],
  ['answers and does not make topics', { reachable: true, problem: 'a topic was not made' }, 'away'],
  ['does not answer', { reachable: false, problem: 'connect ECONNREFUSED' }, 'away'],
  ['does not answer, nobody knows why', { reachable: false, problem: null }, 'away'],
] as const)
  test(`a bus that ${what} is ${expected}`, () => assert.equal(busState({ health: () => health }), expected));

test('where there is no bus there is none', () => assert.equal(busState(null), 'none'));
