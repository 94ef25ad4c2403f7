import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AppId, DeviceId } from '../../protocol/ids.ts';
import { ClientRates } from './client-rate.ts';

const shop = 'shop' as AppId;
const one = 'phone-1' as DeviceId;
const other = 'phone-2' as DeviceId;

test('a device sends its rate, then waits; devices do not share', () => {
  const rates = new ClientRates();
  const at = (nowMs: number) => ({ perSecond: 2, nowMs });
  assert.deepEqual(
    [1, 2, 3].map(() => rates.take(shop, one, at(0))),
    [0, 0, 500],
  );
  assert.equal(rates.take(shop, other, at(0)), 0);
  assert.equal(rates.take(shop, one, at(500)), 0);
  assert.equal(rates.take(shop, one, { perSecond: 0, nowMs: 500 }), 60_000);
});

test('the device that was quiet the longest is forgotten past the most devices', () => {
  const rates = new ClientRates(1);
  const rate = { perSecond: 1, nowMs: 0 };
  assert.equal(rates.take(shop, one, rate), 0);
  assert.equal(rates.take(shop, one, rate), 1000);
  assert.equal(rates.take(shop, other, rate), 0);
  assert.equal(rates.take(shop, one, rate), 0);
});
