import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AppId } from '../protocol/ids.ts';
import { anApp } from './fixtures.ts';
import { Quotas } from './quota.ts';

test('an app without a quota is never held', () => {
  const quotas = new Quotas();
  for (let i = 0; i < 10_000; i++) assert.equal(quotas.take(anApp(), 0), null);
});

test('a second holds its quota, then each message waits for its share', () => {
  const quotas = new Quotas();
  const app = anApp({ quotas: { messagesPerSecond: 10 } });
  for (let i = 0; i < 10; i++) assert.equal(quotas.take(app, 1000), null);
  assert.equal(quotas.take(app, 1000), 100);
  assert.equal(quotas.take(app, 1050), 50);
  assert.equal(quotas.take(app, 1100), null);
  assert.equal(quotas.take(app, 1100), 100);
});

test('what was not used for longer than a second is lost', () => {
  const quotas = new Quotas();
  const app = anApp({ quotas: { messagesPerSecond: 2 } });
  quotas.take(app, 0);
  assert.deepEqual(
    [quotas.take(app, 100_000), quotas.take(app, 100_000), quotas.take(app, 100_000)],
    [null, null, 500],
  );
});

test('less than one a second works too, and 0 lets nothing pass', () => {
  const quotas = new Quotas();
  const slow = anApp({ quotas: { messagesPerSecond: 0.5 } });
  assert.deepEqual([quotas.take(slow, 0), quotas.take(slow, 0), quotas.take(slow, 2000)], [null, 2000, null]);
  const closed = anApp({ name: 'closed' as AppId, quotas: { messagesPerSecond: 0 } });
  assert.equal(quotas.take(closed, 0), 60_000);
});

test('apps do not share, a changed quota counts at once, and apps that are gone are forgotten', () => {
  const quotas = new Quotas();
  const one = anApp({ quotas: { messagesPerSecond: 1 } });
  const other = anApp({ name: 'other' as AppId, quotas: { messagesPerSecond: 1 } });
  quotas.take(one, 0);
  assert.equal(quotas.take(other, 0), null);
  assert.equal(quotas.take({ ...one, quotas: { messagesPerSecond: 1000 } }, 1), null);
  quotas.keep([]);
  assert.equal(quotas.take(other, 0), null);
});
