// The store in Redis: single, Sentinel or Cluster. Every operation is a batch of script calls (scripts/) that leave in one write
// for each node at the end of the tick. Opened by ../open.ts; keys.ts says where things are, node.ts how they get there.
import { parseRedisAddress, RedisAddressError } from './address.ts';
import { openCluster } from './cluster.ts';
import { MISFIT } from './connect-problem.ts';
import { letterScripts, RedisDeadLetters } from './dead-letters.ts';
import * as devices from './devices.ts';
import { groupScripts, RedisGroups } from './groups.ts';
import * as jobs from './jobs.ts';
import { StoreRefusedError } from './learn.ts';
import * as leases from './leases.ts';
import * as ledger from './ledger.ts';
import { MESSAGE_SCRIPTS, RedisMessages } from './messages.ts';
import { outcomeScripts, RedisOutcomes } from './outcomes.ts';
import * as sessions from './sessions.ts';
import { openSingle } from './single.ts';
import { RedisStreams, streamScripts } from './streams.ts';
import * as subscriptions from './subscriptions.ts';
import { sweepExpired, sweepScripts } from './sweep.ts';
import type { Topology } from './topology.ts';
import { PUBLIC_TRUST, settingsInVain, StoreTrustError, Trust } from './trust.ts';
import type { TrustFiles } from './trust.ts';
import {
  assertAppends,
  assertChunks,
  assertEntrySettles,
  assertJobs,
  assertPayload,
  assertSubscriptions,
} from '../assert.ts';
import type * as port from '../port.ts';
import { STORE_LIMITS } from '../store-limits.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AccountId, AppId, BootId, DeviceId, GatewayName, MessageId, TopicName } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';

export interface RedisOptions {
  readonly url: string;
  /** An ACL user; empty or left out: the default user. */
  readonly username?: string;
  /** Empty: none. */
  readonly password: string;
  /** Of an address rediss…; left out: the public certificates are trusted. */
  readonly trust?: TrustFiles;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<StoreLimits>;
  /** Items (appends, reads, …) under way at one node; more are rejected. Default 200,000: 100 MB of small appends. */
  readonly itemsMax?: number;
  /** The same for bytes. Default 256 MiB. */
  readonly bytesMax?: number;
}

/**
 * Connects, and waits for the first answer up to `timeoutMs`; a Redis that is not there yet is no error.
 * Throws RedisAddressError, StoreTrustError (the TLS settings or their files), or StoreRefusedError when it answers and cannot be used
 * (wrong user or password, a certificate that is not trusted or of another name, older than 7, with the data of another version).
 */
export async function openRedisStore(options: RedisOptions): Promise<port.Store> {
  const address = parseRedisAddress(options.url);
  const { username = '', trust: files = PUBLIC_TRUST } = options;
  if (username !== '' && options.password === '')
    throw new RedisAddressError('store: PUSHCLUSTER_STORE_USERNAME: expected PUSHCLUSTER_STORE_PASSWORD beside it');
  if (!address.tls && settingsInVain(files).length > 0)
    throw new StoreTrustError(`store: ${settingsInVain(files).join(', ')}: expected an address rediss…:// beside it`);
  const trust = address.tls ? new Trust(files, options.log) : null;
  const limits = { ...STORE_LIMITS, ...options.limits };
  const bounded = boundedScripts(limits);
  const scripts = [
    ...Object.values(bounded).flatMap((group) => Object.values(group)),
    ...sessions.SESSION_SCRIPTS,
    ...leases.LEASE_SCRIPTS,
    ...devices.DEVICE_SCRIPTS,
    ...subscriptions.SUBSCRIPTION_SCRIPTS,
    ...MESSAGE_SCRIPTS,
    ...jobs.JOB_SCRIPTS,
    ...ledger.LEDGER_SCRIPTS,
  ];
  const { password, timeoutMs, clock, log } = options;
  const itemsMax = options.itemsMax ?? 200_000;
  const bytesMax = options.bytesMax ?? 256 * 1024 * 1024;
  const surroundings = { username, password, trust, timeoutMs, itemsMax, bytesMax, clock, log, scripts };
  const topology = address.kind === 'cluster' ? openCluster(address, surroundings) : openSingle(address, surroundings);
  await topology.settled(timeoutMs);
  const trouble = topology.trouble();
  if (trouble !== null && REFUSAL.test(trouble)) {
    topology.close();
    throw new StoreRefusedError(`store: ${trouble}`);
  }
  const store = new RedisStore(topology, bounded, { limits, clock, log });
  for (const warning of (await store.health()).warnings) log.warn({ warning }, 'store is not as it should be');
  return store;
}

