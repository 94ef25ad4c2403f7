import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addEnded, countEnded, rangeAt } from './ended.ts';
import type { EndedRange, EndedWhy } from './ended.ts';

type Short = readonly [from: number, to: number, why: EndedWhy];
const ranges = (...list: readonly Short[]): EndedRange[] => list.map(([from, to, why]) => ({ from, to, why }));
const short = (list: readonly EndedRange[]): Short[] => list.map(({ from, to, why }) => [from, to, why]);

describe('what has ended above a cursor', () => {
  const cases: readonly [title: string, before: Short[], add: Short, after: Short[], fresh: Short[]][] = [
    ['begins with one', [], [5, 5, 'acked'], [[5, 5, 'acked']], [[5, 5, 'acked']]],
    [
      'stays sorted',
      [[9, 9, 'acked']],
      [5, 6, 'dead'],
      [
        [5, 6, 'dead'],
        [9, 9, 'acked'],
      ],
      [[5, 6, 'dead']],
    ],
    [
      'grows where it continues for the same reason',
      [[5, 6, 'filtered']],
      [7, 7, 'filtered'],
      [[5, 7, 'filtered']],
      [[7, 7, 'filtered']],
    ],
    [
      'stays apart where the reason is another',
      [[5, 6, 'filtered']],
      [7, 7, 'expired'],
      [
        [5, 6, 'filtered'],
        [7, 7, 'expired'],
      ],
      [[7, 7, 'expired']],
    ],
    [
      'keeps the reason of what had ended before',
      [[5, 6, 'acked']],
      [4, 8, 'expired'],
      [
        [4, 4, 'expired'],
        [5, 6, 'acked'],
        [7, 8, 'expired'],
      ],
      [
        [4, 4, 'expired'],
        [7, 8, 'expired'],
      ],
    ],
    ['does not change when it is said again', [[5, 6, 'acked']], [5, 6, 'dead'], [[5, 6, 'acked']], []],
    [
      'fills a hole between two',
      [
        [5, 5, 'acked'],
        [7, 7, 'acked'],
      ],
      [6, 6, 'dead'],
      [
        [5, 5, 'acked'],
        [6, 6, 'dead'],
        [7, 7, 'acked'],
      ],
      [[6, 6, 'dead']],
    ],
    [
      'goes on behind several',
      [
        [2, 2, 'dead'],
        [4, 4, 'dead'],
      ],
      [1, 6, 'expired'],
      [
        [1, 1, 'expired'],
        [2, 2, 'dead'],
        [3, 3, 'expired'],
        [4, 4, 'dead'],
        [5, 6, 'expired'],
      ],
      [
        [1, 1, 'expired'],
        [3, 3, 'expired'],
        [5, 6, 'expired'],
      ],
    ],
  ];
  for (const [title, before, [from, to, why], after, fresh] of cases)
    test(title, () => {
      const list = ranges(...before);
      assert.deepEqual(short(addEnded(list, from, to, why)), fresh);
      assert.deepEqual(short(list), after);
    });
  test('is counted within bounds, and found', () => {
    const list = ranges([2, 4, 'dead'], [6, 6, 'acked'], [8, 10, 'expired']);
    assert.deepEqual([countEnded(list, 1, 12), countEnded(list, 3, 8), countEnded(list, 5, 5)], [7, 4, 0]);
    const at = (offset: number): EndedWhy | null => rangeAt(list, offset)?.why ?? null;
    assert.deepEqual([1, 2, 4, 5, 6, 10, 11].map(at), [null, 'dead', 'dead', null, 'acked', 'expired', null]);
  });
});
