// The store in Redis: single, Sentinel or Cluster. Every operation is a batch of script calls (scripts/) that leave in one write
// for each node at the end of the tick. Opened by ../open.ts; keys.ts says where things are, node.ts how they get there.
import { parseRedisAddress } from './address.ts';
import { openCluster } from './cluster.ts';
import * as devices from './devices.ts';
import { StoreRefusedError } from './learn.ts';
import * as sessions from './sessions.ts';
import { openSingle } from './single.ts';
import { RedisStreams, streamScripts } from './streams.ts';
import * as subscriptions from './subscriptions.ts';
import type { Topology } from './topology.ts';
import type * as port from '../port.ts';
import { PendingStore } from '../pending.ts';
import { STORE_LIMITS } from '../store-limits.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AccountId, AppId, BootId, DeviceId, GatewayName, MessageId, TopicName } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';

export interface RedisOptions {
  readonly url: string;
  /** Empty: none. */
  readonly password: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<StoreLimits>;
  /** Items (appends, reads, …) under way at one node; more are rejected. Default 200,000: 100 MB of small appends. */
  readonly itemsMax?: number;
}

/**
 * Connects, and waits for the first answer up to `timeoutMs`; a Redis that is not there yet is no error.
 * Throws RedisAddressError, or StoreRefusedError when it answers and cannot be used (wrong password, older than 7).
 */
export async function openRedisStore(options: RedisOptions): Promise<port.Store> {
  const address = parseRedisAddress(options.url);
  const limits = { ...STORE_LIMITS, ...options.limits };
  const ofStreams = streamScripts(limits);
  const scripts = [
    ...Object.values(ofStreams),
    ...sessions.SESSION_SCRIPTS,
    ...devices.DEVICE_SCRIPTS,
    ...subscriptions.SUBSCRIPTION_SCRIPTS,
  ];
  const { password, timeoutMs, clock, log } = options;
  const itemsMax = options.itemsMax ?? 200_000;
  const surroundings = { password, timeoutMs, itemsMax, clock, log, scripts };
  const topology = address.kind === 'cluster' ? openCluster(address, surroundings) : openSingle(address, surroundings);
  await topology.settled(timeoutMs);
  const trouble = topology.trouble();
  if (trouble !== null && /WRONGPASS|NOAUTH|NOPERM|expected Redis 7/.test(trouble)) {
    topology.close();
    throw new StoreRefusedError(`store: ${trouble}`);
  }
  const store = new RedisStore(topology, new RedisStreams(topology, ofStreams), limits);
  for (const warning of (await store.health()).warnings) log.warn({ warning }, 'store is not as it should be');
  return store;
}

class RedisStore extends PendingStore implements port.Store {
  readonly #topology: Topology;
  readonly #streams: RedisStreams;
  readonly #limits: StoreLimits;

  constructor(topology: Topology, streams: RedisStreams, limits: StoreLimits) {
    super();
    this.#topology = topology;
    this.#streams = streams;
    this.#limits = limits;
  }

  append(appends: readonly port.Append[]): Promise<readonly port.AppendOutcome[]> {
    return this.#streams.append(appends);
  }
  heads(streams: readonly port.StreamRef[]): Promise<readonly port.StreamHead[]> {
    return this.#streams.heads(streams);
  }
  read(reads: readonly port.StreamRead[]): Promise<readonly port.ReadOutcome[]> {
    return this.#streams.read(reads);
  }
  settle(settles: readonly port.Settle[]): Promise<readonly port.SettleOutcome[]> {
    return this.#streams.settle(settles);
  }

  openSession(request: port.OpenSession): Promise<port.OpenedSession> {
    return sessions.openSession(this.#topology, request);
  }
  closeSessions(closes: readonly port.CloseSession[]): Promise<readonly boolean[]> {
    return sessions.closeSessions(this.#topology, closes);
  }
  async routes(app: AppId, ids: readonly DeviceId[]): Promise<readonly (port.Route | null)[]> {
    return (await sessions.lookUp(this.#topology, app, ids)).map((row) => row?.route ?? null);
  }
  countRoutes(): Promise<ReadonlyMap<BootId, number>> {
    return sessions.countRoutes(this.#topology);
  }
  renewLease(lease: port.GatewayLease, ttlMs: number): Promise<'kept' | 'void'> {
    return sessions.renewLease(this.#topology, lease, ttlMs);
  }
  dropLease(gateway: GatewayName, bootId: BootId): Promise<void> {
    return sessions.dropLease(this.#topology, gateway, bootId);
  }
  leases(): Promise<readonly port.GatewayLease[]> {
    return sessions.leases(this.#topology);
  }
  sweepRoutes(limit: number): Promise<number> {
    return sessions.sweepRoutes(this.#topology, limit);
  }

  registerDevice(device: port.RegisterDevice): Promise<port.RegisterOutcome> {
    return devices.registerDevice(this.#topology, device);
  }
  tokenClient(app: AppId, tokenId: string): Promise<{ account: AccountId; device: DeviceId } | null> {
    return devices.tokenClient(this.#topology, app, tokenId);
  }
  closeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return devices.closeDevice(this.#topology, app, device);
  }
  async device(app: AppId, device: DeviceId): Promise<port.DeviceInfo | null> {
    const [row] = await sessions.lookUp(this.#topology, app, [device]);
    return row ? { account: row.account, generation: row.generation, route: row.route } : null;
  }
  accountDevices(app: AppId, account: AccountId): Promise<readonly DeviceId[]> {
    return devices.accountDevices(this.#topology, app, account);
  }

  subscribe(app: AppId, device: DeviceId, topics: readonly port.Subscription[]): Promise<readonly port.TopicCursor[]> {
    return subscriptions.subscribe(
      { topology: this.#topology, streams: this.#streams },
      { app, device },
      topics.map(({ topic }) => topic),
    );
  }
  unsubscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): Promise<void> {
    return subscriptions.unsubscribe(this.#topology, { app, device }, topics);
  }
  saveCursors(cursors: Parameters<port.Store['saveCursors']>[0]): Promise<void> {
    return subscriptions.saveCursors(this.#topology, cursors);
  }
  claimKey(app: AppId, key: string, messageId: MessageId, fingerprint: string): Promise<port.Claim> {
    const at = { app, key, windowMs: this.#limits.idempotencyWindowMs };
    return devices.claimKey(this.#topology, at, { messageId, fingerprint });
  }

  sweepExpired(limit: number): Promise<number> {
    return this.#streams.sweep(limit);
  }
  health(): Promise<port.StoreHealth> {
    const trouble = this.#topology.trouble();
    const warnings = this.#topology.nodes().flatMap((node) => node.learned?.warnings ?? []);
    return Promise.resolve({
      reachable: trouble === null,
      warnings: trouble === null ? warnings : [trouble, ...warnings],
    });
  }
  close(): Promise<void> {
    this.#topology.close();
    return Promise.resolve();
  }
}