/** Troubles that waiting does not mend. */
const REFUSAL = new RegExp(`WRONGPASS|NOAUTH|NOPERM|expected Redis 7|expected an empty Redis|${MISFIT}`);

/** Scripts that have the limits in their text. */
function boundedScripts(limits: StoreLimits) {
  return {
    streams: streamScripts(limits),
    outcomes: outcomeScripts(limits),
    letters: letterScripts(limits),
    groups: groupScripts(limits),
    sweep: sweepScripts(limits),
  };
}
type BoundedScripts = ReturnType<typeof boundedScripts>;

class RedisStore implements port.Store {
  readonly #topology: Topology;
  readonly #scripts: BoundedScripts;
  readonly #limits: StoreLimits;
  readonly #log: Log;
  readonly #streams: RedisStreams;
  readonly #outcomes: RedisOutcomes;
  readonly #messages: RedisMessages;
  readonly #letters: RedisDeadLetters;
  readonly #groups: RedisGroups;

  constructor(
    topology: Topology,
    scripts: BoundedScripts,
    { limits, clock, log }: { limits: StoreLimits; clock: Clock; log: Log },
  ) {
    this.#topology = topology;
    this.#scripts = scripts;
    this.#limits = limits;
    this.#log = log;
    this.#streams = new RedisStreams(topology, scripts.streams);
    this.#outcomes = new RedisOutcomes(topology, scripts.outcomes);
    this.#messages = new RedisMessages(topology, { keptMs: limits.messageKeptMs, clock });
    this.#letters = new RedisDeadLetters(topology, scripts.letters, this.#messages);
    this.#groups = new RedisGroups(topology, scripts.groups);
  }

