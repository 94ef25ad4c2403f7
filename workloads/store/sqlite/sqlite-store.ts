// The store in one SQLite file, for one process (embedded, tests): every operation is a job of the tick's transaction
// (tick-queue.ts). What they do is in the file of each part: streams.ts, deliveries.ts, subscriptions.ts, … Opened by ../open.ts.
import type { DatabaseSync } from 'node:sqlite';
import { openDatabase } from './database.ts';
import type { LetterPage } from './dead-letters.ts';
import { openParts } from './parts.ts';
import type { Parts } from './parts.ts';
import { checkSession } from './session-check.ts';
import { routeOf } from './sessions.ts';
import { TickQueue } from './tick-queue.ts';
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
import { laneOf } from '../../protocol/streams.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { Clock } from '../../runtime/clock.ts';

export interface SqliteOptions {
  /** A file, or ':memory:' with or without a name behind it. */
  readonly path: string;
  readonly clock: Clock;
  readonly limits?: Partial<StoreLimits>;
  /** Given after a restore from a backup, whose tail is lost: streams then open new epochs (R3). Otherwise the file's own. */
  readonly newLife?: boolean;
}

/** Opens the file; throws StoreFileError. */
export function openSqliteStore(options: SqliteOptions): SqliteStore {
  return new SqliteStore(openDatabase(options.path), options);
}

/** Streams counted in one transaction of countWaiting. */
const COUNTED_AT_ONCE = 5000;

export class SqliteStore implements port.Store {
  readonly #db: DatabaseSync;
  readonly #tick: TickQueue;
  readonly #parts: Parts;

  constructor(db: DatabaseSync, options: SqliteOptions) {
    const limits = { ...STORE_LIMITS, ...options.limits };
    this.#db = db;
    this.#parts = openParts({ db, clock: options.clock, limits, newLife: options.newLife ?? false });
    this.#tick = new TickQueue(db, { hooks: this.#parts.ledger });
  }

