import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Epoch } from '../../protocol/ids.ts';
import { planStart, settleStart } from './start.ts';
import type { Place, ServerCursor, StartPlan } from './start.ts';

const at = (offset: number, epoch = 'e'): Place => ({ epoch: epoch as Epoch, offset });

describe('a stream opens', () => {
  const cases: readonly [string, claim: Place | null, server: ServerCursor, head: Place | null, StartPlan][] = [
    ['nowhere while nobody has written it', at(3), at(2), null, { kind: 'unwritten' }],
    ['at the head when the client holds all', at(5), at(2), at(5), { kind: 'here', at: at(5), reason: null }],
    ['by a read when the client is behind', at(3), at(2), at(5), { kind: 'read', after: at(3) }],
    ['by a read when the client claims more than there is', at(9), at(2), at(5), { kind: 'read', after: at(9) }],
    ['by a read when the client names another epoch', at(5, 'old'), null, at(5), { kind: 'read', after: at(5, 'old') }],
    ['where the server knows it, by a read', null, at(2), at(5), { kind: 'read', after: at(2) }],
    [
      'at the head when the server knows it there',
      null,
      at(5),
      at(5),
      { kind: 'here', at: at(5), reason: 'no-position' },
    ],
    [
      'from the beginning when it was subscribed before it was written',
      null,
      'start',
      at(5),
      { kind: 'read', after: null },
    ],
    ['at the head for a newcomer', null, null, at(5), { kind: 'here', at: at(5), reason: 'no-position' }],
  ];
  for (const [title, claim, server, head, plan] of cases)
    test(title, () => assert.deepEqual(planStart({ claim, server, head }), plan));
});

describe('what was read says', () => {
  const read = { epoch: 'e' as Epoch, from: 4 };
  test('recovered when the claim was continued', () =>
    assert.deepEqual(settleStart('@low', at(4), { ...read, notRecovered: null }), {
      stream: '@low',
      epoch: 'e',
      offset: 4,
      recovered: true,
    }));
  test('why not, when it could not be', () =>
    assert.equal(settleStart('@low', at(9), { ...read, notRecovered: 'ahead' }).reason, 'ahead'));
  test('no-position when nothing was claimed', () =>
    assert.equal(settleStart('@low', null, { ...read, notRecovered: null }).reason, 'no-position'));
});
