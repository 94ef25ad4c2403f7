// Opens Redis stores for the contract suite: a store of a server made empty, with real time.
import { openRedisStore } from './redis-store.ts';
import type { TestRedis } from './test-server.ts';
import { APP } from '../contract-subject.ts';
import type { StoreUnderTest } from '../contract-subject.ts';
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
