// D4: many topics, each written once a second, and clients that hear M of them: deliveries a second, their latency, and whose CPU it took.
// Live by default; durable ones are stored, acked by every client and not lost. The publisher is paced: topics are written one after
// the other, evenly over the second. The other side of the comparison is other-server.ts, in the same run.
import { openBatchSender } from './batches.ts';
import type { BatchSender } from './batches.ts';
import { startLoad } from './load/load.ts';
import type { Load } from './load/load.ts';
import { besideOther, startOtherServer } from './other-server.ts';
import type { OtherServer } from './other-server.ts';
import { APP_TOPICS, cpuBetween, cpuOf, startStage } from './stage.ts';

export interface TopicsOptions {
  readonly topics: number;
  readonly clients: number;
  /** Topics that each client hears. */
  readonly each: number;
  readonly class: 'live' | 'durable';
  readonly seconds: number;
  /** Messages a second to each topic. */
  readonly rate: number;
  readonly gateways: number;
  /** Path of a Centrifugo; null: only ours is measured. */
  readonly centrifugo: string | null;
}
export const TOPICS_DEFAULTS: TopicsOptions = {
  topics: 5000,
  clients: 1000,
  each: 1000,
  class: 'live',
  seconds: 10,
  rate: 1,
  gateways: 1,
  centrifugo: null,
};

const BODY_BYTES = 100;
/** Messages of one request: the publisher is a bulk one, and its requests are what paces it. */
const BATCH = 50;
const WARM_UP_SECONDS = 2;

type Figures = Readonly<Record<string, unknown>>;

export async function topics(options: TopicsOptions, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const ours = await measureOurs(options, gateway);
  return besideOther(ours, options.centrifugo, (path) => measureOther(options, path));
}

async function measureOurs(options: TopicsOptions, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const stage = await startStage({
    store: 'redis-everysec',
    devices: options.clients,
    router: true,
    gateways: options.gateways,
    gateway,
  });
  let load: Load | null = null;
  try {
    load = await startLoad({
      port: stage.gateways.map(({ clientPort }) => clientPort),
      connections: options.clients,
      // A subscription is a stored row: a million of them take a minute, and clients that all begin at once would all wait that long.
      opensPerSecond: Math.max(5, Math.min(200, Math.round(12_000 / options.each))),
      tokensFile: stage.tokensFile,
      topic: { all: options.topics, each: options.each },
      ack: options.class === 'durable',
      sampleEvery: 101,
    });
    await load.untilLive(options.clients, 300_000);
    const sender = openBatchSender({ url: stage.router!.url, apiKey: stage.apiKey, connections: 8 });
    const figures = await measure({ options, load, sender, cpu: () => cpuOf(stage, load!) });
    return {
      ...figures,
      acks: options.class === 'durable' ? 'every delivery, cumulative' : 'none',
      settings: stage.settings,
    };
  } finally {
    await load?.stop();
    await stage.stop();
  }
}

async function measureOther(options: TopicsOptions, path: string): Promise<Figures> {
  const server: OtherServer = await startOtherServer(path, { channelsEach: options.each });
  let load: Load | null = null;
  try {
    load = await startLoad({
      port: server.ports,
      connections: options.clients,
      opensPerSecond: 200,
      tokensFile: '-',
      topic: { all: options.topics, each: options.each },
      ack: false,
      sampleEvery: 101,
      protocol: 'centrifuge',
    });
    await load.untilLive(options.clients, 300_000);
    const cpu = (): Readonly<Record<string, number>> => server.cpu(load!);
    const figures = await measure({ options: { ...options, class: 'live' }, load, sender: server.sender, cpu });
    return { ...figures, version: server.version };
  } finally {
    await load?.stop();
    await server.stop();
  }
}

interface Subject {
  readonly options: TopicsOptions;
  readonly load: Load;
  readonly sender: BatchSender;
  readonly cpu: () => Readonly<Record<string, number>>;
}

async function measure({ options, load, sender, cpu }: Subject): Promise<Figures> {
  await publish(options, sender, WARM_UP_SECONDS);
  await load.untilMessages(Number.MAX_SAFE_INTEGER, 1500);
  load.reset();
  const before = cpu();
  const startedMs = performance.now();
  const published = await publish(options, sender, options.seconds);
  const publishedMs = performance.now() - startedMs;
  const wanted = (published * options.each * options.clients) / options.topics;
  await load.untilMessages(wanted, 2000);
  const seconds = (performance.now() - startedMs) / 1000;
  const used = cpuBetween(before, cpu());
  const counts = await load.report();
  sender.close();
  const serving = used['gateways'] ?? used['server'] ?? 0;
  return {
    deliveriesPerSecond: Math.round(counts.messages / Math.min(seconds, Math.max(options.seconds, publishedMs / 1000))),
    p50Ms: counts.p50Ms,
    p99Ms: counts.p99Ms,
    lost: Math.round(wanted - counts.messages),
    repeated: counts.repeated,
    deliveriesPerCpuSecond: Math.round(counts.messages / serving),
    cpuOf: 'the processes that hold the connections, user and system',
    cpuSeconds: used,
    class: options.class,
    topics: options.topics,
    messagesPerSecondToEachTopic: options.rate,
    publishedPerSecond: Math.round((published / publishedMs) * 1000),
    clients: options.clients,
    topicsOfEach: options.each,
    inFlight: `paced: ${options.topics * options.rate}/s in requests of ${BATCH}`,
    bodyBytes: BODY_BYTES,
    sampled: counts.sampled,
    seconds: Number(seconds.toFixed(2)),
    ackFrames: counts.acks,
    closed: counts.closed,
  };
}

/** Every topic once in turn, evenly over each second; late requests are caught up with. Answers how many messages were taken. */
async function publish(options: TopicsOptions, sender: BatchSender, seconds: number): Promise<number> {
  const total = options.topics * options.rate * seconds;
  const perMs = (options.topics * options.rate) / 1000;
  const startedMs = performance.now();
  const underWay = new Set<Promise<void>>();
  const problems: string[] = [];
  for (let sent = 0; sent < total && problems.length === 0; sent += BATCH) {
    const waitMs = sent / perMs - (performance.now() - startedMs);
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (underWay.size >= 64) await Promise.race(underWay);
    const messages = Array.from({ length: Math.min(BATCH, total - sent) }, (_, i) => aMessage(options, sent + i));
    const asked: Promise<void> = sender
      .send(messages)
      .then(({ refused, problem: why }) => {
        if (refused > 0) problems.push(why ?? 'a refusal');
      })
      .catch((error: unknown) => {
        problems.push(String(error));
      })
      .finally(() => underWay.delete(asked));
    underWay.add(asked);
  }
  await Promise.all(underWay);
  if (problems.length > 0) throw new Error(`expected every message to be taken, got ${problems[0]}`);
  return total;
}

function aMessage(options: TopicsOptions, number: number): string {
  const head = `{"t":${Date.now()},"filling":"`;
  const body = `${head}${'x'.repeat(BODY_BYTES - head.length - 2)}"}`;
  return `{"target":{"topic":"${APP_TOPICS}${number % options.topics}"},"class":"${options.class}","body":${body}}`;
}
