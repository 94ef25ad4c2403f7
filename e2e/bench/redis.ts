// C11: what batching by tick is worth: the same operations of the store against a real Redis, one in flight and many asked in one tick. The
// clients of the store are what is measured; they are in this process.
import { messageIdAt } from '../../workloads/protocol/ids.ts';
import type { AccountId, AppId, DeviceId } from '../../workloads/protocol/ids.ts';
import { systemClock } from '../../workloads/runtime/clock.ts';
import { silentLog } from '../../workloads/runtime/log.ts';
import type { Store } from '../../workloads/store/port.ts';
import { openRedisStore } from '../../workloads/store/redis/redis-store.ts';
import { openFolder, removeFolder } from './processes.ts';
import { startRedis } from './stage.ts';
import { cpuSeconds } from './usage.ts';

const DEVICES = 10_000;
const SECONDS = 3;
/** Operations asked in one tick. */
const TOGETHER = 1000;
const RECORD_BYTES = 150;

export async function redis(): Promise<Readonly<Record<string, unknown>>> {
  const folder = openFolder();
  const { url, process: server } = await startRedis(folder, { always: false, rewrites: true });
  const store = await openRedisStore({
    url,
    password: '',
    timeoutMs: 5000,
    clock: systemClock,
    log: silentLog,
  });
  try {
    await register(store);
    const appends = await compare(server.pid, (count) => append(store, count));
    const routes = await compare(server.pid, (count) => lookUp(store, count));
    return {
      factor: Math.min(appends.factor, routes.factor),
      appends,
      routes,
      cpuOf: 'Redis, user and system',
      inFlight: { one: 1, pipelined: TOGETHER },
      class: 'durable',
      recordBytes: RECORD_BYTES,
      settings: { store: 'redis-everysec', devices: DEVICES },
    };
  } finally {
    await store.close();
    await server.stop();
    removeFolder(folder);
  }
}

interface Compared {
  readonly oneInFlightPerSecond: number;
  readonly pipelinedPerSecond: number;
  readonly factor: number;
  readonly redisCpuMicrosecondsEach: number;
}

async function compare(pid: number, work: (count: number) => Promise<void>): Promise<Compared> {
  await rateOf(work, TOGETHER, 0.5); // warm
  const one = await rateOf(work, 1, SECONDS);
  const before = cpuSeconds(pid);
  const many = await rateOf(work, TOGETHER, SECONDS);
  const used = cpuSeconds(pid) - before;
  return {
    oneInFlightPerSecond: Math.round(one),
    pipelinedPerSecond: Math.round(many),
    factor: Number((many / one).toFixed(1)),
    redisCpuMicrosecondsEach: Number(((used / (many * SECONDS)) * 1e6).toFixed(1)),
  };
}

async function rateOf(work: (count: number) => Promise<void>, together: number, seconds: number): Promise<number> {
  const startedMs = performance.now();
  let done = 0;
  while (performance.now() - startedMs < seconds * 1000) {
    await work(together);
    done += together;
  }
  return done / ((performance.now() - startedMs) / 1000);
}

const APP = 'bench' as AppId;
const deviceAt = (i: number): DeviceId => `dev-${i % DEVICES}` as DeviceId;

async function register(store: Store): Promise<void> {
  for (let i = 0; i < DEVICES; i += TOGETHER)
    await Promise.all(
      Array.from({ length: TOGETHER }, (_, n) =>
        store.registerDevice({
          app: APP,
          account: `account-${i + n}` as AccountId,
          device: deviceAt(i + n),
          tokenId: `t${i + n}`,
          tokenExpiresAtMs: Date.now() + 3_600_000,
          accountDevicesMax: 1,
        }),
      ),
    );
}

let appended = 0;
const random = new Uint8Array(10);
async function append(store: Store, count: number): Promise<void> {
  const record = new Uint8Array(RECORD_BYTES);
  await store.append(
    Array.from({ length: count }, () => {
      const number = appended++;
      new DataView(random.buffer).setUint32(0, number);
      const stream = { app: APP, kind: 'device', device: deviceAt(number), lane: 'normal' } as const;
      return { stream, messageId: messageIdAt(Date.now(), random), record, expiresAtMs: 0 };
    }),
  );
}

let asked = 0;
async function lookUp(store: Store, count: number): Promise<void> {
  await store.routes(
    APP,
    Array.from({ length: count }, () => deviceAt(asked++)),
  );
}
