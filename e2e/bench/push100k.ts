// A6: one request names 100,000 devices that are online on six gateways: when it is accepted, when the last client has the message and has acked
// it, and when the API says that all of them did. What never came is counted at the clients. The other side of the comparison is
// other-server.ts, in the same run.
import { readFileSync, writeFileSync } from 'node:fs';
import { startLoad } from './load/load.ts';
import type { Load, LoadCounts } from './load/load.ts';
import { besideOther, startOtherServer } from './other-server.ts';
import { APP_TOPICS, cpuBetween, cpuOf, deviceOf, startStage } from './stage.ts';
import type { Stage } from './stage.ts';

export interface Push100kOptions {
  readonly recipients: number;
  readonly gateways: number;
  readonly textBytes: number;
  /** Path of a Centrifugo; null: only ours is measured. */
  readonly centrifugo: string | null;
}
export const PUSH100K_DEFAULTS: Push100kOptions = {
  recipients: 100_000,
  gateways: 6,
  textBytes: 100,
  centrifugo: null,
};

/** Of each generator: handshakes of 100,000 clients and six gateways share the cores. */
const OPENS_PER_SECOND = 150;
const HEARTBEAT_SECONDS = 120;
const QUIET_MS = 5000;
const IDLE_MS = 10_000;
const SETTLED_MS = 60_000;
const POLL_MS = 10;
const MIXING_STEP = 7919;

type Figures = Readonly<Record<string, unknown>>;

export async function push100k(options: Push100kOptions, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const ours = await measureOurs(options, gateway);
  return besideOther(ours, options.centrifugo, (path) => measureOther(options, path));
}

async function measureOurs(options: Push100kOptions, gateway: Readonly<Record<string, string>>): Promise<Figures> {
  const { recipients, gateways } = options;
  // Pings are few in the seconds that count: of 100,000 clients at the default interval they would take a fifth of both cores.
  const settings = { PUSHCLUSTER_HEARTBEAT_INTERVAL_MS: String(HEARTBEAT_SECONDS * 1000), ...gateway };
  const stage = await startStage({
    store: 'redis-everysec',
    devices: recipients,
    router: true,
    gateways,
    gateway: settings,
    rewrites: false, // one would fall into the measured seconds
  });
  const loads: Load[] = [];
  try {
    await startLoads(stage, recipients, loads);
    await pushOurs(stage, loads, Math.min(1000, recipients), options.textBytes);
    const first = await pushOurs(stage, loads, recipients, options.textBytes);
    const idle = await whileIdle(stage, loads[0]!);
    const figures = await pushOurs(stage, loads, recipients, options.textBytes);
    return {
      ...figures,
      idleCpuSecondsInTen: idle,
      firstMessageOfEachDevice: first,
      class: 'durable',
      acks: 'every message',
      inFlight: 'one request',
      bodyBytes: options.textBytes,
      gateways,
      settings: stage.settings,
    };
  } finally {
    for (const load of loads) await load.stop();
    await stage.stop();
  }
}

/** Nearest to it: as many nodes, a channel for each client with history in a Redis, one broadcast. Nothing is acked. */
async function measureOther(options: Push100kOptions, path: string): Promise<Figures> {
  const { recipients, gateways, textBytes } = options;
  const pings = { pingSeconds: HEARTBEAT_SECONDS };
  const server = await startOtherServer(path, { channelsEach: 1, durable: true, nodes: gateways, ...pings });
  const loads: Load[] = [];
  try {
    const share = Math.ceil(recipients / gateways);
    for (const [i, port] of server.ports.entries()) {
      const all = Math.min(share, recipients - i * share);
      loads.push(
        await startLoad({
          port,
          connections: all,
          opensPerSecond: OPENS_PER_SECOND,
          tokensFile: '-',
          topic: { all, each: 1, first: i * share },
          ack: false,
          sampleEvery: 1,
          retry: true,
          protocol: 'centrifuge',
        }),
      );
    }
    for (const [i, load] of loads.entries()) await load.untilLive(Math.min(share, recipients - i * share), 300_000);
    const channels = inMixedOrder(recipients).map((i) => `${APP_TOPICS}${i}`);
    const cpu = (): Readonly<Record<string, number>> => server.cpu(loads[0]!);
    const send = (): Promise<void> => server.broadcast(channels, aBody(textBytes));
    const first = await push({ loads, cpu, recipients, send });
    const figures = await push({ loads, cpu, recipients, send });
    return {
      ...figures,
      cpuOf: 'all nodes, Redis, one of the load generators',
      firstMessageOfEachChannel: first,
      class: 'history in Redis',
      acks: 'none',
      version: server.version,
    };
  } finally {
    for (const load of loads) await load.stop();
    await server.stop();
  }
}

/** What so many sessions cost when nothing is sent to them. */
async function whileIdle(stage: Stage, load: Load): Promise<Readonly<Record<string, number>>> {
  const before = cpuOf(stage, load);
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  return cpuBetween(before, cpuOf(stage, load));
}

