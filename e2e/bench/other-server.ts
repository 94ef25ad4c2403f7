// The other side of a comparison: a Centrifugo of yours (`go install github.com/centrifugal/centrifugo/v6@v6.9.1`), started with its
// defaults but for what a bench without tokens needs, on loopback, published to through its HTTP API as ours is. Live ones are one node that
// keeps nothing; what is nearest to durable is history in a Redis, from which a client that comes back recovers. It has no acks.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import type { BatchSender } from './batches.ts';
import { freePort } from '../../workloads/runtime/free-port.ts';
import { openFolder, removeFolder, startProcess } from './processes.ts';
import type { StartedProcess } from './processes.ts';
import { startRedis } from './stage.ts';
import { cpuSeconds } from './usage.ts';

export interface OtherServerOptions {
  /** Channels that one client may hear. */
  readonly channelsEach: number;
  /** History of every channel in a Redis, set as ours is (everysec, no rewrites); default: none. */
  readonly durable?: boolean;
  /** Default 1; more than one need a Redis to hear of each other. */
  readonly nodes?: number;
  /** Each client is pinged so often, and has half as long to answer; default: its own, 25 s and 8 s. */
  readonly pingSeconds?: number;
}

export interface OtherServer {
  /** Of each node. */
  readonly ports: readonly number[];
  readonly version: string;
  /** Takes the messages of ours for topics and asks for the same of theirs. */
  readonly sender: BatchSender;
  /** One body to many channels, in one request; rejects when one of them failed. */
  broadcast(channels: readonly string[], body: unknown): Promise<void>;
  /** CPU seconds so far of all nodes, of Redis, and of the load generator; cpuOf is its counterpart for ours. */
  cpu(load: { readonly pid: number }): Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

type Figures = Readonly<Record<string, unknown>>;

/** Our figures, and beside them those of the other side at a path (null: ours alone), or why there are none: ours took minutes to come by. */
export async function besideOther(
  ours: Figures,
  path: string | null,
  measure: (path: string) => Promise<Figures>,
): Promise<Figures> {
  if (path === null) return ours;
  const centrifugo = await measure(path).catch((error: unknown) => ({ problem: String(error) }));
  return { ...ours, centrifugo };
}

/** What a channel keeps for whoever comes back. */
const HISTORY = { history_size: 100, history_ttl: '600s', force_recovery: true } as const;

export async function startOtherServer(path: string, options: OtherServerOptions): Promise<OtherServer> {
  const { channelsEach, durable = false, nodes = 1, pingSeconds } = options;
  const folder = openFolder();
  const key = randomBytes(16).toString('hex');
  const started: StartedProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const process of started.reverse()) await process.stop();
    removeFolder(folder);
  };
  try {
    const redis = durable || nodes > 1 ? await startRedis(folder, { always: false, rewrites: false }) : null;
    if (redis !== null) started.push(redis.process);
    const servers: StartedProcess[] = [];
    const ports: number[] = [];
    for (let i = 0; i < nodes; i++) {
      const port = await freePort();
      const config = {
        http_server: { address: '127.0.0.1', port },
        http_api: { key },
        client: {
          allow_anonymous_connect_without_token: true,
          channel_limit: channelsEach + 1,
          queue_max_size: 64 << 20,
          ...(pingSeconds === undefined
            ? {}
            : { ping_interval: `${pingSeconds}s`, pong_timeout: `${pingSeconds / 2}s` }),
        },
        channel: {
          without_namespace: {
            allow_subscribe_for_client: true,
            allow_subscribe_for_anonymous: true,
            ...(durable ? HISTORY : {}),
          },
        },
        ...(redis === null ? {} : { engine: { type: 'redis', redis: { address: redis.url } } }),
      };
      const file = join(folder, `config-${i}.json`);
      writeFileSync(file, JSON.stringify(config));
      const { process } = await startProcess(path, ['--config', file], {
        isReady: (line) => line.includes('serving websocket'),
      });
      started.push(process);
      servers.push(process);
      ports.push(port);
    }
    const cpu = (load: { readonly pid: number }): Readonly<Record<string, number>> => ({
      server: servers.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
      ...(redis === null ? {} : { redis: cpuSeconds(redis.process.pid) }),
      load: cpuSeconds(load.pid),
    });
    const version = spawnSync(path, ['version'], { encoding: 'utf8' }).stdout?.trim() ?? '';
    const api = openApi(ports[0]!, key);
    return { ports, version, sender: senderOf(api), broadcast: (...to) => broadcast(api, ...to), cpu, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Api {
  /** Answers the text, and how many errors are in it. */
  post(path: string, command: unknown): Promise<{ failed: number; text: string }>;
  close(): void;
}

function openApi(port: number, key: string): Api {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  return {
    close: () => agent.destroy(),
    post: (path, command) =>
      new Promise((resolve, reject) => {
        const bytes = Buffer.from(JSON.stringify(command));
        const headers = { 'x-api-key': key, 'content-type': 'application/json', 'content-length': bytes.length };
        const asked = request({ port, host: '127.0.0.1', path, agent, method: 'POST', headers }, (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('error', reject);
          answer.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            if (answer.statusCode !== 200) reject(new Error(`${answer.statusCode} ${text.slice(0, 300)}`));
            else resolve({ failed: text.match(/"error"/g)?.length ?? 0, text });
          });
        });
        asked.on('error', reject);
        asked.end(bytes);
      }),
  };
}

function senderOf(api: Api): BatchSender {
  return {
    close: () => api.close(),
    async send(messages) {
      const commands = messages.map((text) => {
        const { target, body } = JSON.parse(text) as { target: { topic: string }; body: unknown };
        return { publish: { channel: target.topic, data: body } };
      });
      const { failed, text } = await api.post('/api/batch', { commands, parallel: true });
      return {
        accepted: messages.length - failed,
        refused: failed,
        problem: failed > 0 ? text.slice(0, 300) : null,
      };
    },
  };
}

async function broadcast(api: Api, channels: readonly string[], body: unknown): Promise<void> {
  const { failed, text } = await api.post('/api/broadcast', { channels, data: body });
  if (failed > 0) throw new Error(`expected every channel to be published to, got ${text.slice(0, 300)}`);
}
