// B5: 20,000 clients return at once, each with messages that waited for it, while others live on. What must stay flat: the store's load and the
// p99 of the live ones. What must come: everything that waited, in the end. A first phase without returning clients is the yardstick; then
// come the phase in which they connect (and are fed), and the one in which those who are back are fed. The live ones have a load process
// of their own: they would measure its queue otherwise.
import { readFileSync, writeFileSync } from 'node:fs';
import { openBatchSender } from './batches.ts';
import type { BatchSender } from './batches.ts';
import { startLoad } from './load/load.ts';
import type { Load, LoadCounts } from './load/load.ts';
import { cpuBetween, cpuOf, deviceOf, gatewayMetric, startStage } from './stage.ts';
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
const LIVE_BATCH = 5;
const SEND_EVERY_MS = 5;
const SEND_BATCH = 500;
/** After the filling: collections of garbage and writes of Redis that are due. */
const SETTLE_MS = 5000;
const POLL_MS = 100;
const PATIENCE_MS = 180_000;

type Figures = Readonly<Record<string, unknown>>;

export async function stampede(options: StampedeOptions, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const { returning, backlog, gateways } = options;
  // Admission as a cluster has it by default: 2,000 sessions a second, once warm.
  const accepts = { PUSHCLUSTER_ACCEPTS_PER_SECOND: '2000' };
  const settings = { PUSHCLUSTER_HEARTBEAT_INTERVAL_MS: '120000', ...accepts, ...gateway };
  const stage = await startStage({
    store: 'redis-everysec',
    devices: LIVE_CLIENTS + returning,
    router: true,
    drainer: true,
    gateways,
    rewrites: false, // one would fall into one of the phases by chance
    gateway: settings,
  });
  const loads: Load[] = [];
  const sender = openBatchSender({ url: stage.router!.url, apiKey: stage.apiKey, connections: 8 });
  let traffic: LiveTraffic | null = null;
  try {
    const tokens = readFileSync(stage.tokensFile, 'utf8').trimEnd().split('\n');
    await meetOnce(stage, tokens, options); // so that the store knows the devices
    await fill(sender, options);
    const live = await startLive(stage, tokens, loads);
    traffic = new LiveTraffic(stage, live, sender);
    await pause(SETTLE_MS);
    const quiet = await traffic.phase(() => pause(options.seconds * 1000));
    const startedMs = performance.now();
    const wanted = returning * backlog;
    const backs = await startReturning(stage, tokens, loads, options);
    const fromSample = await traffic.sampled();
    let messages = 0;
    let lastMs = 0;
    let allBackMs = 0;
    const connecting = await traffic.phase(async () => {
      await until(backs, (now) => now.live >= returning);
      allBackMs = performance.now() - startedMs;
    });
    const draining = await traffic.phase(async () => {
      ({ messages, lastMs } = await untilAll(backs, wanted, startedMs));
    });
    const whole = await traffic.latencies(fromSample);
    const { sent, counted } = await traffic.stop();
    const back = await sumOf(backs);
    return {
      livePhases: { quiet, connecting, draining, whole },
      liveLost: sent - counted,
      returning,
      backlogOfEach: backlog,
      delivered: messages,
      lost: wanted - messages,
      secondsUntilAllWereBack: Number((allBackMs / 1000).toFixed(1)),
      secondsUntilAllHadTheirs: Number((lastMs / 1000).toFixed(1)),
      perSecond: Math.round((messages / lastMs) * 1000),
      refused: back.refused,
      ...(await returnsOf(stage)),
      class: 'durable',
      inFlight: `${LIVE_PER_SECOND}/s to ${LIVE_CLIENTS} live clients, paced`,
      cpuOf: 'each part by itself, user and system',
      settings: stage.settings,
    };
  } finally {
    await traffic?.stop();
    sender.close();
    for (const load of loads) await load.stop();
    await stage.stop();
  }
}

/** How often the gateways made room, and the share that each gives now. */
async function returnsOf(stage: Stage): Promise<Figures> {
  const each = (name: string): Promise<number[]> =>
    Promise.all(stage.gateways.map((_, i) => gatewayMetric(stage, `pushcluster_gateway_${name}`, i)));
  return { returnCuts: await each('return_cuts_total'), returnShares: await each('return_share') };
}