/** One generator for each gateway: a process has 20,000 file descriptors at most. */
async function startLoads(stage: Stage, recipients: number, loads: Load[]): Promise<void> {
  const tokens = readFileSync(stage.tokensFile, 'utf8').trimEnd().split('\n');
  const share = Math.ceil(recipients / stage.gateways.length);
  for (const [i, { clientPort }] of stage.gateways.entries()) {
    const own = tokens.slice(i * share, (i + 1) * share);
    const tokensFile = `${stage.tokensFile}-${i}`;
    writeFileSync(tokensFile, `${own.join('\n')}\n`);
    const common = {
      topic: null,
      ack: true,
      sampleEvery: 1,
      opensPerSecond: OPENS_PER_SECOND,
      retry: true,
      pingSeconds: HEARTBEAT_SECONDS,
    };
    loads.push(await startLoad({ ...common, port: clientPort, connections: own.length, tokensFile }));
  }
  for (const [i, load] of loads.entries()) await load.untilLive(Math.min(share, recipients - i * share), 300_000);
}

async function pushOurs(stage: Stage, loads: readonly Load[], recipients: number, textBytes: number): Promise<Figures> {
  const devices = inMixedOrder(recipients).map(deviceOf);
  const headers = { authorization: `Bearer ${stage.apiKey}`, 'content-type': 'application/json' };
  let id = '';
  let requestBytes = 0;
  const startedMs = performance.now();
  const figures = await push({
    loads,
    recipients,
    cpu: () => cpuOf(stage, loads[0]!),
    async send() {
      const request = JSON.stringify({ target: { devices }, body: aBody(textBytes) });
      requestBytes = request.length;
      const answer = await fetch(`${stage.router!.url}/v1/messages`, { method: 'POST', headers, body: request });
      const accepted = (await answer.json()) as { id: string };
      if (answer.status !== 202) throw new Error(`expected 202, got ${answer.status} ${JSON.stringify(accepted)}`);
      ({ id } = accepted);
    },
  });
  const { settledMs, states } = await untilSettled(stage, id, { recipients, startedMs });
  return {
    ...figures,
    settledMs,
    states,
    requestBytes,
    cpuOf: 'all gateways, the router, Redis, one of the load generators',
  };
}

/** Neighbours in the list are at different gateways, as a sender's list has them. Each number once: the step is a prime. */
function inMixedOrder(recipients: number): number[] {
  const step = recipients % MIXING_STEP === 0 ? 1 : MIXING_STEP;
  return Array.from({ length: recipients }, (_, i) => (i * step) % recipients);
}

function aBody(bytes: number): { t: number; filling: string } {
  return { t: Date.now(), filling: 'x'.repeat(Math.max(0, bytes - 32)) };
}

/** Sends to everyone: accepted when it was answered, then what the clients had, and when. */
async function push(subject: {
  readonly loads: readonly Load[];
  readonly cpu: () => Readonly<Record<string, number>>;
  readonly recipients: number;
  readonly send: () => Promise<void>;
}): Promise<Figures> {
  const { loads, cpu, recipients, send } = subject;
  for (const load of loads) load.reset();
  const before = cpu();
  const startedMs = performance.now();
  let acceptedMs = 0;
  const sending = send().then(() => (acceptedMs = performance.now() - startedMs));
  const [times] = await Promise.all([untilAcked(loads, recipients, startedMs), sending]);
  const counts = await Promise.all(loads.map((load) => load.report()));
  return {
    recipients,
    acceptedMs: Math.round(acceptedMs),
    ...times,
    lost: recipients - sum(counts, 'messages'),
    repeated: sum(counts, 'repeated'),
    p50Ms: Math.max(...counts.map(({ p50Ms }) => p50Ms ?? Number.NaN)),
    p99Ms: Math.max(...counts.map(({ p99Ms }) => p99Ms ?? Number.NaN)),
    cpuSeconds: cpuBetween(before, cpu()),
    closed: sum(counts, 'closed'),
  };
}

/** When the first and the last client had the message, and when the last ack was written. */
async function untilAcked(
  loads: readonly Load[],
  recipients: number,
  startedMs: number,
): Promise<{ firstMessageMs: number; lastMessageMs: number; lastAckMs: number }> {
  let firstMessageMs = 0;
  let lastMessageMs = 0;
  let lastAckMs = 0;
  let had = { messages: 0, acks: 0 };
  for (;;) {
    const counts = await Promise.all(loads.map((load) => load.counts()));
    const now = { messages: sum(counts, 'messages'), acks: sum(counts, 'acks') };
    const nowMs = Math.round(performance.now() - startedMs);
    if (had.messages === 0 && now.messages > 0) firstMessageMs = nowMs;
    if (now.messages > had.messages) lastMessageMs = nowMs;
    if (now.acks > had.acks) lastAckMs = nowMs;
    had = now;
    if (now.messages >= recipients || nowMs - Math.max(lastMessageMs, lastAckMs) > QUIET_MS)
      return { firstMessageMs, lastMessageMs, lastAckMs };
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** When the API says that every delivery has ended. */
async function untilSettled(
  stage: Stage,
  id: string,
  at: { readonly recipients: number; readonly startedMs: number },
): Promise<{ settledMs: number | null; states: unknown }> {
  const headers = { authorization: `Bearer ${stage.apiKey}` };
  for (;;) {
    const answer = await fetch(`${stage.router!.url}/v1/messages/${id}`, { headers });
    const { deliveries } = (await answer.json()) as { deliveries?: Readonly<Record<string, number>> };
    const nowMs = Math.round(performance.now() - at.startedMs);
    if ((deliveries?.['acked'] ?? 0) >= at.recipients) return { settledMs: nowMs, states: deliveries };
    if (nowMs > SETTLED_MS) return { settledMs: null, states: deliveries };
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

function sum(counts: readonly LoadCounts[], name: 'messages' | 'repeated' | 'acks' | 'closed'): number {
  return counts.reduce((total, each) => total + each[name], 0);
}
