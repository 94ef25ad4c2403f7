// D3: the two doors of the push API, the same commands: over HTTP/1.1 and over one TCP connection with pipelining. One router and a Redis; the
// clients are in this process. A topic without gateways that hear it: what is measured is the door and what stands behind every push.
import { Agent, request } from 'node:http';
import { openTcpClient } from '../../workloads/router/doors/tcp-client.ts';
import { startStage } from './stage.ts';
import type { Stage } from './stage.ts';
import { cpuSeconds } from './usage.ts';

const SECONDS = 4;
const MESSAGE = { target: { topic: 'news' }, text: 'x'.repeat(100) };

interface Shape {
  readonly door: 'http' | 'tcp';
  readonly connections: number;
  readonly inFlight: number;
}
const SHAPES: readonly Shape[] = [
  { door: 'http', connections: 1, inFlight: 1 },
  { door: 'tcp', connections: 1, inFlight: 1 },
  { door: 'http', connections: 64, inFlight: 64 },
  { door: 'tcp', connections: 1, inFlight: 64 },
  { door: 'tcp', connections: 1, inFlight: 256 },
];
type Ask = () => Promise<void>;

export async function doors(): Promise<Readonly<Record<string, unknown>>> {
  const stage = await startStage({ store: 'redis-everysec', devices: 1, router: true });
  try {
    const runs: unknown[] = [];
    for (const shape of SHAPES) runs.push(await measure(stage, shape));
    return {
      doors: runs,
      cpuOf: 'the router, user and system',
      class: 'durable',
      command: 'push, one message of 100 bytes to a topic',
      settings: stage.settings,
    };
  } finally {
    await stage.stop();
  }
}

async function measure(stage: Stage, shape: Shape) {
  const door = shape.door === 'http' ? overHttp(stage, shape) : await overTcp(stage);
  await run(door.ask, shape.inFlight, 1);
  const { pid } = stage.router!;
  const cpuBefore = cpuSeconds(pid);
  const startedMs = performance.now();
  const { count, p50Ms, p99Ms } = await run(door.ask, shape.inFlight, SECONDS);
  const seconds = (performance.now() - startedMs) / 1000;
  const cpuS = cpuSeconds(pid) - cpuBefore;
  door.close();
  return {
    ...shape,
    commandsPerSecond: Math.round(count / seconds),
    commandsPerCpuSecond: Math.round(count / cpuS),
    p50Ms,
    p99Ms,
  };
}

async function run(ask: Ask, inFlight: number, seconds: number) {
  const untilMs = performance.now() + seconds * 1000;
  const took: number[] = [];
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const askedMs = performance.now();
      await ask();
      took.push(performance.now() - askedMs);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  took.sort((a, b) => a - b);
  const at = (share: number): number => Number((took[Math.floor(took.length * share)] ?? 0).toFixed(2));
  return { count: took.length, p50Ms: at(0.5), p99Ms: at(0.99) };
}

function overHttp(stage: Stage, { connections }: Shape): { readonly ask: Ask; readonly close: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const url = new URL('/v1/messages', stage.router!.url);
  const bytes = Buffer.from(JSON.stringify(MESSAGE));
  const headers = {
    authorization: `Bearer ${stage.apiKey}`,
    'content-type': 'application/json',
    'content-length': bytes.length,
  };
  const ask: Ask = () =>
    new Promise((resolve, reject) => {
      const asked = request(url, { agent, method: 'POST', headers }, (response) => {
        response.resume();
        response.on('end', () =>
          response.statusCode === 202 ? resolve() : reject(new Error(`answered ${response.statusCode}`)),
        );
      });
      asked.on('error', reject);
      asked.end(bytes);
    });
  return { ask, close: () => agent.destroy() };
}

async function overTcp(stage: Stage): Promise<{ readonly ask: Ask; readonly close: () => void }> {
  const client = await openTcpClient({ host: '127.0.0.1', port: stage.router!.tcpPort }, stage.apiKey);
  return {
    ask: async () => {
      const { status } = await client.ask('push', MESSAGE);
      if (status !== 202) throw new Error(`answered ${status}`);
    },
    close: () => client.close(),
  };
}
