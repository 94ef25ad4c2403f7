// A test device: an SDK client with a disk, an application that behaves as told (behaviour.ts), and a log of what it dealt with. A message is
// in the log once its position is saved, as in an application that keeps both in one place; so a crash between neither loses nor doubles.
import { openClient } from '../../workloads/client/client.ts';
import { NackError } from '../../workloads/client/client.ts';
import type { Client, ClientOptions, ReceivedMessage } from '../../workloads/client/client.ts';
import type { ClientCounters } from '../../workloads/client/counts.ts';
import type { ClientState } from '../../workloads/client/state.ts';
import type { Storage, StorageChanges } from '../../workloads/client/storage.ts';
import type { TopicFilter } from '../../workloads/protocol/frames.ts';
import { keyIn, reactionTo, workMsOf } from './behaviour.ts';
import type { Behaviour } from './behaviour.ts';
import { addCounters } from './counters.ts';
import { CrashedError, Life } from './life.ts';
import type { ReceivedLine, ReceivedLog } from './received-log.ts';

export interface TopicWish {
  readonly topic: string;
  readonly filter?: TopicFilter | null;
}
export interface DeviceOptions {
  readonly name: string;
  readonly client: Omit<ClientOptions, 'storage' | 'onMessage' | 'onState' | 'onGap' | 'onError'>;
  readonly disk: Storage;
  readonly log: ReceivedLog;
  readonly behaviour: Behaviour;
  /** With `offline: pull`: messages asked for at a time. */
  readonly pullMax: number;
  readonly onNote: (problem: string, isError: boolean) => void;
  /** It stands on another connection than before. */
  readonly onReconnected: () => void;
}

const LANES_PULLED = ['@high', '@normal', '@low'] as const;
const CRASHED_MS = 500;

export class Device {
  readonly #options: DeviceOptions;
  readonly #wishes: TopicWish[] = [];
  readonly #held = new Set<string>();
  /** Handed over, and not yet saved. */
  #given = new Map<string, ReceivedLine>();
  #life = new Life();
  #client: Client | null = null;
  #before: ClientCounters | null = null;
  #stood = false;
  #stopped = false;
  #timer: NodeJS.Timeout | null = null;
  received = 0;
  gaps = 0;
  crashes = 0;

  constructor(options: DeviceOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#begin();
    this.#crashLater();
  }

  get client(): Client | null {
    return this.#client;
  }
  get state(): ClientState | null {
    return this.#client?.state() ?? null;
  }
  get holdsAll(): boolean {
    return this.#wishes.every(({ topic }) => this.#held.has(topic));
  }
  counters(): ClientCounters {
    const now = this.#client?.counters();
    if (now === undefined) return this.#before ?? addCounters([]);
    return this.#before === null ? now : addCounters([this.#before, now]);
  }

  subscribe(wish: TopicWish): void {
    this.#wishes.push(wish);
    this.#ask(wish);
  }
  cut(): void {
    this.#client?.cut();
  }

  /** As when its power goes. It starts again over its disk after a while. */
  crash(): void {
    const client = this.#client;
    if (client === null || this.#stopped) return;
    this.crashes++;
    this.#life.crash();
    this.#before = this.counters();
    this.#client = null;
    this.#given = new Map();
    this.#held.clear();
    client.cut();
    client.close().catch(() => {}); // it reaches nothing any more
    this.#after(this.#options.behaviour.crashedMs ?? CRASHED_MS, () => void this.#restart());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#client?.close();
    await this.#options.disk.close();
    this.#options.log.close();
  }

  // ---- one life after the other

  async #begin(): Promise<void> {
    const life = new Life();
    this.#life = life;
    const client = await openClient({
      ...this.#options.client,
      storage: life.storage(this.#options.disk, (changes) => this.#saved(changes)),
      WebSocket: life.webSocket(),
      fetch: life.fetch(),
      onMessage: (message) => this.#take(life, message),
      onState: (state) => this.#shown(state),
      onGap: ({ stream, reason, from, to }) => {
        this.gaps++;
        this.#options.onNote(`gap in ${stream}: ${reason} from ${from.offset} to ${to.offset}`, false);
      },
      onError: (error) => this.#failed(error),
    });
    this.#client = client;
    for (const wish of this.#wishes) this.#ask(wish);
  }

  async #restart(): Promise<void> {
    try {
      await this.#begin();
      this.#crashLater();
    } catch (error) {
      this.#failed(error);
    }
  }

  #crashLater(): void {
    const { crashEveryMs } = this.#options.behaviour;
    if (crashEveryMs !== undefined) this.#after(crashEveryMs * (0.5 + Math.random()), () => this.crash());
  }

  #after(delayMs: number, fn: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (!this.#stopped) this.#timer = setTimeout(fn, delayMs);
  }

  // ---- the application

  async #take(life: Life, message: ReceivedMessage): Promise<void> {
    const { behaviour } = this.#options;
    const workMs = workMsOf(message, behaviour);
    if (workMs > 0) await new Promise((resolve) => setTimeout(resolve, workMs));
    life.assertAlive();
    const reaction = reactionTo(message, behaviour);
    if (reaction === 'crash') {
      this.crash();
      throw new CrashedError();
    }
    if (reaction === 'nack') throw new NackError('the test says so');
    if (reaction !== 'take') throw new NackError('the test says so', { final: reaction });
    if (message.body === undefined) throw new Error(`${message.id} came without its body`);
    this.#give(message);
  }

  #give({ id, stream, offset, epoch, body }: ReceivedMessage): void {
    const line: ReceivedLine = { id, stream, offset, epoch, tMs: Date.now(), key: keyIn(body) };
    if (offset === null) this.#write(line);
    else this.#given.set(`${stream} ${id}`, line);
  }

  #saved({ messages = [] }: StorageChanges): void {
    for (const { stream, id } of messages) {
      const line = this.#given.get(`${stream} ${id}`);
      if (line === undefined) continue;
      this.#given.delete(`${stream} ${id}`);
      this.#write(line);
    }
  }

  #write(line: ReceivedLine): void {
    this.received++;
    this.#options.log.add(line);
  }

  // ---- the connection

  #shown({ kind, problem, gateway }: ClientState): void {
    if (problem !== null && kind !== 'connecting') this.#options.onNote(problem, false); // told again with each change
    if (kind !== 'live' || gateway === null) return;
    if (this.#stood) this.#options.onReconnected();
    this.#stood = true;
    if (this.#options.client.offline === 'pull') void this.#pullAll();
  }

  /** Lane by lane until nothing is left. */
  async #pullAll(): Promise<void> {
    const client = this.#client;
    try {
      for (const stream of LANES_PULLED)
        while (client !== null && client === this.#client)
          if (!(await client.pull(stream, this.#options.pullMax)).left) break;
    } catch (error) {
      if (client === this.#client && !this.#stopped) this.#failed(error);
    }
  }

  #ask({ topic, filter }: TopicWish): void {
    const client = this.#client;
    client?.subscribe(topic, filter === undefined ? {} : { filter }).then(
      () => {
        if (client === this.#client) this.#held.add(topic);
      },
      (error: unknown) => {
        if (client === this.#client && !this.#stopped) this.#failed(error);
      },
    );
  }

  #failed(error: unknown): void {
    if (error instanceof CrashedError) return;
    this.#options.onNote(error instanceof Error ? error.message : String(error), true);
  }
}
