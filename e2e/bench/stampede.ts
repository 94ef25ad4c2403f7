// B5: 20,000 clients return at once, each with messages that waited for it, while others live on. What must stay flat: the store's load and the
// p99 of the live ones. What must come: everything that waited, in the end. A first phase without returning clients is the yardstick.
import { readFileSync, writeFileSync } from 'node:fs';
import { openBatchSender } from './batches.ts';
import type { BatchSender } from './batches.ts';
import { startLoad } from './load/load.ts';
import type { Load, LoadCounts } from './load/load.ts';
import { cpuBetween, cpuOf, deviceOf, startStage } from './stage.ts';
import type { Stage } from './stage.ts';
import { cpuSeconds } from './usage.ts';

export interface StampedeOptions {
  readonly returning: number;
  /** Messages that wait for each of them. */
  readonly backlog: number;
  readonly gateways: number;
  readonly seconds: number;
}
export const STAMPEDE_DEFAULTS: StampedeOptions = { returning: 20_000, backlog: 60, gateways: 2, seconds: 15 };

const LIVE_CLIENTS = 500;
const LIVE_PER_SECOND = 500;
const SEND_BATCH = 500;
const PATIENCE_MS = 180_000;

type Figures = Readonly<Record<string, unknown>>;

export async function stampede(options: StampedeOptions, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const { returning, backlog, gateways } = options;
  // Admission as a cluster has it by default: 2,000 sessions a second, once warm.
  const accepts = { PUSHCLUSTER_ACCEPTS_PER_SECOND: '2000' };
  const settings = { PUSHCLUSTER_HEARTBEAT_INTERVAL_MS: '120000', ...accepts, ...gateway };
  const devices = LIVE_CLIENTS + returning;
  const stage = await startStage({
    store: 'redis-everysec',
    devices,
    router: true,
    drainer: true,
    gateways,
    gateway: settings,
  });
  const loads: Load[] = [];
  const sender = openBatchSender({ url: stage.router!.url, apiKey: stage.apiKey, connections: 8 });
  try {
    const tokens = readFileSync(stage.tokensFile, 'utf8').trimEnd().split('\n');
    await meetOnce(stage, tokens, options); // so that the store knows the devices
    await fill(sender, options);
    const live = await startLive(stage, tokens, loads);
    const before = await liveFigures(stage, live, sender, options.seconds);
    const startedMs = performance.now();
    const backs = await startReturning(stage, tokens, loads, options);
    const during = await liveFigures(stage, live, sender, options.seconds);
    const wanted = returning * backlog;
    const { messages, lastMs } = await untilAll(backs, wanted, startedMs);
    return {
      livePhases: { before, during },
      returning,
      backlogOfEach: backlog,
      delivered: messages,
      lost: wanted - messages,
      secondsUntilAllHadTheirs: Number((lastMs / 1000).toFixed(1)),
      perSecond: Math.round((messages / lastMs) * 1000),
      refused: (await Promise.all(backs.map((load) => load.counts()))).reduce((sum, each) => sum + each.refused, 0),
      class: 'durable',
      inFlight: `${LIVE_PER_SECOND}/s to ${LIVE_CLIENTS} live clients, paced`,
      cpuOf: 'each part by itself, user and system',
      settings: stage.settings,
    };
  } finally {
    sender.close();
    for (const load of loads) await load.stop();
    await stage.stop();
  }
}

function tokensFileOf(stage: Stage, name: string, tokens: readonly string[]): string {
  const file = `${stage.tokensFile}-${name}`;
  writeFileSync(file, `${tokens.join('\n')}\n`);
  return file;
}

const portsOf = (stage: Stage): readonly number[] => stage.gateways.map(({ clientPort }) => clientPort);

/** Halves: a load process, too, has 20,000 file descriptors at most. */
function halves(tokens: readonly string[], returning: number): readonly (readonly string[])[] {
  const all = tokens.slice(LIVE_CLIENTS, LIVE_CLIENTS + returning);
  const middle = Math.ceil(all.length / 2);
  return [all.slice(0, middle), all.slice(middle)];
}

