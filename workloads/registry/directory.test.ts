import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { RefusedError } from '../protocol/codes.ts';
import type { BootId, GatewayName } from '../protocol/ids.ts';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { GatewayLease } from '../store/port.ts';
import { openDirectory } from './directory.ts';
import { aRoutingDocument, aWatchedText } from './fixtures.ts';

function aLease(name: string, connections = 0): GatewayLease {
  const ids = { gateway: name as GatewayName, bootId: `${name}-1` as BootId };
  return { ...ids, linkAddress: '127.0.0.1:1', connections, startedAtMs: 0 };
}

async function aDirectory(gateways: Readonly<Record<string, number>>, leases: readonly GatewayLease[] | 'down') {
  const clock = aManualClock();
  const config = aWatchedText(aRoutingDocument({ gateways }));
  const state = { leases: leases as readonly GatewayLease[] | 'down' | 'hangs', asked: 0 };
  const store = {
    leases: (): Promise<readonly GatewayLease[]> => {
      state.asked++;
      if (state.leases === 'hangs') return new Promise(() => {});
      if (state.leases === 'down') return Promise.reject(new StoreUnavailableError('down'));
      return Promise.resolve(state.leases);
    },
  };
  const directory = openDirectory({
    store,
    config: config.source,
    configMap: 'demo-routing',
    cluster: 'demo',
    random: () => 0,
    clock,
    log: silentLog,
  });
  await turn();
  const names = (exclude: readonly string[] = []): string[] =>
    directory
      .assign('shop/d1', new Set(exclude))
      .map((candidate) => candidate.name)
      .sort();
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 500) {
      clock.advance(Math.min(500, left));
      await turn();
    }
  };
  return { directory, state, config, clock, names, pass };
}

function isNoGateway(error: unknown): boolean {
  return error instanceof RefusedError && error.code === 'no-gateway' && error.retryAfterMs === 1000;
}

test('a gateway is given when its weight is above 0 and its lease alive', async () => {
  const { names } = await aDirectory({ a: 100, b: 0, c: 100, d: 100 }, [aLease('a'), aLease('b'), aLease('c')]);
  assert.deepEqual(names(), ['a', 'c']);
});

test('a lease that ends takes its gateway out within half a second, and one that begins brings it in', async () => {
  const { names, state, pass } = await aDirectory({ a: 100, b: 100 }, [aLease('a'), aLease('b')]);
  state.leases = [aLease('b')];
  await pass(500);
  assert.deepEqual(names(), ['b']);
  state.leases = [aLease('a'), aLease('b')];
  await pass(500);
  assert.deepEqual(names(), ['a', 'b']);
});

test('a changed document counts at once; one that is refused leaves the one before', async () => {
  const { names, config, directory } = await aDirectory({ a: 100, b: 100 }, [aLease('a'), aLease('b')]);
  config.set(aRoutingDocument({ gateways: { a: 0, b: 100 }, revision: 'r2' }));
  assert.deepEqual(names(), ['b']);
  for (const wrong of ['{', aRoutingDocument({ gateways: { a: 100 }, cluster: 'other', revision: 'r3' })]) {
    config.set(wrong);
    assert.deepEqual(names(), ['b']);
    assert.equal(directory.state().revision, 'r2');
  }
});

test('while the store is down the last leases count for three seconds, then weights alone', async () => {
  for (const trouble of ['down', 'hangs'] as const) {
    const { names, state, pass, directory } = await aDirectory({ a: 100, b: 100, c: 0 }, [aLease('a')]);
    state.leases = trouble;
    await pass(3000);
    assert.deepEqual(names(), ['a'], trouble);
    await pass(1000);
    assert.deepEqual(names(), ['a', 'b'], trouble);
    assert.equal(directory.state().leasesKnown, false);
  }
});

test('a store that hangs is asked once, not again with each tick', async () => {
  const { state, pass } = await aDirectory({ a: 100 }, []);
  state.leases = 'hangs';
  const before = state.asked;
  await pass(5000);
  assert.equal(state.asked, before + 1);
});

test('without an eligible gateway a client is told to come back', async () => {
  const { directory } = await aDirectory({ a: 100 }, []);
  assert.throws(() => directory.assign('shop/d1', new Set()), isNoGateway);
});

test('before any document nothing is given, with or without a store', async () => {
  const clock = aManualClock();
  const base = { config: { watch: () => () => {} }, configMap: 'x', cluster: 'demo', random: () => 0, clock };
  const store = { leases: () => Promise.reject(new StoreUnavailableError('down')) };
  const directory = openDirectory({ ...base, store, log: silentLog });
  await turn();
  assert.equal(directory.state().revision, null);
  assert.throws(() => directory.assign('shop/d1', new Set()), isNoGateway);
});

test('a full gateway comes after one with room', async () => {
  const { directory } = await aDirectory({ a: 100, b: 100 }, [aLease('a', 1000), aLease('b', 3)]);
  for (let i = 0; i < 20; i++) {
    const order = directory.assign(`shop/d${i}`, new Set()).map((candidate) => candidate.name);
    assert.deepEqual(order, ['b', 'a']);
  }
});

test('nothing is left running after stop', async () => {
  const { directory, clock, config } = await aDirectory({ a: 100 }, [aLease('a')]);
  directory.stop();
  assert.equal(clock.pending(), 0);
  assert.equal(config.watchers(), 0);
});
