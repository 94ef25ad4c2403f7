// C12: live messages in batches of 50, as fast as the push API takes them, each to a topic that some clients hear. With one hearer a topic it is
// the API that is measured; with more the deliveries of one encoded message. Both figures are in the result. The other side of the
// comparison is other-server.ts, in the same run.
import { openBatchSender } from './batches.ts';
import type { BatchSender } from './batches.ts';
import { startLoad } from './load/load.ts';
import type { Load, LoadOptions } from './load/load.ts';
import { besideOther, startOtherServer } from './other-server.ts';
import { APP_TOPICS, cpuBetween, cpuOf, startStage } from './stage.ts';

export interface BatchOptions {
  readonly batch: number;
  /** Requests under way at once. */
  readonly requests: number;
  /** Clients that hear each topic. */
  readonly hearers: number;
  readonly seconds: number;
  /** Path of a Centrifugo; null: only ours is measured. */
  readonly centrifugo: string | null;
}
export const BATCH_DEFAULTS: BatchOptions = { batch: 50, requests: 4, hearers: 10, seconds: 10, centrifugo: null };

const CONNECTIONS = 1000;
const TOPICS = CONNECTIONS;
const BODY_BYTES = 100;

type Figures = Readonly<Record<string, unknown>>;

/** What is measured: ours, or the other side. */
interface Subject {
  readonly load: Load;
  readonly sender: BatchSender;
  readonly cpu: () => Readonly<Record<string, number>>;
}

export async function batch(options: BatchOptions, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const ours = await measureOurs(options, gateway);
  return besideOther(ours, options.centrifugo, (path) => measureOther(options, path));
}

async function measureOurs(options: BatchOptions, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const stage = await startStage({ store: 'redis-everysec', devices: CONNECTIONS, router: true, gateway });
  let load: Load | null = null;
  try {
    load = await startLoad({
      ...clientsOf(options),
      port: stage.gateway.clientPort,
      opensPerSecond: 500,
      tokensFile: stage.tokensFile,
    });
    const sender = openBatchSender({ url: stage.router!.url, apiKey: stage.apiKey, connections: options.requests });
    const figures = await measure(options, { load, sender, cpu: () => cpuOf(stage, load!) });
    return { ...figures, settings: stage.settings };
  } finally {
    await load?.stop();
    await stage.stop();
  }
}

async function measureOther(options: BatchOptions, path: string): Promise<Figures> {
  const server = await startOtherServer(path, { channelsEach: options.hearers });
  let load: Load | null = null;
  try {
    load = await startLoad({
      ...clientsOf(options),
      port: server.ports,
      opensPerSecond: 500,
      tokensFile: '-',
      protocol: 'centrifuge',
    });
    const cpu = (): Readonly<Record<string, number>> => server.cpu(load!);
    return { ...(await measure(options, { load, sender: server.sender, cpu })), version: server.version };
  } finally {
    await load?.stop();
    await server.stop();
  }
}

function clientsOf({ hearers }: BatchOptions): Pick<LoadOptions, 'connections' | 'topic' | 'ack' | 'sampleEvery'> {
  return { connections: CONNECTIONS, topic: { all: TOPICS, each: hearers }, ack: false, sampleEvery: 17 };
}

async function measure(options: BatchOptions, { load, sender, cpu }: Subject): Promise<Figures> {
  await load.untilLive(CONNECTIONS, 120_000);
  await publish(sender, { ...options, seconds: 2 });
  await load.untilMessages(Number.MAX_SAFE_INTEGER, 1500);
  load.reset();
  const before = cpu();
  const startedMs = performance.now();
  const published = await publish(sender, options);
  const publishedMs = performance.now() - startedMs;
  const wanted = published * options.hearers;
  await load.untilMessages(wanted, 2000);
  const seconds = (performance.now() - startedMs) / 1000;
  const used = cpuBetween(before, cpu());
  const counts = await load.report();
  sender.close();
  return {
    deliveriesPerSecond: Math.round(counts.messages / Math.max(publishedMs / 1000, Math.min(seconds, options.seconds))),
    publishedPerSecond: Math.round((published / publishedMs) * 1000),
    p50Ms: counts.p50Ms,
    p99Ms: counts.p99Ms,
    lost: wanted - counts.messages,
    cpuSeconds: used,
    cpuOf: 'each part by itself, user and system',
    class: 'live',
    batch: options.batch,
    inFlight: options.batch * options.requests,
    hearersOfEach: options.hearers,
    connections: CONNECTIONS,
    bodyBytes: BODY_BYTES,
    closed: counts.closed,
  };
}

/** Answers how many messages were taken. */
async function publish(sender: BatchSender, options: BatchOptions): Promise<number> {
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
  return sent;
}

function aMessage(number: number): string {
  const head = `{"t":${Date.now()},"filling":"`;
  const body = `${head}${'x'.repeat(BODY_BYTES - head.length - 2)}"}`;
  return `{"target":{"topic":"${APP_TOPICS}${number % TOPICS}"},"class":"live","body":${body}}`;
}