async function meetOnce(stage: Stage, tokens: readonly string[], { returning }: StampedeOptions): Promise<void> {
  for (const [i, half] of halves(tokens, returning).entries()) {
    const load = await startLoad({
      port: portsOf(stage),
      connections: half.length,
      opensPerSecond: 1000,
      tokensFile: tokensFileOf(stage, `first-${i}`, half),
      topic: null,
      ack: false,
      sampleEvery: 0,
    });
    await load.untilLive(half.length, 120_000);
    await load.stop();
  }
}

async function fill(sender: BatchSender, { returning, backlog }: StampedeOptions): Promise<void> {
  const total = returning * backlog;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < total) {
      const first = next;
      next = Math.min(total, first + SEND_BATCH);
      const messages = Array.from({ length: next - first }, (_, i) =>
        aMessage(deviceOf(LIVE_CLIENTS + ((first + i) % returning)), 0),
      );
      const { refused, problem } = await sender.send(messages);
      if (refused > 0) throw new Error(`expected every message to be taken, got ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

async function startLive(stage: Stage, tokens: readonly string[], loads: Load[]): Promise<Load> {
  const load = await startLoad({
    port: portsOf(stage),
    connections: LIVE_CLIENTS,
    opensPerSecond: 500,
    tokensFile: tokensFileOf(stage, 'live', tokens.slice(0, LIVE_CLIENTS)),
    topic: null,
    ack: true,
    sampleEvery: 1,
  });
  loads.push(load);
  await load.untilLive(LIVE_CLIENTS, 60_000);
  return load;
}

/** All of them as fast as sockets can be opened. */
async function startReturning(
  stage: Stage,
  tokens: readonly string[],
  loads: Load[],
  { returning }: StampedeOptions,
): Promise<readonly Load[]> {
  const backs: Load[] = [];
  for (const [i, half] of halves(tokens, returning).entries()) {
    const load = await startLoad({
      port: portsOf(stage),
      connections: half.length,
      opensPerSecond: 20_000,
      tokensFile: tokensFileOf(stage, `back-${i}`, half),
      topic: null,
      ack: true,
      sampleEvery: 0,
      retry: true,
    });
    backs.push(load);
    loads.push(load);
  }
  return backs;
}

/** Paced messages to the live ones for some seconds: latency, and what the store did meanwhile. */
async function liveFigures(stage: Stage, live: Load, sender: BatchSender, seconds: number): Promise<Figures> {
  live.reset();
  const before = cpuOf(stage, live);
  const redisBefore = cpuSeconds(stage.store!.pid);
  const startedMs = performance.now();
  const total = LIVE_PER_SECOND * seconds;
  const underWay: Promise<unknown>[] = [];
  for (let sent = 0; sent < total; sent += 5) {
    const waitMs = (sent * 1000) / LIVE_PER_SECOND - (performance.now() - startedMs);
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const batch = Array.from({ length: 5 }, (_, i) => aMessage(deviceOf((sent + i) % LIVE_CLIENTS), Date.now()));
    underWay.push(sender.send(batch));
  }
  await Promise.all(underWay);
  const tookMs = performance.now() - startedMs;
  await live.untilMessages(total, 3000);
  const counts: LoadCounts = await live.report();
  return {
    p50Ms: counts.p50Ms,
    p99Ms: counts.p99Ms,
    maxMs: counts.maxMs,
    lost: total - counts.messages,
    redisShareOfACore: Number(((cpuSeconds(stage.store!.pid) - redisBefore) / (tookMs / 1000)).toFixed(2)),
    cpuSeconds: cpuBetween(before, cpuOf(stage, live)),
  };
}

async function untilAll(
  loads: readonly Load[],
  wanted: number,
  startedMs: number,
): Promise<{ messages: number; lastMs: number }> {
  let had = 0;
  let lastMs = 0;
  for (;;) {
    const counts = await Promise.all(loads.map((load) => load.counts()));
    const messages = counts.reduce((sum, each) => sum + each.messages, 0);
    const nowMs = performance.now() - startedMs;
    if (messages > had) lastMs = nowMs;
    had = messages;
    if (messages >= wanted || nowMs - lastMs > 10_000 || nowMs > PATIENCE_MS) return { messages, lastMs };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function aMessage(device: string, sentMs: number): string {
  return `{"target":{"device":"${device}"},"body":{"t":${sentMs},"filling":"${'x'.repeat(64)}"}}`;
}
