import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AppId } from '../../protocol/ids.ts';
import { anApp } from '../fixtures.ts';
import { Quotas } from './quota.ts';

const held = (waitMs: number, quota = 'messagesPerSecond') => ({ quota, waitMs });

test('an app without a quota is never held', () => {
  const quotas = new Quotas();
  for (let i = 0; i < 10_000; i++) assert.equal(quotas.take(anApp(), 0), null);
});

test('a second holds its quota, then each message waits for its share', () => {
  const quotas = new Quotas();
  const app = anApp({ quotas: { messagesPerSecond: 10 } });
  for (let i = 0; i < 10; i++) assert.equal(quotas.take(app, 1000), null);
  assert.deepEqual(quotas.take(app, 1000), held(100));
  assert.deepEqual(quotas.take(app, 1050), held(50));
  assert.equal(quotas.take(app, 1100), null);
  assert.deepEqual(quotas.take(app, 1100), held(100));
});

test('what was not used for longer than a second is lost', () => {
  const quotas = new Quotas();
  const app = anApp({ quotas: { messagesPerSecond: 2 } });
  quotas.take(app, 0);
  assert.deepEqual(
    [quotas.take(app, 100_000), quotas.take(app, 100_000), quotas.take(app, 100_000)],
    [null, null, held(500)],
  );
});

test('less than one a second works too, and 0 lets nothing pass', () => {
  const quotas = new Quotas();
  const slow = anApp({ quotas: { messagesPerSecond: 0.5 } });
  assert.deepEqual([quotas.take(slow, 0), quotas.take(slow, 0), quotas.take(slow, 2000)], [null, held(2000), null]);
  const closed = anApp({ name: 'closed' as AppId, quotas: { messagesPerSecond: 0 } });
  assert.deepEqual(quotas.take(closed, 0), held(60_000));
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

test('recipients and bytes have buckets of their own, and what one of them holds back takes nothing of the others', () => {
  const quotas = new Quotas();
  const app = anApp({ quotas: { messagesPerSecond: 3, recipientsPerSecond: 100, bytesPerSecond: 1000 } });
  assert.equal(quotas.take(app, 0, { recipients: 100, bytes: 10 }), null);
  assert.deepEqual(quotas.take(app, 0, { recipients: 50, bytes: 10 }), held(500, 'recipientsPerSecond'));
  assert.equal(quotas.take(app, 500, { recipients: 50, bytes: 1000 }), null);
  assert.deepEqual(quotas.take(app, 600, { recipients: 1, bytes: 500 }), held(400, 'bytesPerSecond'));
});

test('a list larger than a second may hold passes when the bucket is full, and is paid for after', () => {
  const quotas = new Quotas();
  const app = anApp({ quotas: { recipientsPerSecond: 1000 } });
  assert.equal(quotas.take(app, 0, { recipients: 5000, bytes: 0 }), null);
  assert.deepEqual(quotas.take(app, 0), held(4001, 'recipientsPerSecond'));
  assert.equal(quotas.take(app, 4001), null);
});

test('a quota is divided by the routers that are alive', () => {
  const alive = { routers: 1 };
  const quotas = new Quotas(() => alive.routers);
  const app = anApp({ quotas: { messagesPerSecond: 10 } });
  alive.routers = 5;
  const taken = Array.from({ length: 10 }, () => quotas.take(app, 0)).filter((one) => one === null);
  assert.equal(taken.length, 2);
});