/** Paced messages to the live ones, from the start until stopped, and what became of them phase by phase. */
class LiveTraffic {
  readonly #stage: Stage;
  readonly #live: Load;
  readonly #timer: NodeJS.Timeout;
  readonly #underWay = new Set<Promise<unknown>>();
  #sent = 0;
  #stopped: Promise<{ sent: number; counted: number }> | null = null;

  constructor(stage: Stage, live: Load, sender: BatchSender) {
    this.#stage = stage;
    this.#live = live;
    const startedMs = performance.now();
    this.#timer = setInterval(() => {
      const due = ((performance.now() - startedMs) * LIVE_PER_SECOND) / 1000;
      while (this.#sent + LIVE_BATCH <= due) this.#send(sender);
    }, SEND_EVERY_MS);
  }

  #send(sender: BatchSender): void {
    const at = this.#sent;
    this.#sent += LIVE_BATCH;
    const batch = Array.from({ length: LIVE_BATCH }, (_, i) => aMessage(deviceOf((at + i) % LIVE_CLIENTS), Date.now()));
    const sending = sender.send(batch).finally(() => this.#underWay.delete(sending));
    this.#underWay.add(sending);
  }

  async sampled(): Promise<number> {
    return (await this.#live.report()).sampled;
  }

  async latencies(fromSample: number): Promise<Figures> {
    const { p50Ms, p99Ms, maxMs } = await this.#live.report(fromSample);
    return { p50Ms, p99Ms, maxMs };
  }

  /** Latencies of the live ones while something goes on, and what each part used. */
  async phase(work: () => Promise<void>): Promise<Figures> {
    const from = await this.sampled();
    const before = cpuOf(this.#stage, this.#live);
    const redisBefore = cpuSeconds(this.#stage.store!.pid);
    const startedMs = performance.now();
    await work();
    const tookS = (performance.now() - startedMs) / 1000;
    const redis = cpuSeconds(this.#stage.store!.pid) - redisBefore;
    return {
      ...(await this.latencies(from)),
      seconds: Number(tookS.toFixed(1)),
      redisShareOfACore: Number((redis / tookS).toFixed(2)),
      cpuSeconds: cpuBetween(before, cpuOf(this.#stage, this.#live)),
    };
  }

  stop(): Promise<{ sent: number; counted: number }> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<{ sent: number; counted: number }> {
    clearInterval(this.#timer);
    await Promise.all(this.#underWay);
    const { messages } = await this.#live.untilMessages(this.#sent, 3000);
    return { sent: this.#sent, counted: messages };
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
      retry: true,
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

async function until(loads: readonly Load[], isDone: (now: Sum) => boolean): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!isDone(await sumOf(loads)) && performance.now() < endMs) await pause(POLL_MS);
}

interface Sum {
  readonly live: number;
  readonly messages: number;
  readonly refused: number;
}
async function sumOf(loads: readonly Load[]): Promise<Sum> {
  const counts = await Promise.all(loads.map((load) => load.counts()));
  const sum = (read: (one: LoadCounts) => number): number => counts.reduce((all, one) => all + read(one), 0);
  return { live: sum(({ live }) => live), messages: sum((one) => one.messages), refused: sum((one) => one.refused) };
}

async function untilAll(
  loads: readonly Load[],
  wanted: number,
  startedMs: number,
): Promise<{ messages: number; lastMs: number }> {
  let had = 0;
  let lastMs = 0;
  for (;;) {
    const { messages } = await sumOf(loads);
    const nowMs = performance.now() - startedMs;
    if (messages > had) lastMs = nowMs;
    had = messages;
    if (messages >= wanted || nowMs - lastMs > 10_000 || nowMs > PATIENCE_MS) return { messages, lastMs };
    await pause(POLL_MS);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function aMessage(device: string, sentMs: number): string {
  return `{"target":{"device":"${device}"},"body":{"t":${sentMs},"filling":"${'x'.repeat(64)}"}}`;
}
