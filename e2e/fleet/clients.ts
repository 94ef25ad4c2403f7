// Many test devices (device.ts) in one process, each with a log of its own. fleet.ts is the process around it; embedded scenarios use it
// directly. 1,000 clients take about 40 MB; each has one timer.
import { mkdirSync } from 'node:fs';
import type { ClientOptions, GroupPage } from '../../workloads/client/client.ts';
import type { ClientCounters } from '../../workloads/client/counts.ts';
import type { ClientState } from '../../workloads/client/state.ts';
import { openSqliteStorage } from '../../workloads/client/storage-sqlite.ts';
import { openMemoryStorage } from '../../workloads/client/storage.ts';
import { openAppSigner } from './app-token.ts';
import type { Jwk } from './app-token.ts';
import type { Behaviour } from './behaviour.ts';
import { addCounters } from './counters.ts';
import { Device } from './device.ts';
import type { TopicWish } from './device.ts';
import { accountName, deviceName } from './names.ts';
import type { DeviceRange } from './names.ts';
import { openReceivedLog } from './received-log.ts';
import type { ReceivedLog } from './received-log.ts';
import { sendByTurns, upstreamByTurns } from './talk.ts';
import type { SendOptions, TalkCounts, UpstreamOptions } from './talk.ts';

export interface FleetOptions extends DeviceRange {
  readonly registryUrl: string;
  readonly app: string;
  /** The app's private key; its public half is in the PushApp. */
  readonly privateJwk: Jwk;
  /** What each client subscribes to once it is connected, with the filter where one is given. */
  readonly topics: readonly (string | TopicWish)[];
  /** Folder of the clients' logs; made when it is not there. */
  readonly logs: string;
  /** Folder of SQLite files, one for each client; left out: positions live in memory, also across crashes. */
  readonly storage?: string;
  /** Clients started per second. Default 200. */
  readonly startRate?: number;
  /** What their applications do with messages; default: take them. */
  readonly behaviour?: Behaviour;
  /** As of the SDK: acks one by one, what was missed on demand, lanes. */
  readonly client?: Pick<ClientOptions, 'acks' | 'atOnceMax' | 'offline' | 'lanes'>;
  /** With `offline: pull`: messages asked for at a time. Default 50. */
  readonly pullMax?: number;
}
export interface FleetCounts {
  readonly clients: number;
  /** Clients by the kind of their state, and by the gateway that serves them. */
  readonly states: Readonly<Partial<Record<ClientState['kind'], number>>>;
  readonly gateways: Readonly<Record<string, number>>;
  /** Clients that hold every topic. */
  readonly subscribed: number;
  /** Clients whose gateway says that it sheds load. */
  readonly degraded: number;
  /** Messages dealt with: saved, where they have a place. */
  readonly received: number;
  readonly crashes: number;
  readonly gaps: number;
  readonly errors: number;
  /** Sums over all clients. */
  readonly counters: ClientCounters;
  /** Some of the last problems, in words. */
  readonly problems: readonly string[];
  /** How often each problem was met, over all clients; the first 50 kinds. */
  readonly problemCounts: Readonly<Record<string, number>>;
  /** When each connection after a client's first stood, ms; the newest 20,000. For reconnect rates. */
  readonly reconnectsAtMs: readonly number[];
}
export type GroupOp = 'create' | 'join' | 'leave' | 'delete';
export interface Fleet {
  counts(): FleetCounts;
  /** Cuts the sockets of the first `count` clients. */
  cut(count: number): void;
  /** The first `count` clients lose all that they had not saved, and start again. */
  crash(count: number): void;
  subscribe(topics: readonly (string | TopicWish)[]): void;
  /** Each client, or the first `count`, one after the other. */
  group(op: GroupOp, group: string, count?: number): Promise<void>;
  members(group: string, after?: string): Promise<GroupPage>;
  send(options: SendOptions): Promise<TalkCounts>;
  upstream(options: UpstreamOptions): Promise<TalkCounts>;
  /** Logs are complete on disk after it. */
  flush(): void;
  stop(): Promise<void>;
}

const FLUSH_MS = 250;
const PROBLEMS_MAX = 10;
const PROBLEM_KINDS_MAX = 50;
const RECONNECTS_MAX = 20_000;
const PULL_MAX = 50;

/** Starts the clients, paced; resolves when all have begun (not when they are live: ask `counts`). */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const fleet = new FleetOfClients(options, await openAppSigner(options.app, options.privateJwk));
  await fleet.start();
  return fleet;
}

class FleetOfClients implements Fleet {
  readonly #options: FleetOptions;
  readonly #sign: (account: string, device: string) => Promise<string>;
  readonly #devices: Device[] = [];
  readonly #logs: ReceivedLog[] = [];
  readonly #names: string[] = [];
  readonly #problems: string[] = [];
  readonly #problemCounts = new Map<string, number>();
  readonly #reconnectsAtMs: number[] = [];
  readonly #flushing: NodeJS.Timeout;
  #errors = 0;

  constructor(options: FleetOptions, sign: (account: string, device: string) => Promise<string>) {
    this.#options = options;
    this.#sign = sign;
    this.#flushing = setInterval(() => this.flush(), FLUSH_MS);
  }

