// Sessions, routes and leases in SQLite (R7, R8). sqlite-store.ts calls these inside a tick's transaction.
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import type { CloseSession, GatewayLease, OpenSession, Route } from '../port.ts';
import type { AccountId, AppId, BootId, DeviceId, GatewayName } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

export interface DeviceColumns {
  readonly id: number;
  readonly account: AccountId;
  readonly generation: number;
  readonly revoked_at: number;
  readonly gateway: GatewayName | null;
  readonly boot_id: BootId | null;
  readonly connected_at: number;
}
interface LeaseColumns {
  readonly gateway: GatewayName;
  readonly boot_id: BootId;
  readonly link_address: string;
  readonly connections: number;
  readonly started_at: number;
  readonly expires_at: number;
}
export type OpenedRoute =
  | { readonly kind: 'opened'; readonly id: number; readonly generation: number; readonly replaced: Route | null }
  | { readonly kind: 'ticket-stale' | 'revoked' | 'device-unknown' };

/** Token times are whole seconds: a permission of the second in which a device was registered again is good. */
export function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

export class SqliteSessions {
  readonly #clock: Clock;
  readonly #find;
  readonly #closedAt;
  readonly #open;
  readonly #close;
  readonly #count;
  readonly #orphans;
  readonly #clear;
  readonly #lease;
  readonly #putLease;
  readonly #dropLease;
  readonly #live;
  readonly #dropExpiredLeases;

  constructor(db: DatabaseSync, clock: Clock) {
    this.#clock = clock;
    this.#find = prepare<DeviceColumns>(
      db,
      'SELECT id, account, generation, revoked_at, gateway, boot_id, connected_at FROM devices WHERE app = ? AND device = ?',
    );
    this.#closedAt = prepare<{ closed_at: number }>(
      db,
      'SELECT closed_at FROM closed_devices WHERE app = ? AND device = ?',
    );
    this.#open = prepare(
      db,
      'UPDATE devices SET generation = ?, gateway = ?, boot_id = ?, connected_at = ? WHERE id = ?',
    );
    this.#close = prepare(
      db,
      'UPDATE devices SET gateway = NULL, boot_id = NULL, connected_at = 0 WHERE app = ? AND device = ? AND generation = ? AND boot_id = ?',
    );
    this.#count = prepare<{ boot_id: BootId; n: number }>(
      db,
      'SELECT boot_id, count(*) AS n FROM devices WHERE boot_id IS NOT NULL GROUP BY boot_id',
    );
    this.#orphans = prepare<{ id: number }>(
      db,
      'SELECT id FROM devices WHERE boot_id IS NOT NULL AND boot_id NOT IN (SELECT boot_id FROM leases WHERE expires_at > ?) LIMIT ?',
    );
    this.#clear = prepare(db, 'UPDATE devices SET gateway = NULL, boot_id = NULL, connected_at = 0 WHERE id = ?');
    const columns = 'gateway, boot_id, link_address, connections, started_at, expires_at';
    this.#lease = prepare<LeaseColumns>(db, `SELECT ${columns} FROM leases WHERE gateway = ?`);
    this.#putLease = prepare(db, `INSERT OR REPLACE INTO leases (${columns}) VALUES (?, ?, ?, ?, ?, ?)`);
    this.#dropLease = prepare(db, 'DELETE FROM leases WHERE gateway = ? AND boot_id = ?');
    this.#live = prepare<LeaseColumns>(db, `SELECT ${columns} FROM leases WHERE expires_at > ? ORDER BY gateway`);
    this.#dropExpiredLeases = prepare(db, 'DELETE FROM leases WHERE expires_at <= ?');
  }

  find(app: AppId, device: DeviceId): DeviceColumns | undefined {
    return this.#find.one(app, device);
  }

  /** Raises the generation by compare-and-set and sets the route (R8). */
  open(request: OpenSession): OpenedRoute {
    const row = this.#find.one(request.app, request.device);
    if (row === undefined) {
      const closed = this.#closedAt.one(request.app, request.device);
      return { kind: closed !== undefined && request.permittedAtMs < closed.closed_at ? 'revoked' : 'device-unknown' };
    }
    if (row.account !== request.account || request.permittedAtMs < wholeSeconds(row.revoked_at))
      return { kind: 'revoked' };
    if (request.expectGeneration !== null && request.expectGeneration !== row.generation)
      return { kind: 'ticket-stale' };
    const generation = row.generation + 1;
    this.#open.run(generation, request.gateway, request.bootId, this.#clock.nowMs(), row.id);
    return { kind: 'opened', id: row.id, generation, replaced: routeOf(row) };
  }

  close(session: CloseSession): boolean {
    return this.#close.run(session.app, session.device, session.generation, session.bootId) > 0;
  }

  route(app: AppId, device: DeviceId): Route | null {
    const row = this.#find.one(app, device);
    return row === undefined ? null : routeOf(row);
  }

  count(): ReadonlyMap<BootId, number> {
    return new Map(this.#count.all().map((row) => [row.boot_id, row.n]));
  }

  sweep(limit: number): number {
    const nowMs = this.#clock.nowMs();
    const orphans = this.#orphans.all(nowMs, limit);
    for (const { id } of orphans) this.#clear.run(id);
    this.#dropExpiredLeases.run(nowMs);
    return orphans.length;
  }

  renew(lease: GatewayLease, ttlMs: number): 'kept' | 'void' {
    const nowMs = this.#clock.nowMs();
    const held = this.#lease.one(lease.gateway);
    if (held !== undefined && held.boot_id !== lease.bootId && held.expires_at > nowMs && !isNewer(lease, held))
      return 'void';
    const { gateway, bootId, linkAddress, connections, startedAtMs } = lease;
    this.#putLease.run(gateway, bootId, linkAddress, connections, startedAtMs, nowMs + ttlMs);
    return 'kept';
  }

  drop(gateway: GatewayName, bootId: BootId): void {
    this.#dropLease.run(gateway, bootId);
  }

  leases(): GatewayLease[] {
    return this.#live.all(this.#clock.nowMs()).map((row) => ({
      gateway: row.gateway,
      bootId: row.boot_id,
      linkAddress: row.link_address,
      connections: row.connections,
      startedAtMs: row.started_at,
    }));
  }
}

function isNewer(lease: GatewayLease, held: LeaseColumns): boolean {
  return lease.startedAtMs === held.started_at ? lease.bootId > held.boot_id : lease.startedAtMs > held.started_at;
}

export function routeOf(row: DeviceColumns): Route | null {
  if (row.gateway === null || row.boot_id === null) return null;
  const { gateway, generation, account } = row;
  return { gateway, bootId: row.boot_id, generation, account, connectedAtMs: row.connected_at };
}
