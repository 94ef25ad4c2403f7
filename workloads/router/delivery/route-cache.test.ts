import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccountId, AppId, BootId, DeviceId, GatewayName } from '../../protocol/ids.ts';
import type { Route } from '../../store/port.ts';
import { RouteCache } from './route-cache.ts';

const app = 'shop' as AppId;
const device = (name: string): DeviceId => name as DeviceId;
const route = (bootId = 'b1'): Route => ({
  gateway: 'gw-0' as GatewayName,
  bootId: bootId as BootId,
  generation: 1,
  account: 'ada' as AccountId,
  connectedAtMs: 0,
});

test('a route is given until its time is up', () => {
  const cache = new RouteCache({ rowsMax: 10, ttlMs: 100 });
  cache.put(app, device('a'), { route: route(), nowMs: 0 });
  assert.deepEqual(cache.get(app, device('a'), 99), route());
  assert.equal(cache.get(app, device('a'), 100), null);
  assert.equal(cache.size, 0);
});

test('past its rows the one not used for longest goes', () => {
  const cache = new RouteCache({ rowsMax: 2, ttlMs: 100 });
  for (const name of ['a', 'b']) cache.put(app, device(name), { route: route(), nowMs: 0 });
  cache.get(app, device('a'), 1);
  cache.put(app, device('c'), { route: route(), nowMs: 1 });
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => cache.get(app, device(name), 1) !== null),
    [true, false, true],
  );
});

test('only the route to the life that does not have the device is dropped', () => {
  const cache = new RouteCache({ rowsMax: 10, ttlMs: 100 });
  cache.put(app, device('a'), { route: route('newer'), nowMs: 0 });
  cache.drop(app, device('a'), 'older' as BootId);
  assert.notEqual(cache.get(app, device('a'), 1), null);
  cache.drop(app, device('a'), 'newer' as BootId);
  assert.equal(cache.get(app, device('a'), 1), null);
});

test('devices of two apps with one name are two; a cache of 0 rows or 0 ms keeps nothing', () => {
  const cache = new RouteCache({ rowsMax: 10, ttlMs: 100 });
  cache.put(app, device('a'), { route: route(), nowMs: 0 });
  assert.equal(cache.get('other' as AppId, device('a'), 0), null);
  for (const options of [
    { rowsMax: 0, ttlMs: 100 },
    { rowsMax: 10, ttlMs: 0 },
  ]) {
    const none = new RouteCache(options);
    none.put(app, device('a'), { route: route(), nowMs: 0 });
    assert.equal(none.size, 0);
  }
});
