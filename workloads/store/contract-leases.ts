// Contract of the store port: leases of gateways, and the sweep of routes whose life is over (R7).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { account, anOpenSession, APP, boot, device, gateway, register, withStore } from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { GatewayLease } from './port.ts';

function aLease(
  more: Partial<Record<'gateway' | 'bootId', string>> & { startedAtMs?: number; connections?: number } = {},
): GatewayLease {
  return {
    gateway: gateway(more.gateway ?? 'gw-0'),
    bootId: boot(more.bootId ?? 'boot-a'),
    linkAddress: '10.0.0.1:7070',
    connections: more.connections ?? 3,
    startedAtMs: more.startedAtMs ?? 1000,
  };
}

export function leasesContract(subject: StoreSubject): void {
  test('a lease is listed until its time runs out, and renewed by its life', () =>
    withStore(subject, {}, async ({ store, advance }) => {
      assert.equal(await store.renewLease(aLease(), 1500), 'kept');
      assert.deepEqual(await store.leases(), [aLease()]);
      await advance(800);
      assert.equal(await store.renewLease(aLease({ connections: 4 }), 1500), 'kept');
      await advance(800);
      assert.deepEqual(await store.leases(), [aLease({ connections: 4 })]);
      await advance(800);
      assert.deepEqual(await store.leases(), []);
      assert.equal(await store.renewLease(aLease(), 1500), 'kept', 'nobody else took the name');
    }));

  test('a newer life takes the name, and the older one is told void', () =>
    withStore(subject, {}, async ({ store }) => {
      await store.renewLease(aLease(), 60_000);
      const newer = aLease({ bootId: 'boot-b', startedAtMs: 2000 });
      assert.equal(await store.renewLease(newer, 60_000), 'kept');
      assert.equal(await store.renewLease(aLease(), 60_000), 'void');
      assert.deepEqual(await store.leases(), [newer]);
      await store.dropLease(gateway('gw-0'), boot('boot-a'));
      assert.deepEqual(await store.leases(), [newer], 'an older life cannot drop it');
      await store.dropLease(gateway('gw-0'), boot('boot-b'));
      assert.deepEqual(await store.leases(), []);
    }));

  test('two lives that started in the same millisecond: one of them keeps the name', () =>
    withStore(subject, {}, async ({ store }) => {
      await store.renewLease(aLease({ bootId: 'boot-b' }), 60_000);
      assert.equal(await store.renewLease(aLease({ bootId: 'boot-a' }), 60_000), 'void');
      assert.equal(await store.renewLease(aLease({ bootId: 'boot-c' }), 60_000), 'kept');
      assert.equal(await store.renewLease(aLease({ bootId: 'boot-b' }), 60_000), 'void');
    }));

  test('R7: a sweep removes the routes of lives without a lease, a bounded number at a time, and no others', () =>
    withStore(subject, {}, async ({ store, advance }) => {
      const names = Array.from({ length: 30 }, (_, i) => `d${i}`);
      await Promise.all(names.map((name) => register(store, name, { account: `a-${name}` })));
      await store.renewLease(aLease(), 60_000);
      await store.renewLease(aLease({ gateway: 'gw-1', bootId: 'boot-b' }), 1500);
      await Promise.all(
        names.map((name, i) => {
          const life = i % 3 === 0 ? { bootId: boot('boot-a') } : { gateway: gateway('gw-1'), bootId: boot('boot-b') };
          return store.openSession(anOpenSession(name, { account: account(`a-${name}`), ...life }));
        }),
      );
      assert.equal(await store.sweepRoutes(100), 0);
      await advance(1600);
      assert.equal(await store.sweepRoutes(8), 8);
      assert.deepEqual(
        await store.countRoutes(),
        new Map([
          ['boot-a', 10],
          ['boot-b', 12],
        ]),
      );
      assert.equal(await store.sweepRoutes(100), 12);
      assert.equal(await store.sweepRoutes(100), 0);
      assert.deepEqual(await store.countRoutes(), new Map([['boot-a', 10]]));
      const left = (await store.routes(APP, names.map(device))).filter((route) => route !== null);
      assert.deepEqual(new Set(left.map((route) => route.bootId)), new Set(['boot-a']));
      assert.equal(left.length, 10);
    }));
}
