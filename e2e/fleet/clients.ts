// Many SDK clients in one process, each with a log of its own. fleet.ts is the process around it; embedded scenarios use it directly.
// 1,000 clients take about 40 MB; each has one timer.
import { mkdirSync } from 'node:fs';
import WebSocketOfWs from 'ws';
import { openClient } from '../../workloads/client/client.ts';
import type { Client } from '../../workloads/client/client.ts';
import type { ClientCounters } from '../../workloads/client/counts.ts';
import type { ClientState } from '../../workloads/client/state.ts';
import { openSqliteStorage } from '../../workloads/client/storage-sqlite.ts';
import { openMemoryStorage } from '../../workloads/client/storage.ts';
import { openAppSigner } from './app-token.ts';
import type { Jwk } from './app-token.ts';
import { accountName, deviceName } from './names.ts';
import type { DeviceRange } from './names.ts';
import { openReceivedLog } from './received-log.ts';
import type { ReceivedLog } from './received-log.ts';

export interface FleetOptions extends DeviceRange {
  readonly registryUrl: string;
  readonly app: string;
  /** The app's private key; its public half is in the PushApp. */
  readonly privateJwk: Jwk;
  /** What each client subscribes to once it is connected. */
  readonly topics: readonly string[];
  /** Folder of the clients' logs; made when it is not there. */
  readonly logs: string;
  /** Folder of SQLite files, one for each client; left out: positions live in memory. */
  readonly storage?: string;
  /** Clients started per second. Default 200. */
  readonly startRate?: number;
}
export interface FleetCounts {
  readonly clients: number;
  /** Clients by the kind of their state, and by the gateway that serves them. */
  readonly states: Readonly<Partial<Record<ClientState['kind'], number>>>;
  readonly gateways: Readonly<Record<string, number>>;
  /** Clients that hold every topic. */
  readonly subscribed: number;
  /** Messages given to applications. */
  readonly received: number;
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
export interface Fleet {
  counts(): FleetCounts;
  /** Cuts the sockets of the first `count` clients. */
  cut(count: number): void;
  subscribe(topics: readonly string[]): void;
  /** Logs are complete on disk after it. */
  flush(): void;
  stop(): Promise<void>;
}

const FLUSH_MS = 250;
const PROBLEMS_MAX = 10;
const PROBLEM_KINDS_MAX = 50;
const RECONNECTS_MAX = 20_000;

/** Starts the clients, paced; resolves when all have begun (not when they are live: ask `counts`). */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const fleet = new FleetOfClients(options, await openAppSigner(options.app, options.privateJwk));
  await fleet.start();
  return fleet;
}

class FleetOfClients implements Fleet {
  readonly #options: FleetOptions;
  readonly #sign: (account: string, device: string) => Promise<string>;
  readonly #clients: Client[] = [];
  readonly #logs: ReceivedLog[] = [];
  readonly #subscribed = new Map<Client, number>();
  readonly #problems: string[] = [];
  readonly #problemCounts = new Map<string, number>();
  readonly #reconnectsAtMs: number[] = [];
  readonly #flushing: NodeJS.Timeout;
  #topics: number;
  #received = 0;
  #gaps = 0;
  #errors = 0;

  constructor(options: FleetOptions, sign: (account: string, device: string) => Promise<string>) {
    this.#options = options;
    this.#sign = sign;
    this.#topics = options.topics.length;
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
    const { registryUrl, app, prefix, logs, storage, topics } = this.#options;
    const device = deviceName(index, prefix);
    const account = accountName(index, prefix);
    const log = openReceivedLog(logs, device);
    let stood = false;
    const client = await openClient({
      registryUrl,
      app,
      account,
      device,
      credential: () => this.#sign(account, device),
      storage:
        storage === undefined
          ? openMemoryStorage()
          : openSqliteStorage(`${storage}/${device}.db`, { durability: 'normal' }),
      seenIdsMax: 256,
      WebSocket: WebSocketOfWs,
      onMessage: ({ id, stream, offset, epoch }) => {
        this.#received++;
        log.add({ id, stream, offset, epoch, tMs: Date.now() });
      },
      onGap: (gap) => {
        this.#gaps++;
        this.#note(device, `gap in ${gap.stream}: ${gap.reason} from ${gap.from.offset} to ${gap.to.offset}`);
      },
      onState: ({ kind, problem, gateway }) => {
        if (problem !== null && kind !== 'connecting') this.#note(device, problem); // told again with each change
        if (kind === 'live' && stood) this.#reconnected();
        if (kind === 'live' && gateway !== null) stood = true;
      },
      onError: (error) => this.#failed(device, error),
    });
    this.#clients.push(client);
    this.#logs.push(log);
    this.#subscribe(client, device, topics);
  }

