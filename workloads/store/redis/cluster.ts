// A Redis Cluster: ioredis' Cluster finds the nodes and the slots; each master has a RedisNode, which sends its own batch. A reply
// MOVED (nothing was done) refreshes the slots and goes to the right node once; ASK and TRYAGAIN (resharding) reject.
import { Cluster } from 'ioredis';
import type { Redis } from 'ioredis';
import type { RedisAddress } from './address.ts';
import type { Item } from './batch.ts';
import { MISFIT } from './connect-problem.ts';
import { tlsConnector } from './connectors.ts';
import { BUCKET_SLOTS, BUCKETS } from './keys.ts';
import { RedisNode } from './node.ts';
import { backoffMs, connectionOptions } from './single.ts';
import type { Surroundings } from './single.ts';
import { route } from './topology.ts';
import type { Topology } from './topology.ts';
import { StoreUnavailableError } from '../port.ts';

/** Slots are read anew for a missing node this often at most. */
const REFRESH_MS = 500;

/** Starts connecting. */
export function openCluster(address: Extract<RedisAddress, { kind: 'cluster' }>, surroundings: Surroundings): Topology {
  return new RedisCluster(address, surroundings);
}

class RedisCluster implements Topology {
  readonly #cluster: Cluster;
  readonly #surroundings: Surroundings;
  readonly #nodes = new Map<Redis, RedisNode>();
  #byName = new Map<string, Redis>();
  #state: 'opening' | 'open' | 'closed' = 'opening';
  #lastError: Error | null = null;
  #refreshing: Promise<void> | null = null;
  #waiting: (() => void)[] = [];

  constructor(address: Extract<RedisAddress, { kind: 'cluster' }>, surroundings: Surroundings) {
    this.#surroundings = surroundings;
    const nodes = address.nodes.map(({ host, port }) => ({ host, port }));
    const { trust } = surroundings;
    this.#cluster = new Cluster(nodes, {
      clusterRetryStrategy: backoffMs,
      enableOfflineQueue: false,
      // Each node is checked by itself (learn.ts); a check of the whole would drop every connection when one master is lost.
      enableReadyCheck: false,
      scaleReads: 'master',
      maxRedirections: 0,
      slotsRefreshTimeout: surroundings.timeoutMs,
      redisOptions: {
        ...connectionOptions(surroundings),
        ...(trust === null ? {} : { Connector: tlsConnector(trust, (error) => this.#note(error)) }),
      },
      // A certificate has the names that we are given, not the addresses behind them.
      ...(trust === null ? {} : { dnsLookup: (host, done) => done(null, host) }),
    });
    this.#cluster.on('error', (error: Error) => this.#note(error));
    this.#cluster.on('node error', (error: Error) => this.#note(error));
    this.#cluster.on('-node', (redis: Redis) => this.#forget(redis));
    this.#cluster.on('refresh', () => this.#adopt());
    this.#cluster.on('ready', () => this.#adopt());
    this.#cluster.on('close', () => this.#adopt());
  }

  /** That all nodes failed, or that a connection is closed, is what follows from an error, and takes no error's place. */
  #note(error: Error): void {
    const isVague = /^(Failed to refresh slots cache|Connection is closed|None of startup nodes)/.test(error.message);
    if (!isVague || this.#lastError === null) this.#lastError = error;
    // All nodes were tried: one that does not fit is not waited for.
    if (error.message.startsWith('Failed to refresh slots cache') && this.#lastError.message.includes(MISFIT))
      this.#wake();
  }

  #wake(): void {
    for (const waiting of this.#waiting.splice(0)) waiting();
  }

  /** Takes note of the masters after the slots were read. */
  #adopt(): void {
    if (this.#state === 'closed') return;
    this.#byName = new Map();
    const holders = new Set(this.#cluster.slots.map((names) => names?.[0]));
    for (const redis of this.#cluster.nodes('master')) {
      const name = `${redis.options.host}:${redis.options.port}`;
      this.#byName.set(name, redis);
      if (holders.has(name) && !this.#nodes.has(redis)) this.#nodes.set(redis, this.#start(redis, name));
    }
    if (this.#nodes.size === 0) return;
    this.#state = 'open';
    this.#wake();
  }

  #start(redis: Redis, name: string): RedisNode {
    if (redis.status === 'wait') redis.connect().catch((error: Error) => this.#note(error));
    return new RedisNode(redis, {
      ...this.#surroundings,
      name,
      clustered: true,
      homeBucket: () => this.#homeBucket(name),
      onMoved: (items) => void this.#move(items),
    });
  }

  #forget(redis: Redis): void {
    this.#nodes.get(redis)?.close();
    this.#nodes.delete(redis);
  }

  #homeBucket(name: string): number | null {
    for (let bucket = 0; bucket < BUCKETS; bucket++)
      if (this.#cluster.slots[BUCKET_SLOTS[bucket]!]?.[0] === name) return bucket;
    return null;
  }

  async #move(items: readonly Item[]): Promise<void> {
    await this.#refresh();
    for (const item of items) {
      if (this.#state === 'closed') item.trip.fail(item.index, new StoreUnavailableError('the store is closed'));
      else route(this, item);
    }
  }

  /** Reads the slots anew; several who ask at once share one reading. */
  #refresh(): Promise<void> {
    this.#refreshing ??= new Promise<void>((resolve) => {
      const cancel = this.#surroundings.clock.after(this.#surroundings.timeoutMs, resolve);
      this.#cluster.refreshSlotsCache((error) => {
        if (error) this.#note(error);
        cancel();
        resolve();
      });
    }).finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  nodeFor(bucket: number): RedisNode | null {
    const name = this.#cluster.slots[BUCKET_SLOTS[bucket]!]?.[0];
    const redis = name === undefined ? undefined : this.#byName.get(name);
    const node = redis && this.#nodes.get(redis);
    if (node !== undefined) return node;
    this.#refreshSoon();
    return null;
  }

