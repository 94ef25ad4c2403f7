// Opens Redis stores for the contract suite: a store of a server made empty, with real time; and runs sections of it on a real Redis
// or a real Cluster.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { openRedisStore } from './redis-store.ts';
import { DURABLE, redisMissing, startCluster, startSentinel, TestRedis, VOLATILE } from './test-server.ts';
import { APP } from '../contract-subject.ts';
import type { StoreSubject, StoreUnderTest } from '../contract-subject.ts';
import type { Store } from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Opens a store at an address, with the times of tests. */
export function openAt(url: string, limits: Partial<StoreLimits> = {}): Promise<Store> {
  return openRedisStore({ url, password: '', timeoutMs: 2000, clock: systemClock, log: silentLog, limits });
}

/** Empties the servers and opens a store on them. */
export async function openEmpty(
  servers: readonly TestRedis[],
  url: string,
  limits?: Partial<StoreLimits>,
): Promise<StoreUnderTest> {
  await Promise.all(servers.map((server) => server.command('FLUSHALL')));
  const store = await openAt(url, limits);
  return { store, advance: wait, nowMs: () => Date.now(), close: () => store.close() };
}

/** Asks until the store answers again after a restart: a bounded wait. */
export async function untilReachable(store: Store): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      await store.routes(APP, ['anyone' as DeviceId]);
      return;
    } catch (error) {
      if (i > 400) throw error;
      await wait(20);
    }
  }
}

type Sections = (subject: StoreSubject) => void;

/** On a Redis that keeps nothing over a restart but a snapshot: falling back to it loses the tail. */
export function onVolatileRedis(sections: Sections): void {
  describe('redis', { skip: redisMissing() ?? false }, () => {
    let redis: TestRedis;
    before(async () => {
      redis = await TestRedis.start(VOLATILE);
    });
    after(() => redis.remove());
    sections({
      name: 'redis without persistence',
      skip: null,
      hooks: ['checkpoint'],
      open: async (limits) => withSnapshot(redis, await openEmpty([redis], redis.url, limits)),
    });
  });
}

function withSnapshot(redis: TestRedis, under: StoreUnderTest): StoreUnderTest {
  const [file, backup] = [join(redis.dir, 'dump.rdb'), join(redis.dir, 'backup.rdb')];
  return {
    ...under,
    async checkpoint() {
      await redis.command('SAVE');
      copyFileSync(file, backup);
    },
    async fallBack() {
      await redis.kill();
      copyFileSync(backup, file);
      await redis.start();
      await untilReachable(under.store);
    },
  };
}

/** On a Redis with appendfsync always: killed and started again, it has lost nothing that was acknowledged. */
export function onDurableRedis(sections: Sections, more?: (redis: () => TestRedis) => void): void {
  describe('redis with appendfsync always', { skip: redisMissing() ?? false }, () => {
    let redis: TestRedis;
    before(async () => {
      redis = await TestRedis.start(DURABLE);
    });
    after(() => redis.remove());
    sections({
      name: 'redis with appendfsync always',
      skip: null,
      hooks: ['crash'],
      async open(limits) {
        const under = await openEmpty([redis], redis.url, limits);
        const crash = async (): Promise<void> => {
          await redis.kill();
          await redis.start();
          await untilReachable(under.store);
        };
        return { ...under, crash };
      },
    });
    more?.(() => redis);
  });
}

/** On a Redis whose address a Sentinel tells. */
export function onSentinel(sections: Sections): void {
  describe('redis by sentinel', { skip: redisMissing() ?? false }, () => {
    let redis: TestRedis;
    let sentinel: Awaited<ReturnType<typeof startSentinel>>;
    before(async () => {
      redis = await TestRedis.start(VOLATILE);
      sentinel = await startSentinel(redis);
    });
    after(() => Promise.all([sentinel.remove(), redis.remove()]));
    sections({
      name: 'redis by sentinel',
      skip: null,
      hooks: [],
      async open(limits) {
        const under = await openEmpty([redis], sentinel.url, limits);
        await untilReachable(under.store);
        return under;
      },
    });
  });
}

/** On a Cluster of three masters. `more` declares tests of its own on it. */
export function onCluster(
  sections: Sections,
  more?: (cluster: () => Awaited<ReturnType<typeof startCluster>>) => void,
): void {
  describe('redis cluster', { skip: redisMissing() ?? false }, () => {
    let cluster: Awaited<ReturnType<typeof startCluster>>;
    before(async () => {
      cluster = await startCluster();
    });
    after(() => cluster.remove());
    sections({
      name: 'redis cluster',
      skip: null,
      hooks: [],
      open: (limits) => openEmpty(cluster.masters, cluster.url, limits),
    });
    more?.(() => cluster);
  });
}
