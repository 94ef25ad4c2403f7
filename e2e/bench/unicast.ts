// Durable pushes to single devices through the push API, each acked by its client: messages per second from accepted to acked, latency from the
// request's building to the client, and what never came.
import { openBatchSender } from './batches.ts';
import { startLoad } from './load/load.ts';
import type { Load } from './load/load.ts';
import { deviceOf, startStage } from './stage.ts';
import type { Stage, StoreKind } from './stage.ts';
import { cpuSeconds } from './usage.ts';

const CONNECTIONS = 1000;
const BODY_BYTES = 100;
const WARM_UP_MESSAGES = 5000;

export interface UnicastOptions {
  readonly store: StoreKind;
  readonly messages: number;
  /** Messages in one request. */
  readonly batch: number;
  /** Requests under way at once: the next one leaves when one was answered. Also the connections of what is paced. */
  readonly requests: number;
  /** Messages a second that are offered, whether or not what came before was answered; null: as many as are answered. */
  readonly rate: number | null;
}
export const UNICAST_DEFAULTS: UnicastOptions = {
  store: 'redis-everysec',
  messages: 100_000,
  batch: 50,
  requests: 8,
  rate: null,
};
/** What the bench measures beside its throughput: latency at a rate that leaves room, in requests as small as senders make them. */
export const UNICAST_PACED: Pick<UnicastOptions, 'messages' | 'batch' | 'requests' | 'rate'> = {
  messages: 80_000,
  batch: 25,
  requests: 32,
  rate: 8000,
};

/** One shape after the other on one stage: the first is the result, `paced` the second where there is one. */
export async function unicast(
  shapes: readonly [UnicastOptions, UnicastOptions?],
  gateway: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, unknown>>> {
  const [options, paced] = shapes;
  const stage = await startStage({
    store: options.store,
    devices: CONNECTIONS,
    router: true,
    gateway,
    rewrites: false,
  });
  let load: Load | null = null;
  try {
    load = await startLoad({
      port: stage.gateway.clientPort,
      connections: CONNECTIONS,
      opensPerSecond: 1000,
      tokensFile: stage.tokensFile,
      topic: null,
      ack: true,
      sampleEvery: 1,
    });
    await load.untilLive(CONNECTIONS, 60_000);
    await publish(stage, { ...options, messages: WARM_UP_MESSAGES });
    await load.untilMessages(WARM_UP_MESSAGES, 5000);
    load.reset();
    const result = await measure(stage, load, options);
    if (paced === undefined) return result;
    load.reset();
    return { ...result, paced: await measure(stage, load, paced) };
  } finally {
    await load?.stop();
    await stage.stop();
  }
}

async function measure(stage: Stage, load: Load, options: UnicastOptions): Promise<Readonly<Record<string, unknown>>> {
  const processes = { gateway: stage.gateway.pid, router: stage.router!.pid, load: load.pid, redis: stage.store?.pid };
  const cpu = (): Readonly<Record<string, number>> =>
    Object.fromEntries(
      Object.entries(processes).flatMap(([name, pid]) => (pid === undefined ? [] : [[name, cpuSeconds(pid)]])),
    );
  const before = cpu();
  const startedMs = performance.now();
  await publish(stage, options);
  const acceptedMs = performance.now() - startedMs;
  await load.untilMessages(options.messages, 5000);
  const seconds = (performance.now() - startedMs) / 1000;
  const counts = await load.report();
  const after = cpu();
  return {
    messagesPerSecond: Math.round(counts.messages / seconds),
    p50Ms: counts.p50Ms,
    p99Ms: counts.p99Ms,
    maxMs: counts.maxMs,
    lost: options.messages - counts.messages,
    repeated: counts.repeated,
    messages: counts.messages,
    acks: counts.acks,
    seconds: Number(seconds.toFixed(2)),
    acceptedPerSecond: Math.round((options.messages / acceptedMs) * 1000),
    cpuSeconds: Object.fromEntries(
      Object.entries(after).map(([name, value]) => [name, Number((value - before[name]!).toFixed(2))]),
    ),
    class: 'durable',
    bodyBytes: BODY_BYTES,
    batch: options.batch,
    requestsInFlight: options.requests,
    ...(options.rate === null ? { inFlight: options.batch * options.requests } : { offeredPerSecond: options.rate }),
    settings: stage.settings,
  };
}

/** Resolves when every message has been accepted. */
async function publish(stage: Stage, options: UnicastOptions): Promise<void> {
  const sender = openBatchSender({ url: stage.router!.url, apiKey: stage.apiKey, connections: options.requests });
  const send = async (first: number, atMs: number): Promise<void> => {
    const count = Math.min(options.batch, options.messages - first);
    const { refused, problem } = await sender.send(Array.from({ length: count }, (_, i) => aMessage(first + i, atMs)));
    if (refused > 0) throw new Error(`expected every message to be taken, got ${problem}`);
  };
  await (options.rate === null ? inTurn(options, send) : atRate({ ...options, rate: options.rate }, send));
  sender.close();
}

type Send = (first: number, atMs: number) => Promise<void>;

/** Closed loop: `requests` under way, always. */
async function inTurn({ messages, batch, requests }: UnicastOptions, send: Send): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < messages) {
      const first = next;
      next += batch;
      await send(first, Date.now());
    }
  };
  await Promise.all(Array.from({ length: requests }, worker));
}

/** Open loop: each request has its time, and latency counts from it however late it leaves. */
async function atRate({ messages, batch, rate }: UnicastOptions & { rate: number }, send: Send): Promise<void> {
  const startMs = Date.now();
  const underWay: Promise<void>[] = [];
  for (let first = 0; first < messages; first += batch) {
    const dueMs = startMs + Math.floor((first / rate) * 1000);
    while (Date.now() < dueMs) await new Promise((resolve) => setTimeout(resolve, dueMs - Date.now()));
    underWay.push(send(first, dueMs));
  }
  await Promise.all(underWay);
}

function aMessage(number: number, atMs: number): string {
  const head = `{"t":${atMs},"filling":"`;
  const body = `${head}${'x'.repeat(BODY_BYTES - head.length - 2)}"}`;
  return `{"target":{"device":"${deviceOf(number % CONNECTIONS)}"},"body":${body}}`;
}
