// The store in one SQLite file, for one process (embedded, tests): every operation is a job of the tick's transaction
// (tick-queue.ts). What they do is in the file of each part: streams.ts, deliveries.ts, subscriptions.ts, … Opened by ../open.ts.
import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { openDatabase, prepare } from './database.ts';
import { SqliteDeadLetters } from './dead-letters.ts';
import type { LetterPage } from './dead-letters.ts';
import { SqliteDeliveries } from './deliveries.ts';
import { SqliteDevices } from './devices.ts';
import { SqliteGroups } from './groups.ts';
import { SqliteJobs } from './jobs.ts';
import { SqliteLedger } from './ledger.ts';
import { SqliteMessages } from './messages.ts';
import { SqliteRoleLeases } from './role-leases.ts';
import { routeOf, SqliteSessions } from './sessions.ts';
import { StreamRows } from './stream-rows.ts';
import { SqliteStreams } from './streams.ts';
import { SqliteSubscriptions } from './subscriptions.ts';
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
import type {
  AccountId,
  AppId,
  BootId,
  DeviceId,
  Epoch,
  GatewayName,
  MessageId,
  TopicName,
} from '../../protocol/ids.ts';
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
  readonly #streams: SqliteStreams;
  readonly #deliveries: SqliteDeliveries;
  readonly #sessions: SqliteSessions;
  readonly #roleLeases: SqliteRoleLeases;
  readonly #devices: SqliteDevices;
  readonly #subscriptions: SqliteSubscriptions;
  readonly #messages: SqliteMessages;
  readonly #jobs: SqliteJobs;
  readonly #letters: SqliteDeadLetters;
  readonly #groups: SqliteGroups;
  readonly #ledger: SqliteLedger;

  constructor(db: DatabaseSync, options: SqliteOptions) {
    const limits = { ...STORE_LIMITS, ...options.limits };
    const { clock } = options;
    this.#db = db;
    const ledger = new SqliteLedger(db);
    const letters = new SqliteDeadLetters({ db, clock, limits });
    const rows = new StreamRows(db);
    const life = lifeOf(db, options.newLife ?? false);
    const surroundings = { db, clock, limits, rows, ledger, letters, life, newEpoch };
    this.#tick = new TickQueue(db, { hooks: ledger });
    this.#ledger = ledger;
    this.#letters = letters;
    this.#streams = new SqliteStreams(surroundings);
    this.#deliveries = new SqliteDeliveries(surroundings);
    this.#sessions = new SqliteSessions(db, clock);
    this.#roleLeases = new SqliteRoleLeases(db, clock);
    this.#subscriptions = new SqliteSubscriptions({
      db,
      ledger,
      head: (app, topic) => this.#streams.head({ app, kind: 'topic', topic }),
    });
    this.#devices = new SqliteDevices({
      db,
      clock,
      idempotencyWindowMs: limits.idempotencyWindowMs,
      forgetBelongings: (app, device, id) => {
        this.#streams.forgetDevice(app, device);
        this.#subscriptions.dropAll(app, id);
      },
    });
    this.#messages = new SqliteMessages({ db, clock, limits });
    this.#jobs = new SqliteJobs(db, clock);
    this.#groups = new SqliteGroups(db, clock, limits.groupMembersMax);
  }

  append(appends: readonly port.Append[]): Promise<readonly port.AppendOutcome[]> {
    return this.#checked(
      () => assertAppends(appends),
      () => appends.map((append) => this.#streams.append(append)),
    );
  }
  heads(streams: readonly port.StreamRef[]): Promise<readonly port.StreamHead[]> {
    return this.#tick.ask(() => streams.map((stream) => this.#streams.head(stream)));
  }
  read(reads: readonly port.StreamRead[]): Promise<readonly port.ReadOutcome[]> {
    return this.#tick.ask(() => reads.map((read) => this.#streams.read(read)));
  }
  settle(settles: readonly port.Settle[]): Promise<readonly port.SettleOutcome[]> {
    return this.#tick.ask(() => settles.map((settle) => this.#deliveries.settle(settle)));
  }
  settleEntries(settles: readonly port.EntrySettle[]): Promise<readonly port.EntrySettleOutcome[]> {
    return this.#checked(
      () => assertEntrySettles(settles),
      () => settles.map((settle) => this.#deliveries.settleEntry(settle)),
    );
  }
  deliveryStates(
    app: AppId,
    deliveries: readonly { readonly device: DeviceId; readonly lane: Lane; readonly messageId: MessageId }[],
  ): Promise<readonly port.DeliveryState[]> {
    return this.#tick.ask(() => deliveries.map((delivery) => this.#deliveries.state(app, delivery)));
  }
  saveAttempts(attempts: readonly port.Attempts[]): Promise<void> {
    return this.#tick.ask(() => {
      for (const save of attempts) {
        const lane = laneOf(save.stream);
        if (lane === null) this.#subscriptions.saveAttempts(save, save.stream as TopicName);
        else this.#deliveries.saveAttempts(save, lane);
      }
    });
  }
  cancelTopicEntry(app: AppId, topic: TopicName, messageId: MessageId): Promise<boolean> {
    return this.#tick.ask(() => this.#streams.cancelTopicEntry(app, topic, messageId));
  }

  openSession(request: port.OpenSession): Promise<port.OpenedSession> {
    return this.#tick.ask(() => {
      const opened = this.#sessions.open(request);
      if (opened.kind !== 'opened') return { kind: opened.kind };
      const { generation, replaced } = opened;
      const lanes = this.#streams.lanes(request.app, request.device);
      return { kind: 'opened', generation, lanes, topics: this.#subscriptions.cursors(opened.id), replaced };
    });
  }
  closeSessions(sessions: readonly port.CloseSession[]): Promise<readonly boolean[]> {
    return this.#tick.ask(() => sessions.map((session) => this.#sessions.close(session)));
  }
  routes(app: AppId, devices: readonly DeviceId[]): Promise<readonly (port.Route | null)[]> {
    return this.#tick.ask(() => devices.map((device) => this.#sessions.route(app, device)));
  }
  countRoutes(): Promise<ReadonlyMap<BootId, number>> {
    return this.#tick.ask(() => this.#sessions.count());
  }
  renewLease(lease: port.GatewayLease, ttlMs: number): Promise<'kept' | 'void'> {
    return this.#tick.ask(() => this.#sessions.renew(lease, ttlMs));
  }
  dropLease(gateway: GatewayName, bootId: BootId): Promise<void> {
    return this.#tick.ask(() => this.#sessions.drop(gateway, bootId));
  }
  leases(): Promise<readonly port.GatewayLease[]> {
    return this.#tick.ask(() => this.#sessions.leases());
  }
  sweepRoutes(limit: number): Promise<number> {
    return this.#tick.ask(() => this.#sessions.sweep(limit));
  }
  renewRoleLease(lease: port.RoleLease, ttlMs: number): Promise<void> {
    return this.#tick.ask(() => this.#roleLeases.renew(lease, ttlMs));
  }
  dropRoleLease(role: port.RoleLease['role'], bootId: BootId): Promise<void> {
    return this.#tick.ask(() => this.#roleLeases.drop(role, bootId));
  }
  roleLeases(role: port.RoleLease['role']): Promise<readonly port.RoleLease[]> {
    return this.#tick.ask(() => this.#roleLeases.live(role));
  }

  registerDevice(device: port.RegisterDevice): Promise<port.RegisterOutcome> {
    return this.#tick.ask(() => this.#devices.register(device));
  }
  tokenClient(app: AppId, tokenId: string): Promise<{ account: AccountId; device: DeviceId } | null> {
    return this.#tick.ask(() => this.#devices.tokenClient(app, tokenId));
  }
  closeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#tick.ask(() => this.#devices.close(app, device));
  }
  device(app: AppId, device: DeviceId): Promise<port.DeviceInfo | null> {
    return this.#tick.ask(() => {
      const row = this.#sessions.find(app, device);
      return row === undefined ? null : { account: row.account, generation: row.generation, route: routeOf(row) };
    });
  }
  accountDevices(app: AppId, account: AccountId): Promise<readonly DeviceId[]> {
    return this.#tick.ask(() => this.#devices.ofAccount(app, account));
  }

  subscribe(app: AppId, device: DeviceId, topics: readonly port.Subscription[]): Promise<readonly port.TopicCursor[]> {
    return this.#checked(
      () => assertSubscriptions(topics),
      () => this.#subscriptions.subscribe(app, device, topics),
    );
  }
  unsubscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): Promise<void> {
    return this.#tick.ask(() => this.#subscriptions.unsubscribe(app, device, topics));
  }
  saveCursors(moves: readonly port.CursorMoves[]): Promise<void> {
    return this.#tick.ask(() => {
      for (const flush of moves) this.#subscriptions.saveCursors(flush);
    });
  }
  topicSubscribers(
    app: AppId,
    topic: TopicName,
    page: { readonly after: DeviceId | null; readonly limit: number },
  ): Promise<{ readonly count: number; readonly devices: readonly DeviceId[] }> {
    return this.#tick.ask(() => this.#subscriptions.subscribers(app, topic, page));
  }

  claimKey(app: AppId, key: string, messageId: MessageId, fingerprint: string): Promise<port.Claim> {
    return this.#tick.ask(() => this.#devices.claim(app, key, { messageId, fingerprint }));
  }

  putMessages(messages: readonly port.Message[], chunks: readonly port.MessageChunk[]): Promise<void> {
    return this.#checked(
      () => assertChunks(chunks),
      () => this.#messages.put(messages, chunks),
    );
  }
  messages(app: AppId, ids: readonly MessageId[]): Promise<readonly (port.Message | null)[]> {
    return this.#tick.ask(() => ids.map((id) => this.#messages.message(app, id)));
  }
  changeMessage(app: AppId, id: MessageId, change: port.MessageChange): Promise<port.Message | null> {
    return this.#tick.ask(() => this.#messages.change(app, id, change));
  }
  messageChunk(app: AppId, id: MessageId, index: number): Promise<readonly string[] | null> {
    return this.#tick.ask(() => this.#messages.chunk(app, id, index));
  }
  bodies(app: AppId, ids: readonly MessageId[]): Promise<readonly (Uint8Array | null)[]> {
    return this.#tick.ask(() => ids.map((id) => this.#messages.body(app, id)));
  }

  putJobs(jobs: readonly port.Job[]): Promise<void> {
    return this.#checked(
      () => assertJobs(jobs),
      () => {
        for (const job of jobs) this.#jobs.put(job);
      },
    );
  }
  claimJobs(limit: number, leaseMs: number): Promise<readonly port.Job[]> {
    return this.#tick.ask(() => this.#jobs.claim(limit, leaseMs));
  }
  delayJob(job: Pick<port.Job, 'id' | 'app'>, dueAtMs: number, payload?: Uint8Array): Promise<void> {
    return this.#checked(
      () => assertPayload(payload),
      () => this.#jobs.delay(job, dueAtMs, payload),
    );
  }
  finishJobs(jobs: readonly Pick<port.Job, 'id' | 'app'>[]): Promise<void> {
    return this.#tick.ask(() => {
      for (const job of jobs) this.#jobs.finish(job);
    });
  }
  countJobs(): Promise<number> {
    return this.#tick.ask(() => this.#jobs.count());
  }

  putDeadLetters(letters: Parameters<port.Store['putDeadLetters']>[0]): Promise<void> {
    return this.#tick.ask(() => {
      for (const letter of letters) this.#letters.put(letter);
    });
  }
  deadLetters(app: AppId, page: LetterPage): ReturnType<port.Store['deadLetters']> {
    return this.#tick.ask(() => this.#letters.page(app, page));
  }
  deadLetter(app: AppId, id: string): Promise<port.DeadLetter | null> {
    return this.#tick.ask(() => this.#letters.letter(app, id));
  }
  changeDeadLetters(
    app: AppId,
    changes: readonly { readonly id: string; readonly action: port.DeadLetterAction }[],
  ): Promise<readonly port.DeadLetterOutcome[]> {
    const redriving = {
      account: (of: AppId, device: DeviceId) => this.#sessions.find(of, device)?.account,
      append: (append: port.Append) => this.#streams.append(append),
      body: (of: AppId, id: MessageId) => this.#messages.body(of, id),
    };
    return this.#tick.ask(() => changes.map((change) => this.#letters.change(app, change, redriving)));
  }
  countDeadLetters(app: AppId): Promise<number> {
    return this.#tick.ask(() => this.#letters.count(app));
  }

  changeGroup(app: AppId, group: string, change: port.GroupChange): Promise<port.GroupOutcome> {
    return this.#tick.ask(() => this.#groups.change(app, group, change));
  }
  groupMembers(
    app: AppId,
    group: string,
    page: { readonly after: AccountId | null; readonly limit: number },
  ): Promise<(port.GroupInfo & { readonly accounts: readonly AccountId[] }) | null> {
    return this.#tick.ask(() => this.#groups.members(app, group, page));
  }
  isGroupMember(app: AppId, group: string, account: AccountId): Promise<boolean> {
    return this.#tick.ask(() => this.#groups.isMember(app, group, account));
  }

  ledger(app: AppId): Promise<port.Ledger> {
    return this.#tick.ask(() => this.#ledger.read(app));
  }
  async countWaiting(app: AppId): Promise<number> {
    let waiting = 0;
    for (let after: string | null = ''; after !== null;) {
      const from: string = after;
      const slice = await this.#tick.ask(() => this.#ledger.waitingAbove(app, from, COUNTED_AT_ONCE));
      waiting += slice.waiting;
      after = slice.next;
    }
    return waiting;
  }

  sweepExpired(limit: number): Promise<number> {
    return this.#tick.ask(() => {
      for (const part of [this.#devices, this.#messages, this.#letters]) part.sweep();
      return this.#streams.sweep(limit);
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
  /** Runs `job` in the tick unless `check` throws: then the caller's bug is the answer, and nothing was asked. */
  #checked<T>(check: () => void, job: () => T): Promise<T> {
    try {
      check();
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#tick.ask(job);
  }
  /** The way of a crash: what was not committed is lost, the file is let go. For tests. */
  cut(): void {
    if (!this.#db.isOpen) return;
    this.#tick.drop();
    this.#db.close();
  }
}

function newEpoch(): Epoch {
  return randomBytes(9).toString('base64url') as Epoch;
}

/** The life of this file: made once, and anew when its tail may be lost. */
function lifeOf(db: DatabaseSync, isNew: boolean): string {
  const put = prepare(
    db,
    `INSERT INTO facts (name, value) VALUES ('life', ?) ON CONFLICT (name) DO ${isNew ? 'UPDATE SET value = excluded.value' : 'NOTHING'}`,
  );
  put.run(randomBytes(9).toString('base64url'));
  return prepare<{ value: string }>(db, "SELECT value FROM facts WHERE name = 'life'").one()!.value;
}