  /** A node is missing: the slots are read anew, not more often than every REFRESH_MS. */
  #refreshSoon(): void {
    const nowMs = this.#surroundings.clock.monotonicMs();
    if (this.#state !== 'open' || nowMs < this.#refreshedAtMs + REFRESH_MS) return;
    this.#refreshedAtMs = nowMs;
    void this.#refresh();
  }
  #refreshedAtMs = -REFRESH_MS;

  nodes(): readonly RedisNode[] {
    return [...this.#nodes.values()];
  }

  async settled(timeoutMs: number): Promise<void> {
    const { clock } = this.#surroundings;
    const startedAt = clock.monotonicMs();
    if (this.#state === 'opening') {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(timeoutMs, resolve);
        this.#waiting.push(() => {
          cancel();
          resolve();
        });
      });
    }
    const leftMs = Math.max(0, timeoutMs - (clock.monotonicMs() - startedAt));
    await Promise.all(this.nodes().map((node) => node.settled(leftMs)));
  }

  trouble(): string | null {
    if (this.#state === 'closed') return 'closed';
    if (this.#state === 'opening') return this.#lastError?.message ?? 'no node of the cluster has answered';
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const name = this.#cluster.slots[BUCKET_SLOTS[bucket]!]?.[0];
      const redis = name === undefined ? undefined : this.#byName.get(name);
      const node = redis && this.#nodes.get(redis);
      if (!node?.learned) {
        this.#refreshSoon();
        return `${name ?? 'a node'} is not connected${node?.lastError ? ` (${node.lastError.message})` : ''}`;
      }
    }
    return null;
  }

  close(): void {
    this.#state = 'closed';
    this.#cluster.disconnect();
    for (const node of this.#nodes.values()) node.close();
    this.#nodes.clear();
  }
}