  async start(): Promise<void> {
    const { first, count, startRate = 200, logs, storage } = this.#options;
    mkdirSync(logs, { recursive: true });
    if (storage !== undefined) mkdirSync(storage, { recursive: true });
    const startedAtMs = performance.now();
    for (let i = 0; i < count; i++) {
      const aheadMs = (i * 1000) / startRate - (performance.now() - startedAtMs);
      if (aheadMs > 5) await new Promise((resolve) => setTimeout(resolve, aheadMs));
      await this.#open(first + i);
    }
  }

  async #open(index: number): Promise<void> {
    const { registryUrl, app, prefix, logs, storage, topics, behaviour = {}, pullMax = PULL_MAX } = this.#options;
    const name = deviceName(index, prefix);
    const account = accountName(index, prefix);
    const log = openReceivedLog(logs, name);
    const device = new Device({
      name,
      client: {
        ...this.#options.client,
        registryUrl,
        app,
        account,
        device: name,
        credential: () => this.#sign(account, name),
        seenIdsMax: 256,
      },
      disk:
        storage === undefined
          ? openMemoryStorage()
          : openSqliteStorage(`${storage}/${name}.db`, { durability: 'normal' }),
      log,
      behaviour,
      pullMax,
      onNote: (problem, isError) => this.#note(name, problem, isError),
      onReconnected: () => this.#reconnected(),
    });
    this.#devices.push(device);
    this.#names.push(name);
    this.#logs.push(log);
    await device.start();
    for (const wish of topics) device.subscribe(wishOf(wish));
  }

  counts(): FleetCounts {
    const states: Partial<Record<ClientState['kind'], number>> = {};
    const gateways: Record<string, number> = {};
    let degraded = 0;
    for (const device of this.#devices) {
      const kind = device.state?.kind ?? 'idle';
      const gateway = device.state?.gateway ?? null;
      states[kind] = (states[kind] ?? 0) + 1;
      if (gateway !== null) gateways[gateway] = (gateways[gateway] ?? 0) + 1;
      if (device.state?.degraded != null) degraded++;
    }
    const sum = (of: (device: Device) => number): number =>
      this.#devices.reduce((total, device) => total + of(device), 0);
    return {
      clients: this.#devices.length,
      states,
      gateways,
      subscribed: sum(({ holdsAll }) => Number(holdsAll)),
      degraded,
      received: sum(({ received }) => received),
      crashes: sum(({ crashes }) => crashes),
      gaps: sum(({ gaps }) => gaps),
      errors: this.#errors,
      counters: addCounters(this.#devices.map((device) => device.counters())),
      problems: [...this.#problems],
      problemCounts: Object.fromEntries(this.#problemCounts),
      reconnectsAtMs: [...this.#reconnectsAtMs],
    };
  }
  cut(count: number): void {
    for (const device of this.#devices.slice(0, count)) device.cut();
  }
  crash(count: number): void {
    for (const device of this.#devices.slice(0, count)) device.crash();
  }
  subscribe(topics: readonly (string | TopicWish)[]): void {
    for (const device of this.#devices) for (const wish of topics) device.subscribe(wishOf(wish));
  }
  async group(op: GroupOp, group: string, count = this.#devices.length): Promise<void> {
    for (const { client } of this.#devices.slice(0, count)) await client?.groups[op](group);
  }
  async members(group: string, after?: string): Promise<GroupPage> {
    const client = this.#devices.find((device) => device.client !== null)?.client;
    if (client === undefined || client === null) throw new Error('every client is crashed');
    return await client.groups.members(group, after);
  }
  send(options: SendOptions): Promise<TalkCounts> {
    return sendByTurns(this.#speakers(), options);
  }
  upstream(options: UpstreamOptions): Promise<TalkCounts> {
    return upstreamByTurns(this.#speakers(), options);
  }
  flush(): void {
    for (const log of this.#logs) log.flush();
  }
  async stop(): Promise<void> {
    clearInterval(this.#flushing);
    await Promise.all(this.#devices.map((device) => device.stop()));
  }

  #speakers() {
    return this.#devices.map((device, i) => ({
      name: this.#names[i]!,
      get client() {
        return device.client;
      },
    }));
  }
  #reconnected(): void {
    this.#reconnectsAtMs.push(Date.now());
    if (this.#reconnectsAtMs.length > RECONNECTS_MAX) this.#reconnectsAtMs.splice(0, RECONNECTS_MAX / 10);
  }
  #note(device: string, problem: string, isError: boolean): void {
    if (isError) this.#errors++;
    const known = this.#problemCounts.get(problem);
    if (known !== undefined || this.#problemCounts.size < PROBLEM_KINDS_MAX)
      this.#problemCounts.set(problem, (known ?? 0) + 1);
    this.#problems.push(`${device}: ${problem}`);
    if (this.#problems.length > PROBLEMS_MAX) this.#problems.shift();
  }
}

function wishOf(wish: string | TopicWish): TopicWish {
  return typeof wish === 'string' ? { topic: wish } : wish;
}
