// Leases of routers and drainers in SQLite: how they are found. sqlite-store.ts calls these inside a tick's transaction.
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import type { RoleLease } from '../port.ts';
import type { BootId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

interface Columns {
  readonly name: string;
  readonly boot_id: BootId;
  readonly link_address: string;
}

export class SqliteRoleLeases {
  readonly #clock: Clock;
  readonly #put;
  readonly #drop;
  readonly #live;
  readonly #expire;

  constructor(db: DatabaseSync, clock: Clock) {
    this.#clock = clock;
    this.#put = prepare(
      db,
      'INSERT OR REPLACE INTO role_leases (role, boot_id, name, link_address, expires_at) VALUES (?, ?, ?, ?, ?)',
    );
    this.#drop = prepare(db, 'DELETE FROM role_leases WHERE role = ? AND boot_id = ?');
    this.#live = prepare<Columns>(
      db,
      'SELECT name, boot_id, link_address FROM role_leases WHERE role = ? AND expires_at > ? ORDER BY name, boot_id',
    );
    this.#expire = prepare(db, 'DELETE FROM role_leases WHERE expires_at <= ?');
  }

  renew({ role, bootId, name, linkAddress }: RoleLease, ttlMs: number): void {
    const nowMs = this.#clock.nowMs();
    this.#expire.run(nowMs);
    this.#put.run(role, bootId, name, linkAddress, nowMs + ttlMs);
  }
  drop(role: RoleLease['role'], bootId: BootId): void {
    this.#drop.run(role, bootId);
  }
  live(role: RoleLease['role']): RoleLease[] {
    return this.#live
      .all(role, this.#clock.nowMs())
      .map((row) => ({ role, name: row.name, bootId: row.boot_id, linkAddress: row.link_address }));
  }
}
