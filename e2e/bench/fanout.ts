// Live broadcast: one topic, 10,000 connections, published as fast as it is taken. Deliveries (frames counted at the clients) for each CPU
// second of the gateway's process. What a gateway can do depends on how many messages leave in one write, so the same is measured with
// different numbers of messages under way, and the result says how many frames a write had. At most that many are published and not yet
// with every client: what is measured is speed, not dropping.
import { openBatchSender } from './batches.ts';
import { startLoad } from './load/load.ts';
import type { Load } from './load/load.ts';
import { gatewayMetric, startStage } from './stage.ts';
import type { Stage } from './stage.ts';
import { cpuSeconds } from './usage.ts';

const CONNECTIONS = 10_000;
const TOPIC = 'bench/fanout';
const BODY_BYTES = 100;
const WARM_UP: FanoutShape = { messages: 100, batch: 1, inFlight: 10 };

export interface FanoutShape {
  readonly messages: number;
  /** Messages in one request. */
  readonly batch: number;
  /** Messages under way at most. */
  readonly inFlight: number;
}
/** The first is the headline. With one under way nothing can be put together: that is what others' one-by-one figures compare with. */
export const FANOUT_SHAPES: readonly FanoutShape[] = [
  { messages: 1000, batch: 1, inFlight: 10 },
  { messages: 100, batch: 1, inFlight: 1 },
  { messages: 2000, batch: 50, inFlight: 100 },
];

type Figures = Readonly<Record<string, unknown>>;

export async function fanout(
  shapes: readonly FanoutShape[],
  gateway: Readonly<Record<string, string>>,
): Promise<Figures> {
  const stage = await startStage({ store: 'redis-everysec', devices: CONNECTIONS, router: true, gateway });
  let load: Load | null = null;
  try {
    load = await startLoad({
      port: stage.gateway.clientPort,
      connections: CONNECTIONS,
      opensPerSecond: 1500,
      tokensFile: stage.tokensFile,
      topic: TOPIC,
      ack: false,
      sampleEvery: 16,
    });
    await load.untilLive(CONNECTIONS, 120_000);
    await publish(stage, load, WARM_UP);
    const measured: Figures[] = [];
    for (const shape of shapes) measured.push(await measure(stage, load, shape));
    return {
      ...measured[0],
      cpuOf: 'the gateway process, user and system',
      class: 'live',
      topics: 1,
      connections: CONNECTIONS,
      bodyBytes: BODY_BYTES,
      settings: stage.settings,
      others: measured.slice(1),
    };
  } finally {
    await load?.stop();
    await stage.stop();
  }
}

async function measure(stage: Stage, load: Load, shape: FanoutShape): Promise<Figures> {
  const processes = { gateway: stage.gateway.pid, router: stage.router!.pid, load: load.pid };
  const cpu = (): number[] => Object.values(processes).map(cpuSeconds);
  const metrics = (): Promise<[number, number]> =>
    Promise.all([
      gatewayMetric(stage, 'pushcluster_gateway_frames_sent_total'),
      gatewayMetric(stage, 'pushcluster_gateway_writes_total'),
    ]);
  load.reset();
  const [framesBefore, writesBefore] = await metrics();
  const before = cpu();
  const startedMs = performance.now();
  await publish(stage, load, shape);
  const seconds = (performance.now() - startedMs) / 1000;
  const [gatewayCpu, routerCpu, loadCpu] = cpu().map((value, i) => round(value - before[i]!));
  const [frames, writes] = await metrics();
  const counts = await load.report();
  return {
    deliveriesPerCpuSecond: Math.round(counts.messages / gatewayCpu!),
    lost: shape.messages * CONNECTIONS - counts.messages,
    // Each connection by itself, so that one message twice does not make up for one that never came.
    fewestOfAConnection: counts.least,
    mostOfAConnection: counts.most,
    framesPerWrite: round((frames - framesBefore) / (writes - writesBefore)),
    inFlight: shape.inFlight,
    batch: shape.batch,
    deliveries: counts.messages,
    // Its own count, pongs and fresh tickets included.
    framesSentByGateway: frames - framesBefore,
    deliveriesPerSecond: Math.round(counts.messages / seconds),
    frameBytes: Math.round(counts.bytes / Math.max(1, counts.messages)),
    p50Ms: counts.p50Ms,
    p99Ms: counts.p99Ms,
    seconds: round(seconds),
    cpuSeconds: { gateway: gatewayCpu, router: routerCpu, load: loadCpu },
    closed: counts.closed,
  };
}

async function publish(stage: Stage, load: Load, shape: FanoutShape): Promise<void> {
  const sender = openBatchSender({ url: stage.router!.url, apiKey: stage.apiKey, connections: 1 });
  const before = (await load.each()).least;
  for (let sent = 0; sent < shape.messages; sent += shape.batch) {
    const due = sent - shape.inFlight + shape.batch;
    if (due > 0) await load.untilEach(before + due, 3000);
    const messages = Array.from({ length: Math.min(shape.batch, shape.messages - sent) }, aMessage);
    const { refused, problem } = await sender.send(messages);
    if (refused > 0) throw new Error(`expected every message to be taken, got ${problem}`);
  }
  await load.untilEach(before + shape.messages, 3000);
  sender.close();
}

function aMessage(): string {
  const head = `{"t":${Date.now()},"filling":"`;
  return `{"target":{"topic":"${TOPIC}"},"class":"live","body":${head}${'x'.repeat(BODY_BYTES - head.length - 2)}"}}`;
}

function round(value: number): number {
  return Number(value.toFixed(2));
}
