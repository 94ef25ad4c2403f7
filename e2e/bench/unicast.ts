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
  /** Requests under way at once. */
  readonly requests: number;
}
export const UNICAST_DEFAULTS: UnicastOptions = { store: 'redis-everysec', messages: 100_000, batch: 50, requests: 8 };

export async function unicast(
  options: UnicastOptions,
  gateway: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, unknown>>> {
  const stage = await startStage({ store: options.store, devices: CONNECTIONS, router: true, gateway });
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
    return await measure(stage, load, options);
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
    inFlight: options.batch * options.requests,
    settings: stage.settings,
  };
}

/** Resolves when every message has been accepted. */
async function publish(stage: Stage, options: UnicastOptions): Promise<void> {
  const sender = openBatchSender({ url: stage.router!.url, apiKey: stage.apiKey, connections: options.requests });
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (sent < options.messages) {
      const first = sent;
      sent = Math.min(options.messages, first + options.batch);
      const messages = Array.from({ length: sent - first }, (_, i) => aMessage(first + i));
      const { refused, problem } = await sender.send(messages);
      if (refused > 0) throw new Error(`expected every message to be taken, got ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: options.requests }, worker));
  sender.close();
}

function aMessage(number: number): string {
  const head = `{"t":${Date.now()},"filling":"`;
  const body = `${head}${'x'.repeat(BODY_BYTES - head.length - 2)}"}`;
  return `{"target":{"device":"${deviceOf(number % CONNECTIONS)}"},"body":${body}}`;
}