  async append(appends: readonly port.Append[]): Promise<readonly port.AppendOutcome[]> {
    assertAppends(appends);
    return this.#tick.ask(() => appends.map((append) => this.#parts.streams.append(append)));
  }
  heads(streams: readonly port.StreamRef[]): Promise<readonly port.StreamHead[]> {
    return this.#tick.ask(() => streams.map((stream) => this.#parts.streams.head(stream)));
  }
  read(reads: readonly port.StreamRead[]): Promise<readonly port.ReadOutcome[]> {
    return this.#tick.ask(() => reads.map((read) => this.#parts.streams.read(read)));
  }
  settle(settles: readonly port.Settle[]): Promise<readonly port.SettleOutcome[]> {
    return this.#tick.ask(() => settles.map((settle) => this.#parts.deliveries.settle(settle)));
  }
  async settleEntries(settles: readonly port.EntrySettle[]): Promise<readonly port.EntrySettleOutcome[]> {
    assertEntrySettles(settles);
    return this.#tick.ask(() => settles.map((settle) => this.#parts.deliveries.settleEntry(settle)));
  }
  deliveryStates(
    app: AppId,
    deliveries: readonly { readonly device: DeviceId; readonly lane: Lane; readonly messageId: MessageId }[],
  ): Promise<readonly port.DeliveryState[]> {
    return this.#tick.ask(() => deliveries.map((delivery) => this.#parts.deliveries.state(app, delivery)));
  }
  saveAttempts(attempts: readonly port.Attempts[]): Promise<void> {
    return this.#tick.ask(() => {
      for (const save of attempts) {
        const lane = laneOf(save.stream);
        if (lane === null) this.#parts.subscriptions.saveAttempts(save, save.stream as TopicName);
        else this.#parts.deliveries.saveAttempts(save, lane);
      }
    });
  }
  cancelTopicEntry(app: AppId, topic: TopicName, messageId: MessageId): Promise<boolean> {
    return this.#tick.ask(() => this.#parts.streams.cancelTopicEntry(app, topic, messageId));
  }

  openSession(request: port.OpenSession): Promise<port.OpenedSession> {
    return this.#tick.ask(() => {
      const opened = this.#parts.sessions.open(request);
      if (opened.kind !== 'opened') return { kind: opened.kind };
      const { generation, replaced } = opened;
      const lanes = this.#parts.streams.lanes(request.app, request.device);
      return { kind: 'opened', generation, lanes, topics: this.#parts.subscriptions.cursors(opened.id), replaced };
    });
  }
  closeSessions(sessions: readonly port.CloseSession[]): Promise<readonly boolean[]> {
    return this.#tick.ask(() => sessions.map((session) => this.#parts.sessions.close(session)));
  }
  routes(app: AppId, devices: readonly DeviceId[]): Promise<readonly (port.Route | null)[]> {
    return this.#tick.ask(() => devices.map((device) => this.#parts.sessions.route(app, device)));
  }
  checkSessions(checks: readonly port.SessionCheck[]): Promise<readonly (port.SessionState | null)[]> {
    return this.#tick.ask(() => checks.map((check) => checkSession(this.#parts, check)));
  }
  countRoutes(): Promise<ReadonlyMap<BootId, number>> {
    return this.#tick.ask(() => this.#parts.sessions.count());
  }
  renewLease(lease: port.GatewayLease, ttlMs: number): Promise<'kept' | 'void'> {
    return this.#tick.ask(() => this.#parts.sessions.renew(lease, ttlMs));
  }
  dropLease(gateway: GatewayName, bootId: BootId): Promise<void> {
    return this.#tick.ask(() => this.#parts.sessions.drop(gateway, bootId));
  }
  leases(): Promise<readonly port.GatewayLease[]> {
    return this.#tick.ask(() => this.#parts.sessions.leases());
  }
  sweepRoutes(limit: number): Promise<number> {
    return this.#tick.ask(() => this.#parts.sessions.sweep(limit));
  }
  renewRoleLease(lease: port.RoleLease, ttlMs: number): Promise<void> {
    return this.#tick.ask(() => this.#parts.roleLeases.renew(lease, ttlMs));
  }
  dropRoleLease(role: port.RoleLease['role'], bootId: BootId): Promise<void> {
    return this.#tick.ask(() => this.#parts.roleLeases.drop(role, bootId));
  }
  roleLeases(role: port.RoleLease['role']): Promise<readonly port.RoleLease[]> {
    return this.#tick.ask(() => this.#parts.roleLeases.live(role));
  }

  registerDevice(device: port.RegisterDevice): Promise<port.RegisterOutcome> {
    return this.#tick.ask(() => this.#parts.devices.register(device));
  }
  tokenClient(app: AppId, tokenId: string): Promise<{ account: AccountId; device: DeviceId } | null> {
    return this.#tick.ask(() => this.#parts.devices.tokenClient(app, tokenId));
  }
  closeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#tick.ask(() => this.#parts.devices.close(app, device));
  }
  device(app: AppId, device: DeviceId): Promise<port.DeviceInfo | null> {
    return this.#tick.ask(() => {
      const row = this.#parts.sessions.find(app, device);
      return row === undefined ? null : { account: row.account, generation: row.generation, route: routeOf(row) };
    });
  }
  accountDevices(app: AppId, account: AccountId): Promise<readonly DeviceId[]> {
    return this.#tick.ask(() => this.#parts.devices.ofAccount(app, account));
  }

  async subscribe(
    app: AppId,
    device: DeviceId,
    topics: readonly port.Subscription[],
  ): Promise<readonly port.TopicCursor[]> {
    assertSubscriptions(topics);
    return this.#tick.ask(() => this.#parts.subscriptions.subscribe(app, device, topics));
  }
  unsubscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): Promise<void> {
    return this.#tick.ask(() => this.#parts.subscriptions.unsubscribe(app, device, topics));
  }
  saveCursors(moves: readonly port.CursorMoves[]): Promise<void> {
    return this.#tick.ask(() => {
      for (const flush of moves) this.#parts.subscriptions.saveCursors(flush);
    });
  }
  topicSubscribers(
    app: AppId,
    topic: TopicName,
    page: { readonly after: DeviceId | null; readonly limit: number },
  ): Promise<{ readonly count: number; readonly devices: readonly DeviceId[] }> {
    return this.#tick.ask(() => this.#parts.subscriptions.subscribers(app, topic, page));
  }

  claimKey(app: AppId, key: string, messageId: MessageId, fingerprint: string): Promise<port.Claim> {
    return this.#tick.ask(() => this.#parts.devices.claim(app, key, { messageId, fingerprint }));
  }

  async putMessages(messages: readonly port.Message[], chunks: readonly port.MessageChunk[]): Promise<void> {
    assertChunks(chunks);
    return this.#tick.ask(() => this.#parts.messages.put(messages, chunks));
  }
  messages(app: AppId, ids: readonly MessageId[]): Promise<readonly (port.Message | null)[]> {
    return this.#tick.ask(() => ids.map((id) => this.#parts.messages.message(app, id)));
  }
  changeMessage(app: AppId, id: MessageId, change: port.MessageChange): Promise<port.Message | null> {
    return this.#tick.ask(() => this.#parts.messages.change(app, id, change));
  }
  messageChunk(app: AppId, id: MessageId, index: number): Promise<readonly string[] | null> {
    return this.#tick.ask(() => this.#parts.messages.chunk(app, id, index));
  }
  bodies(app: AppId, ids: readonly MessageId[]): Promise<readonly (Uint8Array | null)[]> {
    return this.#tick.ask(() => ids.map((id) => this.#parts.messages.body(app, id)));
  }

  async putJobs(jobs: readonly port.Job[]): Promise<void> {
    assertJobs(jobs);
    return this.#tick.ask(() => {
      for (const job of jobs) this.#parts.jobs.put(job);
    });
  }
  claimJobs(limit: number, leaseMs: number, queue: port.JobQueue = 'work'): Promise<readonly port.Job[]> {
    return this.#tick.ask(() => this.#parts.jobs.claim(limit, leaseMs, queue));
  }
  async delayJob(job: port.JobName, dueAtMs: number, payload?: Uint8Array): Promise<void> {
    assertPayload(payload);
    return this.#tick.ask(() => this.#parts.jobs.delay(job, dueAtMs, payload));
  }
  finishJobs(jobs: readonly port.JobName[]): Promise<void> {
    return this.#tick.ask(() => {
      for (const job of jobs) this.#parts.jobs.finish(job);
    });
  }
  countJobs(): Promise<number> {
    return this.#tick.ask(() => this.#parts.jobs.count());
  }

  putDeadLetters(letters: Parameters<port.Store['putDeadLetters']>[0]): Promise<void> {
    return this.#tick.ask(() => {
      for (const letter of letters) this.#parts.letters.put(letter);
    });
  }
  deadLetters(app: AppId, page: LetterPage): ReturnType<port.Store['deadLetters']> {
    return this.#tick.ask(() => this.#parts.letters.page(app, page));
  }
  deadLetter(app: AppId, id: string): Promise<port.DeadLetter | null> {
    return this.#tick.ask(() => this.#parts.letters.letter(app, id));
  }
  changeDeadLetters(
    app: AppId,
    changes: readonly { readonly id: string; readonly action: port.DeadLetterAction }[],
  ): Promise<readonly port.DeadLetterOutcome[]> {
    const redriving = {
      account: (of: AppId, device: DeviceId) => this.#parts.sessions.find(of, device)?.account,
      append: (append: port.Append) => this.#parts.streams.append(append),
      body: (of: AppId, id: MessageId) => this.#parts.messages.body(of, id),
    };
    return this.#tick.ask(() => changes.map((change) => this.#parts.letters.change(app, change, redriving)));
  }
  countDeadLetters(app: AppId): Promise<number> {
    return this.#tick.ask(() => this.#parts.letters.count(app));
  }

  changeGroup(app: AppId, group: string, change: port.GroupChange): Promise<port.GroupOutcome> {
    return this.#tick.ask(() => this.#parts.groups.change(app, group, change));
  }
  groupMembers(
    app: AppId,
    group: string,
    page: { readonly after: AccountId | null; readonly limit: number },
  ): Promise<(port.GroupInfo & { readonly accounts: readonly AccountId[] }) | null> {
    return this.#tick.ask(() => this.#parts.groups.members(app, group, page));
  }
  isGroupMember(app: AppId, group: string, account: AccountId): Promise<boolean> {
    return this.#tick.ask(() => this.#parts.groups.isMember(app, group, account));
  }

  ledger(app: AppId): Promise<port.Ledger> {
    return this.#tick.ask(() => this.#parts.ledger.read(app));
  }
  async countWaiting(app: AppId): Promise<number> {
    let waiting = 0;
    for (let after: string | null = ''; after !== null;) {
      const from: string = after;
      const slice = await this.#tick.ask(() => this.#parts.ledger.waitingAbove(app, from, COUNTED_AT_ONCE));
      waiting += slice.waiting;
      after = slice.next;
    }
    return waiting;
  }

  sweepExpired(limit: number): Promise<number> {
    return this.#tick.ask(() => {
      for (const part of [this.#parts.devices, this.#parts.messages, this.#parts.letters]) part.sweep();
      return this.#parts.streams.sweep(limit);
    });
  }
  health(): Promise<port.StoreHealth> {
    return this.#tick
      .ask(() => ({ reachable: true, warnings: [] }))
      .catch((error: unknown) => ({ reachable: false, warnings: [String(error)] }));
  }
  close(): Promise<void> {
    if (this.#db.isOpen) {
      this.#tick.close();
      this.#db.close();
    }
    return Promise.resolve();
  }
  /** The way of a crash: what was not committed is lost, the file is let go. For tests. */
  cut(): void {
    if (!this.#db.isOpen) return;
    this.#tick.drop();
    this.#db.close();
  }
}
