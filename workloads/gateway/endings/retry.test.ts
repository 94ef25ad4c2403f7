import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Epoch } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { Cursor, noteOf, noteSent, place } from './cursor.ts';
import { RETRY_DELAY_MS_MAX, ackDelayMs, attemptsMaxOf, dueAtMs, nackDelayMs, takeRetry } from './retry.ts';

const TIMEOUT_MS = 10_000;

describe('an ack is awaited', () => {
  const cases: readonly [attempts: number, timeoutMs: number, delayMs: number][] = [
    [1, TIMEOUT_MS, TIMEOUT_MS],
    [2, TIMEOUT_MS, TIMEOUT_MS * 2],
    [4, TIMEOUT_MS, TIMEOUT_MS * 8],
    [20, TIMEOUT_MS, RETRY_DELAY_MS_MAX],
    [1, RETRY_DELAY_MS_MAX * 2, RETRY_DELAY_MS_MAX * 2],
    [9, RETRY_DELAY_MS_MAX * 2, RETRY_DELAY_MS_MAX * 2],
  ];
  for (const [attempts, timeoutMs, delayMs] of cases)
    test(`${delayMs} ms of delivery ${attempts}, with a timeout of ${timeoutMs} ms`, () =>
      assert.equal(ackDelayMs(attempts, timeoutMs), delayMs));
});

describe('a negative ack puts the next delivery off by', () => {
  const cases: readonly [nacks: number, askedMs: number, delayMs: number][] = [
    [1, 0, 0],
    [2, 0, TIMEOUT_MS],
    [3, 0, TIMEOUT_MS * 2],
    [1, 700, 700],
    [2, 700, TIMEOUT_MS],
    [2, TIMEOUT_MS * 5, TIMEOUT_MS * 5],
  ];
  for (const [nacks, askedMs, delayMs] of cases)
    test(`${delayMs} ms when it is number ${nacks} and asks for ${askedMs}`, () =>
      assert.equal(nackDelayMs(nacks, TIMEOUT_MS, askedMs), delayMs));
});

test('attempts are those of the record, else the default', () => {
  const options = { attemptsMax: 2, ackTimeoutMs: 0 };
  assert.deepEqual(
    [attemptsMaxOf(options), attemptsMaxOf({ ...options, attemptsMax: 0 }), attemptsMaxOf(undefined)],
    [2, LIMITS.attemptsMax, LIMITS.attemptsMax],
  );
});

describe('a cursor is due', () => {
  const aCursor = (): Cursor => {
    const cursor = new Cursor('@normal', { epoch: 'e' as Epoch, head: 0 });
    place(cursor, 'e' as Epoch, 0);
    for (const offset of [1, 2, 3]) noteSent(cursor, offset, 1000);
    return cursor;
  };
  test('when the lowest entry has waited', () => assert.equal(dueAtMs(aCursor(), TIMEOUT_MS), 1000 + TIMEOUT_MS));
  test('when the lowest entry has waited as long as its own record says', () => {
    const cursor = aCursor();
    noteOf(cursor, 1).ackTimeoutMs = 300;
    noteOf(cursor, 2).ackTimeoutMs = 100;
    assert.equal(dueAtMs(cursor, TIMEOUT_MS), 1300);
  });
  test('when the first retry that was asked for is, which takes those behind it along', () => {
    const cursor = aCursor();
    noteOf(cursor, 2).retryAtMs = 2000;
    noteOf(cursor, 3).retryAtMs = 5000;
    assert.equal(dueAtMs(cursor, TIMEOUT_MS), 2000);
    assert.equal(takeRetry(cursor, 1999), null);
    assert.equal(takeRetry(cursor, 2000), 2);
    assert.equal(dueAtMs(cursor, TIMEOUT_MS), 1000 + TIMEOUT_MS);
  });
  test('not before the time that was asked for, while its lowest entry waits for it', () => {
    const cursor = aCursor();
    noteOf(cursor, 1).retryAtMs = 90_000;
    assert.equal(dueAtMs(cursor, TIMEOUT_MS), 90_000);
  });
});
