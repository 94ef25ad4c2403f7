import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonObject } from '../spec.ts';
import { memoryEnv } from './memory-env.ts';

const limit = (memory: unknown): JsonObject => ({ limits: { memory } });
const overlay = (name: string, memory: unknown): JsonObject => ({
  spec: { containers: [{ name, resources: limit(memory) }] },
});

describe('the memory at which a role takes in less', () => {
  const cases: readonly (readonly [string, JsonObject, JsonObject, string | null])[] = [
    ['is 80 % of the limit', limit('1000M'), {}, '800000000'],
    ['takes a number of bytes', limit(1_000_000_000), {}, '800000000'],
    ['is whole', limit('768Mi'), {}, '644245094'],
    ['is of the overlay’s limit where it has one', limit('1Gi'), overlay('gateway', '2000M'), '1600000000'],
    ['is not of a sidecar’s', limit('1000M'), overlay('sidecar', '2Gi'), '800000000'],
    ['is of the overlay alone where resources have none', {}, overlay('gateway', '1000M'), '800000000'],
    ['is left out without resources', {}, {}, null],
    ['is left out with a request only', { requests: { memory: '1Gi' } }, {}, null],
    ['is left out with a limit of the CPU only', { limits: { cpu: 1 } }, {}, null],
    ['is left out for a limit of 0, which is none', limit('0'), {}, null],
    ['is left out for what is no quantity: the API server refuses the pod', limit('much'), {}, null],
    ['is at least what the setting takes', limit('1Mi'), {}, '1048576'],
    ['is at most what the setting takes', limit('1Ti'), {}, '68719476736'],
  ];
  for (const [what, resources, podTemplate, expected] of cases)
    it(what, () =>
      assert.deepEqual(
        memoryEnv('M', { resources, podTemplate, scheduling: {} }, 'gateway'),
        expected === null ? {} : { M: expected },
      ),
    );
});
