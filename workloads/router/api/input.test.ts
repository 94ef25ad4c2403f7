import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDeviceId } from '../../protocol/ids.ts';
import { Input } from './input.ts';

const KNOWN = ['device', 'limit', 'all', 'action', 'ids', 'note'];
const limits = { min: 1, max: 500, fallback: 100 };

test('numbers and flags are read as JSON has them and as a query has them', () => {
  for (const value of [7, '7']) assert.equal(new Input({ limit: value }, KNOWN).whole('limit', limits), 7);
  for (const value of [true, 'true']) assert.equal(new Input({ all: value }, KNOWN).flag('all'), true);
  for (const value of [false, 'false', undefined]) assert.equal(new Input({ all: value }, KNOWN).flag('all'), false);
  assert.equal(new Input({}, KNOWN).whole('limit', limits), 100);
});

test('a list of names has each once', () => {
  const input = new Input({ ids: ['a', 'b', 'a'] }, KNOWN);
  assert.deepEqual(input.names('ids', { min: 1, max: 3 }, parseDeviceId), ['a', 'b']);
  assert.deepEqual(new Input({}, KNOWN).names('ids', { min: 0, max: 3 }, parseDeviceId), []);
});

describe('a field is refused by name', () => {
  const cases: readonly [title: string, field: string, read: () => unknown][] = [
    ['that nobody knows', 'nope', () => new Input({ nope: 1 }, KNOWN)],
    ['when the whole is no object', 'body', () => new Input([], KNOWN)],
    ['when it is missing', 'device', () => new Input({}, KNOWN).name('device', parseDeviceId)],
    ['when it is no name', 'device', () => new Input({ device: 'a b' }, KNOWN).name('device', parseDeviceId)],
    [
      'as one of a list',
      'ids[1]',
      () => new Input({ ids: ['a', ''] }, KNOWN).names('ids', { min: 1, max: 2 }, parseDeviceId),
    ],
    [
      'as too long a list',
      'ids',
      () => new Input({ ids: ['a', 'b'] }, KNOWN).names('ids', { min: 1, max: 1 }, parseDeviceId),
    ],
    ['past its most', 'limit', () => new Input({ limit: 501 }, KNOWN).whole('limit', limits)],
    ['as half a number', 'limit', () => new Input({ limit: '1.5' }, KNOWN).whole('limit', limits)],
    ['as neither true nor false', 'all', () => new Input({ all: 'yes' }, KNOWN).flag('all')],
    ['as none of the choices', 'action', () => new Input({ action: 'x' }, KNOWN).choice('action', ['drop'])],
    ['as too long a text', 'note', () => new Input({ note: 'xx' }, KNOWN).text('note', 1)],
  ];
  for (const [title, field, read] of cases)
    test(title, () => {
      assert.throws(read, { code: 'invalid-request', field });
    });
});
