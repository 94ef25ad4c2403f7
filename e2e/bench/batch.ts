// C12: live messages in batches of 50, as fast as the push API takes them, each to a topic that some clients hear. With one hearer a topic it is
// the API that is measured; with more the deliveries of one encoded message. Both figures are in the result.
import { openBatchSender } from './batches.ts';
import { startLoad } from './load/load.ts';
import type { Load } from './load/load.ts';
import { APP_TOPICS, cpuBetween, cpuOf, startStage } from './stage.ts';
import type { Stage } from './stage.ts';

export interface BatchOptions {
  readonly batch: number;
  /** Requests under way at once. */
  readonly requests: number;
  /** Clients that hear each topic. */
  readonly hearers: number;
  readonly seconds: number;
}
export const BATCH_DEFAULTS: BatchOptions = { batch: 50, requests: 4, hearers: 10, seconds: 10 };

const CONNECTIONS = 1000;
const BODY_BYTES = 100;

export async function batch(
  options: BatchOptions,
  gateway: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, unknown>>> {
  const stage = await startStage({ store: 'redis-everysec', devices: CONNECTIONS, router: true, gateway });
  const topics = CONNECTIONS;
  let load: Load | null = null;
  try {
    load = await startLoad({
      port: stage.gateway.clientPort,
      connections: CONNECTIONS,
      opensPerSecond: 500,
      tokensFile: stage.tokensFile,
      topic: { all: topics, each: options.hearers },
      ack: false,
      sampleEvery: 17,
    });
    await load.untilLive(CONNECTIONS, 120_000);
    await publish(stage, { ...options, seconds: 2 });
    await load.untilMessages(Number.MAX_SAFE_INTEGER, 1500);
    load.reset();
    const before = cpuOf(stage, load);
    const startedMs = performance.now();
    const published = await publish(stage, options);
    const publishedMs = performance.now() - startedMs;
    const wanted = published * options.hearers;
    await load.untilMessages(wanted, 2000);
    const seconds = (performance.now() - startedMs) / 1000;
    const cpu = cpuBetween(before, cpuOf(stage, load));
    const counts = await load.report();
    return {
      deliveriesPerSecond: Math.round(
        counts.messages / Math.max(publishedMs / 1000, Math.min(seconds, options.seconds)),
      ),
      publishedPerSecond: Math.round((published / publishedMs) * 1000),
      p50Ms: counts.p50Ms,
      p99Ms: counts.p99Ms,
      lost: wanted - counts.messages,
      cpuSeconds: cpu,
      cpuOf: 'each part by itself, user and system',
      class: 'live',
      batch: options.batch,
      inFlight: options.batch * options.requests,
      hearersOfEach: options.hearers,
      connections: CONNECTIONS,
      bodyBytes: BODY_BYTES,
      closed: counts.closed,
      settings: stage.settings,
    };
  } finally {
    await load?.stop();
    await stage.stop();
  }
}

/** Answers how many messages were taken. */
async function publish(stage: Stage, options: BatchOptions): Promise<number> {
  const sender = openBatchSender({ url: stage.router!.url, apiKey: stage.apiKey, connections: options.requests });
  const untilMs = performance.now() + options.seconds * 1000;
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const first = sent;
      sent += options.batch;
      const messages = Array.from({ length: options.batch }, (_, i) => aMessage(first + i));
      const { refused, problem } = await sender.send(messages);
      if (refused > 0) throw new Error(`expected every message to be taken, got ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: options.requests }, worker));
  sender.close();
  return sent;
}

function aMessage(number: number): string {
  const head = `{"t":${Date.now()},"filling":"`;
  const body = `${head}${'x'.repeat(BODY_BYTES - head.length - 2)}"}`;
  return `{"target":{"topic":"${APP_TOPICS}${number % CONNECTIONS}"},"class":"live","body":${body}}`;
}
