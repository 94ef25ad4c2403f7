// The store contract on real Redis: one that keeps nothing over a restart but a snapshot (lost tails), one that writes every
// append to the disk (kill -9 loses nothing), and a Cluster of three.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { openRedisStore } from './redis-store.ts';
import { DURABLE, redisMissing, startCluster, TestRedis, VOLATILE } from './test-server.ts';
import { storeContract } from '../contract.ts';
import { APP } from '../contract-subject.ts';
import type { StoreUnderTest } from '../contract-subject.ts';
import { epochsContract } from '../contract-epochs.ts';
import type { Store } from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';

const skip = redisMissing();

function open(url: string, limits: Partial<StoreLimits> = {}): Promise<Store> {
  return openRedisStore({ url, password: '', timeoutMs: 2000, clock: systemClock, log: silentLog, limits });
}

const real = {
  advance: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
  nowMs: () => Date.now(),
};

/** Asks until it answers again after a restart: a bounded wait. */
async function untilReachable(store: Store): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      await store.routes(APP, ['anyone' as DeviceId]);
      return;
    } catch (error) {
      if (i > 400) throw error;
      await real.advance(20);
    }
  }
}

describe('redis', { skip: skip ?? false }, () => {
  let volatile: TestRedis;
  let durable: TestRedis;
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  before(async () => {
    [volatile, durable, cluster] = await Promise.all([
      TestRedis.start(VOLATILE),
      TestRedis.start(DURABLE),
      startCluster(),
    ]);
  });
  after(() => Promise.all([volatile, durable, cluster].map((server) => server.remove())));

  storeContract({
    name: 'redis without persistence',
    skip: null,
    async open(limits): Promise<StoreUnderTest> {
      await volatile.command('FLUSHALL');
      const store = await open(volatile.url, limits);
      return {
        ...real,
        store,
        async checkpoint() {
          await volatile.command('SAVE');
          copyFileSync(join(volatile.dir, 'dump.rdb'), join(volatile.dir, 'backup.rdb'));
        },
        async fallBack() {
          await volatile.kill();
          copyFileSync(join(volatile.dir, 'backup.rdb'), join(volatile.dir, 'dump.rdb'));
          await volatile.start();
          await untilReachable(store);
        },
        close: () => store.close(),
      };
    },
  });

  describe('redis with appendfsync always', () => {
    epochsContract({
      name: 'durable',
      skip: null,
      async open(limits): Promise<StoreUnderTest> {
        await durable.command('FLUSHALL');
        const store = await open(durable.url, limits);
        return {
          ...real,
          store,
          async crash() {
            await durable.kill();
            await durable.start();
            await untilReachable(store);
          },
          close: () => store.close(),
        };
      },
    });
  });

  storeContract({
    name: 'redis cluster',
    skip: null,
    async open(limits): Promise<StoreUnderTest> {
      await Promise.all(cluster.masters.map((master) => master.command('FLUSHALL')));
      const store = await open(cluster.url, limits);
      return { ...real, store, close: () => store.close() };
    },
  });
});
