// The store in one SQLite file, for one process (embedded, tests): every operation is a job of the tick's transaction
// (tick-queue.ts). What the jobs do is in streams.ts, sessions.ts and devices.ts. Opened by ../open.ts, which shares it.
import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { openDatabase, prepare } from './database.ts';
import { SqliteDevices } from './devices.ts';
import { routeOf, SqliteSessions } from './sessions.ts';
import { SqliteStreams } from './streams.ts';
import { TickQueue } from './tick-queue.ts';
import type * as port from '../port.ts';
import { PendingStore } from '../pending.ts';
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

export class SqliteStore extends PendingStore implements port.Store {
  readonly #db: DatabaseSync;
  readonly #tick: TickQueue;
  readonly #streams: SqliteStreams;
  readonly #sessions: SqliteSessions;
  readonly #devices: SqliteDevices;

  constructor(db: DatabaseSync, options: SqliteOptions) {
    super();
    const limits = { ...STORE_LIMITS, ...options.limits };
    const { clock } = options;
    this.#db = db;
    this.#tick = new TickQueue(db);
    this.#streams = new SqliteStreams({ db, clock, limits, life: lifeOf(db, options.newLife ?? false), newEpoch });
    this.#sessions = new SqliteSessions(db, clock);
    this.#devices = new SqliteDevices({
      db,
      clock,
      idempotencyWindowMs: limits.idempotencyWindowMs,
      forgetStreams: (app, device) => this.#streams.forgetDevice(app, device),
      head: (app, topic) => this.#streams.head({ app, kind: 'topic', topic }),
    });
  }

  append(appends: readonly port.Append[]): Promise<readonly port.AppendOutcome[]> {
    return this.#tick.ask(() => appends.map((append) => this.#streams.append(append)));
  }
  heads(streams: readonly port.StreamRef[]): Promise<readonly port.StreamHead[]> {
    return this.#tick.ask(() => streams.map((stream) => this.#streams.head(stream)));
  }
  read(reads: readonly port.StreamRead[]): Promise<readonly port.ReadOutcome[]> {
    return this.#tick.ask(() => reads.map((read) => this.#streams.read(read)));
  }
  settle(settles: readonly port.Settle[]): Promise<readonly port.SettleOutcome[]> {
    return this.#tick.ask(() => settles.map((settle) => ({ counted: this.#streams.settle(settle), satisfied: [] })));
  }

  openSession(request: port.OpenSession): Promise<port.OpenedSession> {
    return this.#tick.ask(() => {
      const opened = this.#sessions.open(request);
      if (opened.kind !== 'opened') return { kind: opened.kind };
      const { generation, replaced } = opened;
      const lanes = this.#streams.lanes(request.app, request.device);
      return { kind: 'opened', generation, lanes, topics: this.#devices.cursors(opened.id), replaced };
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
    return this.#tick.ask(() =>
      this.#devices.subscribe(
        app,
        device,
        topics.map(({ topic }) => topic),
      ),
    );
  }
  unsubscribe(app: AppId, device: DeviceId, topics: readonly TopicName[]): Promise<void> {
    return this.#tick.ask(() => this.#devices.unsubscribe(app, device, topics));
  }
  saveCursors(cursors: Parameters<port.Store['saveCursors']>[0]): Promise<void> {
    return this.#tick.ask(() => {
      for (const flush of cursors) this.#devices.saveCursors(flush.app, flush.device, flush);
    });
  }
  claimKey(app: AppId, key: string, messageId: MessageId, fingerprint: string): Promise<port.Claim> {
    return this.#tick.ask(() => this.#devices.claim(app, key, { messageId, fingerprint }));
  }

  sweepExpired(limit: number): Promise<number> {
    return this.#tick.ask(() => {
      this.#devices.sweep();
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