  counts(): FleetCounts {
    const states: Partial<Record<ClientState['kind'], number>> = {};
    const gateways: Record<string, number> = {};
    for (const client of this.#clients) {
      const { kind, gateway } = client.state();
      states[kind] = (states[kind] ?? 0) + 1;
      if (gateway !== null) gateways[gateway] = (gateways[gateway] ?? 0) + 1;
    }
    let subscribed = 0;
    for (const held of this.#subscribed.values()) if (held === this.#topics) subscribed++;
    return {
      clients: this.#clients.length,
      states,
      gateways,
      subscribed: this.#topics === 0 ? this.#clients.length : subscribed,
      received: this.#received,
      gaps: this.#gaps,
      errors: this.#errors,
      counters: sum(this.#clients.map((client) => client.counters())),
      problems: [...this.#problems],
      problemCounts: Object.fromEntries(this.#problemCounts),
      reconnectsAtMs: [...this.#reconnectsAtMs],
    };
  }
  cut(count: number): void {
    for (const client of this.#clients.slice(0, count)) client.cut();
  }
  subscribe(topics: readonly string[]): void {
    this.#topics += topics.length;
    for (const [i, client] of this.#clients.entries())
      this.#subscribe(client, deviceName(this.#options.first + i, this.#options.prefix), topics);
  }
  flush(): void {
    for (const log of this.#logs) log.flush();
  }
  async stop(): Promise<void> {
    clearInterval(this.#flushing);
    await Promise.all(this.#clients.map((client) => client.close()));
    for (const log of this.#logs) log.close();
  }

  #subscribe(client: Client, device: string, topics: readonly string[]): void {
    for (const topic of topics)
      client.subscribe(topic).then(
        () => this.#subscribed.set(client, (this.#subscribed.get(client) ?? 0) + 1),
        (error: unknown) => this.#failed(device, error),
      );
  }
  #reconnected(): void {
    this.#reconnectsAtMs.push(Date.now());
    if (this.#reconnectsAtMs.length > RECONNECTS_MAX) this.#reconnectsAtMs.splice(0, RECONNECTS_MAX / 10);
  }
  #failed(device: string, error: unknown): void {
    this.#errors++;
    this.#note(device, error instanceof Error ? error.message : String(error));
  }
  #note(device: string, problem: string): void {
    const known = this.#problemCounts.get(problem);
    if (known !== undefined || this.#problemCounts.size < PROBLEM_KINDS_MAX)
      this.#problemCounts.set(problem, (known ?? 0) + 1);
    this.#problems.push(`${device}: ${problem}`);
    if (this.#problems.length > PROBLEMS_MAX) this.#problems.shift();
  }
}

function sum(all: readonly ClientCounters[]): ClientCounters {
  const total = {
    registryCalls: { register: 0, renew: 0, assign: 0 },
    attempts: 0,
    welcomes: 0,
    resumes: 0,
    goaways: 0,
    resyncs: 0,
    acks: 0,
    nacks: 0,
    handled: 0,
    nacked: 0,
    bodiesGone: 0,
    queued: 0,
    duplicates: 0,
    gaps: 0,
    overflowed: 0,
  };
  for (const { registryCalls, ...counters } of all) {
    for (const ask of ['register', 'renew', 'assign'] as const) total.registryCalls[ask] += registryCalls[ask];
    for (const [name, value] of Object.entries(counters) as [keyof typeof counters, number][]) total[name] += value;
  }
  return total;
}
