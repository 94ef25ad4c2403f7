// Durable pushes to single devices through the push API, each acked by its client: messages per second from accepted to acked, latency from the
// request's building to the client, and what never came. The other side of the comparison is other-server.ts, in the same run.
import { openBatchSender } from './batches.ts';
import type { BatchSender } from './batches.ts';
import { startLoad } from './load/load.ts';
import type { Load } from './load/load.ts';
import { besideOther, startOtherServer } from './other-server.ts';
import { APP_TOPICS, cpuBetween, cpuOf, deviceOf, startStage } from './stage.ts';
import type { StoreKind } from './stage.ts';

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
/** What the bench measures beside its throughput: a sender that has one request under way, and so little in flight that nothing queues for long. */
export const UNICAST_SHORT: Pick<UnicastOptions, 'batch' | 'requests'> = { batch: 30, requests: 1 };
/** And latency at a rate that leaves room, in requests as small as senders make them. */
export const UNICAST_PACED: Pick<UnicastOptions, 'messages' | 'batch' | 'requests' | 'rate'> = {
  messages: 80_000,
  batch: 25,
  requests: 32,
  rate: 8000,
};

export interface UnicastSides {
  /** Settings of our gateway. */
  readonly gateway: Readonly<Record<string, string>>;
  /** Path of a Centrifugo; null: only ours is measured. */
  readonly centrifugo: string | null;
}

/** What is measured: ours, or the other side. */
interface Subject {
  readonly load: Load;
  readonly sender: BatchSender;
  /** Target of the nth message, as JSON. */
  readonly target: (number: number) => string;
  readonly cpu: () => Readonly<Record<string, number>>;
  readonly settings: Readonly<Record<string, unknown>>;
}
/** The first is the result; the others are in it by their names. */
export interface Shapes {
  readonly first: UnicastOptions;
  readonly others: Readonly<Record<string, UnicastOptions>>;
}
type Figures = Readonly<Record<string, unknown>>;

/** One shape after the other on one stage. */
export async function unicast(shapes: Shapes, { gateway, centrifugo }: UnicastSides): Promise<Figures> {
  const ours = await measureOurs(shapes, gateway);
  return besideOther(ours, centrifugo, (path) => measureOther(shapes, path));
}

async function measureOurs(shapes: Shapes, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const stage = await startStage({
    store: shapes.first.store,
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
    const sender = openBatchSender({
      url: stage.router!.url,
      apiKey: stage.apiKey,
      connections: connectionsOf(shapes),
    });
    const target = (number: number): string => `{"device":"${deviceOf(number % CONNECTIONS)}"}`;
    const cpu = (): Readonly<Record<string, number>> => cpuOf(stage, load!);
    const settings = { class: 'durable', acks: 'every message', ...stage.settings };
    return await measureShapes(shapes, { load, sender, target, cpu, settings });
  } finally {
    await load?.stop();
    await stage.stop();
  }
}

/** Nearest to it: a channel for each client, with history in a Redis. Nothing is acked. */
async function measureOther(shapes: Shapes, path: string): Promise<Figures> {
  const server = await startOtherServer(path, { channelsEach: 1, durable: true });
  let load: Load | null = null;
  try {
    load = await startLoad({
      port: server.ports,
      connections: CONNECTIONS,
      opensPerSecond: 1000,
      tokensFile: '-',
      topic: { all: CONNECTIONS, each: 1 },
      ack: false,
      sampleEvery: 1,
      protocol: 'centrifuge',
    });
    const target = (number: number): string => `{"topic":"${APP_TOPICS}${number % CONNECTIONS}"}`;
    const cpu = (): Readonly<Record<string, number>> => server.cpu(load!);
    const settings = { class: 'history in Redis', acks: 'none', version: server.version };
    return await measureShapes(shapes, { load, sender: server.sender, target, cpu, settings });
  } finally {
    await load?.stop();
    await server.stop();
  }
}

function connectionsOf({ first, others }: Shapes): number {
  return Math.max(first.requests, ...Object.values(others).map(({ requests }) => requests));
}

async function measureShapes({ first, others }: Shapes, subject: Subject): Promise<Figures> {
  const { load, sender } = subject;
  try {
    await load.untilLive(CONNECTIONS, 60_000);
    await publish(subject, { ...first, messages: WARM_UP_MESSAGES });
    await load.untilMessages(WARM_UP_MESSAGES, 5000);
    const result: Record<string, unknown> = { ...(await measure(subject, first)) };
    for (const [name, shape] of Object.entries(others)) result[name] = await measure(subject, shape);
    return result;
  } finally {
    sender.close();
  }
}

async function measure(subject: Subject, options: UnicastOptions): Promise<Figures> {
  const { load, cpu, settings } = subject;
  load.reset();
  const before = cpu();
  const startedMs = performance.now();
  await publish(subject, options);
  const acceptedMs = performance.now() - startedMs;
  await load.untilMessages(options.messages, 5000);
  const seconds = (performance.now() - startedMs) / 1000;
  const counts = await load.report();
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
    cpuSeconds: cpuBetween(before, cpu()),
    cpuOf: 'each part by itself, user and system',
    bodyBytes: BODY_BYTES,
    batch: options.batch,
    requestsInFlight: options.requests,
    ...(options.rate === null ? { inFlight: options.batch * options.requests } : { offeredPerSecond: options.rate }),
    ...settings,
  };
}

/** Resolves when every message has been accepted. */
async function publish({ sender, target }: Subject, options: UnicastOptions): Promise<void> {
  const send = async (first: number, atMs: number): Promise<void> => {
    const count = Math.min(options.batch, options.messages - first);
    const messages = Array.from({ length: count }, (_, i) => aMessage(target(first + i), atMs));
    const { refused, problem } = await sender.send(messages);
    if (refused > 0) throw new Error(`expected every message to be taken, got ${problem}`);
  };
  await (options.rate === null ? inTurn(options, send) : atRate({ ...options, rate: options.rate }, send));
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

function aMessage(target: string, atMs: number): string {
  const head = `{"t":${atMs},"filling":"`;
  const body = `${head}${'x'.repeat(BODY_BYTES - head.length - 2)}"}`;
  return `{"target":${target},"body":${body}}`;
}
