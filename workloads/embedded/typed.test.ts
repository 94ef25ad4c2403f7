import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTyped } from './typed.ts';
import type { Typed } from './typed.ts';

const CASES: readonly [line: string, typed: Typed | null][] = [
  ['@ada lunch at noon?', { kind: 'send', to: { account: 'ada' }, body: 'lunch at noon?' }],
  ['  #lunch  at 12:30 ', { kind: 'send', to: { group: 'lunch' }, body: 'at 12:30' }],
  ['order.placed {"n": 1}', { kind: 'upstream', name: 'order.placed', body: { n: 1 } }],
  ['echo "hi"', { kind: 'upstream', name: 'echo', body: 'hi' }],
  ['/subscribe news', { kind: 'subscribe', topic: 'news' }],
  ['/create lunch ada  bob', { kind: 'create', group: 'lunch', members: ['ada', 'bob'] }],
  ['/create lunch', { kind: 'create', group: 'lunch', members: [] }],
  ['', null],
  ['@ada', null],
  ['@ lunch?', null],
  ['/leave lunch', null],
  ['order.placed {"n": 1', null],
];

for (const [line, typed] of CASES)
  test(`"${line}" is ${typed === null ? 'none of the forms' : typed.kind}`, () =>
    assert.deepEqual(parseTyped(line), typed));