  async append(appends: readonly port.Append[]): Promise<readonly port.AppendOutcome[]> {
    assertAppends(appends);
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
  async settleEntries(settles: readonly port.EntrySettle[]): Promise<readonly port.EntrySettleOutcome[]> {
    assertEntrySettles(settles);
    return this.#outcomes.settleEntries(settles);
  }
  deliveryStates(
    app: AppId,
    deliveries: Parameters<port.Store['deliveryStates']>[1],
  ): Promise<readonly port.DeliveryState[]> {
    return this.#outcomes.deliveryStates(app, deliveries);
  }
  saveAttempts(attempts: readonly port.Attempts[]): Promise<void> {
    return this.#outcomes.saveAttempts(attempts);
  }
  cancelTopicEntry(app: AppId, topic: TopicName, messageId: MessageId): Promise<boolean> {
    return this.#outcomes.cancelTopicEntry(app, topic, messageId);
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
  checkSessions(checks: readonly port.SessionCheck[]): Promise<readonly (port.SessionState | null)[]> {
    return sessions.checkSessions(this.#topology, checks);
  }
  countRoutes(): Promise<ReadonlyMap<BootId, number>> {
    return sessions.countRoutes(this.#topology);
  }
  renewLease(lease: port.GatewayLease, ttlMs: number): Promise<'kept' | 'void'> {
    return leases.renewLease(this.#topology, lease, ttlMs);
  }
  dropLease(gateway: GatewayName, bootId: BootId): Promise<void> {
    return leases.dropLease(this.#topology, gateway, bootId);
  }
  leases(): Promise<readonly port.GatewayLease[]> {
    return leases.leases(this.#topology);
  }
  sweepRoutes(limit: number): Promise<number> {
    return sessions.sweepRoutes(this.#topology, limit);
  }
  renewRoleLease(lease: port.RoleLease, ttlMs: number): Promise<void> {
    return leases.renewRoleLease(this.#topology, lease, ttlMs);
  }
  dropRoleLease(role: port.RoleLease['role'], bootId: BootId): Promise<void> {
    return leases.dropRoleLease(this.#topology, role, bootId);
  }
  roleLeases(role: port.RoleLease['role']): Promise<readonly port.RoleLease[]> {
    return leases.roleLeases(this.#topology, role);
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

  async subscribe(
    app: AppId,
    device: DeviceId,
    topics: readonly port.Subscription[],
  ): Promise<readonly port.TopicCursor[]> {
    assertSubscriptions(topics);
    return subscriptions.subscribe(this.#topology, { app, device }, topics);
  }
  unsubscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): Promise<void> {
    return subscriptions.unsubscribe(this.#topology, { app, device }, topics);
  }
  saveCursors(moves: readonly port.CursorMoves[]): Promise<void> {
    return subscriptions.saveCursors(this.#topology, moves);
  }
  topicSubscribers(
    app: AppId,
    topic: TopicName,
    page: Parameters<port.Store['topicSubscribers']>[2],
  ): ReturnType<port.Store['topicSubscribers']> {
    return subscriptions.topicSubscribers(this.#topology, { app, topic }, page);
  }

  claimKey(app: AppId, key: string, messageId: MessageId, fingerprint: string): Promise<port.Claim> {
    const at = { app, key, windowMs: this.#limits.idempotencyWindowMs };
    return devices.claimKey(this.#topology, at, { messageId, fingerprint });
  }

  async putMessages(messages: readonly port.Message[], chunks: readonly port.MessageChunk[]): Promise<void> {
    assertChunks(chunks);
    return this.#messages.put(messages, chunks);
  }
  messages(app: AppId, ids: readonly MessageId[]): Promise<readonly (port.Message | null)[]> {
    return this.#messages.get(app, ids);
  }
  changeMessage(app: AppId, id: MessageId, change: port.MessageChange): Promise<port.Message | null> {
    return this.#messages.change(app, id, change);
  }
  messageChunk(app: AppId, id: MessageId, index: number): Promise<readonly string[] | null> {
    return this.#messages.chunk(app, id, index);
  }
  bodies(app: AppId, ids: readonly MessageId[]): Promise<readonly (Uint8Array | null)[]> {
    return this.#messages.bodies(app, ids);
  }

  async putJobs(put: readonly port.Job[]): Promise<void> {
    assertJobs(put);
    return jobs.putJobs(this.#topology, put);
  }
  claimJobs(limit: number, leaseMs: number, queue: port.JobQueue = 'work'): Promise<readonly port.Job[]> {
    return jobs.claimJobs(this.#topology, queue, { limit, leaseMs });
  }
  async delayJob(job: port.JobName, dueAtMs: number, payload?: Uint8Array): Promise<void> {
    assertPayload(payload);
    return jobs.delayJob(this.#topology, job, { dueAtMs, payload });
  }
  finishJobs(finished: readonly port.JobName[]): Promise<void> {
    return jobs.finishJobs(this.#topology, finished);
  }
  countJobs(): Promise<number> {
    return jobs.countJobs(this.#topology);
  }

  putDeadLetters(letters: readonly Omit<port.DeadLetter, 'id' | 'atMs'>[]): Promise<void> {
    return this.#letters.put(letters);
  }
  deadLetters(app: AppId, page: Parameters<port.Store['deadLetters']>[1]): ReturnType<port.Store['deadLetters']> {
    return this.#letters.page(app, page);
  }
  deadLetter(app: AppId, id: string): Promise<port.DeadLetter | null> {
    return this.#letters.get(app, id);
  }
  changeDeadLetters(
    app: AppId,
    changes: Parameters<port.Store['changeDeadLetters']>[1],
  ): Promise<readonly port.DeadLetterOutcome[]> {
    return this.#letters.change(app, changes);
  }
  countDeadLetters(app: AppId): Promise<number> {
    return this.#letters.count(app);
  }

  changeGroup(app: AppId, group: string, change: port.GroupChange): Promise<port.GroupOutcome> {
    return this.#groups.change({ app, group }, change);
  }
  groupMembers(
    app: AppId,
    group: string,
    page: Parameters<port.Store['groupMembers']>[2],
  ): ReturnType<port.Store['groupMembers']> {
    return this.#groups.members({ app, group }, page);
  }
  isGroupMember(app: AppId, group: string, account: AccountId): Promise<boolean> {
    return this.#groups.isMember({ app, group }, account);
  }

  ledger(app: AppId): Promise<port.Ledger> {
    return ledger.readLedger(this.#topology, app);
  }
  countWaiting(app: AppId): Promise<number> {
    return ledger.countWaiting(this.#topology, app);
  }

  sweepExpired(limit: number): Promise<number> {
    return sweepExpired(this.#topology, { scripts: this.#scripts.sweep, log: this.#log }, limit);
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
