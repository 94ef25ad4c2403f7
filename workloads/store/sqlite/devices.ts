// Devices, tokens and idempotency keys in SQLite. sqlite-store.ts calls these inside a tick's
// transaction; a device's account decides whose streams and subscriptions it has (R8).
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import { CLOSED_DEVICE_MS } from '../store-limits.ts';
import type { Claim, RegisterDevice, RegisterOutcome } from '../port.ts';
import type { AccountId, AppId, DeviceId, MessageId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

interface Surroundings {
  readonly db: DatabaseSync;
  readonly clock: Clock;
  readonly idempotencyWindowMs: number;
  /** Drops a device's streams and subscriptions: nobody reads them any more. */
  forgetBelongings(app: AppId, device: DeviceId, id: number): void;
}

export class SqliteDevices {
  readonly #with: Surroundings;
  readonly #find;
  readonly #create;
  readonly #change;
  readonly #remove;
  readonly #closed;
  readonly #close;
  readonly #reopen;
  readonly #ofAccount;
  readonly #putToken;
  readonly #token;
  readonly #dropTokens;
  readonly #claim;
  readonly #putClaim;
  readonly #expire;

  constructor(surroundings: Surroundings) {
    const { db } = surroundings;
    this.#with = surroundings;
    this.#find = prepare<{ id: number; account: AccountId; generation: number }>(
      db,
      'SELECT id, account, generation FROM devices WHERE app = ? AND device = ?',
    );
    this.#create = prepare(
      db,
      'INSERT INTO devices (app, device, account, generation, revoked_at) VALUES (?, ?, ?, ?, ?)',
    );
    this.#change = prepare(
      db,
      'UPDATE devices SET account = ?, generation = generation + 1, revoked_at = ?, gateway = NULL, boot_id = NULL, connected_at = 0 WHERE id = ?',
    );
    this.#remove = prepare(db, 'DELETE FROM devices WHERE id = ?');
    this.#closed = prepare<{ generation: number; closed_at: number }>(
      db,
      'SELECT generation, closed_at FROM closed_devices WHERE app = ? AND device = ?',
    );
    this.#close = prepare(
      db,
      'INSERT OR REPLACE INTO closed_devices (app, device, generation, closed_at) VALUES (?, ?, ?, ?)',
    );
    this.#reopen = prepare(db, 'DELETE FROM closed_devices WHERE app = ? AND device = ?');
    this.#ofAccount = prepare<{ device: DeviceId }>(
      db,
      'SELECT device FROM devices WHERE app = ? AND account = ? ORDER BY device',
    );
    this.#putToken = prepare(
      db,
      'INSERT OR REPLACE INTO tokens (app, token, account, device, expires_at) VALUES (?, ?, ?, ?, ?)',
    );
    this.#token = prepare<{ account: AccountId; device: DeviceId }>(
      db,
      'SELECT account, device FROM tokens WHERE app = ? AND token = ? AND expires_at > ?',
    );
    this.#dropTokens = prepare(db, 'DELETE FROM tokens WHERE app = ? AND device = ?');
    this.#claim = prepare<{ message_id: MessageId; fingerprint: string }>(
      db,
      'SELECT message_id, fingerprint FROM claims WHERE app = ? AND key = ? AND expires_at > ?',
    );
    this.#putClaim = prepare(
      db,
      'INSERT OR REPLACE INTO claims (app, key, message_id, fingerprint, expires_at) VALUES (?, ?, ?, ?, ?)',
    );
    this.#expire = [
      prepare(db, 'DELETE FROM tokens WHERE expires_at <= ?'),
      prepare(db, 'DELETE FROM claims WHERE expires_at <= ?'),
      prepare(db, 'DELETE FROM closed_devices WHERE closed_at <= ?'),
    ] as const;
  }

  register(request: RegisterDevice): RegisterOutcome {
    const { app, account, device } = request;
    const nowMs = this.#with.clock.nowMs();
    const row = this.#find.one(app, device);
    if (row?.account !== account) {
      if (this.#ofAccount.all(app, account).length >= request.accountDevicesMax) return 'account-full';
      if (row === undefined) this.#enter(request);
      else this.#changeAccount(row.id, request, nowMs);
    }
    this.#putToken.run(app, request.tokenId, account, device, request.tokenExpiresAtMs);
    return 'registered';
  }

  #enter({ app, account, device }: RegisterDevice): void {
    const closed = this.#closed.one(app, device);
    this.#reopen.run(app, device);
    this.#create.run(app, device, account, closed?.generation ?? 0, closed?.closed_at ?? 0);
  }

  /** Nobody reads the streams and subscriptions of the account before, and its permissions end. */
  #changeAccount(id: number, { app, account, device }: RegisterDevice, nowMs: number): void {
    this.#with.forgetBelongings(app, device, id);
    this.#dropTokens.run(app, device);
    this.#change.run(account, nowMs, id);
  }

  close(app: AppId, device: DeviceId): boolean {
    const row = this.#find.one(app, device);
    if (row === undefined) return false;
    this.#with.forgetBelongings(app, device, row.id);
    this.#dropTokens.run(app, device);
    this.#remove.run(row.id);
    this.#close.run(app, device, row.generation + 1, this.#with.clock.nowMs());
    return true;
  }

  ofAccount(app: AppId, account: AccountId): DeviceId[] {
    return this.#ofAccount.all(app, account).map((row) => row.device);
  }

  tokenClient(app: AppId, token: string): { account: AccountId; device: DeviceId } | null {
    const row = this.#token.one(app, token, this.#with.clock.nowMs());
    return row === undefined ? null : { account: row.account, device: row.device };
  }

  claim(app: AppId, key: string, mine: { messageId: MessageId; fingerprint: string }): Claim {
    const nowMs = this.#with.clock.nowMs();
    const held = this.#claim.one(app, key, nowMs);
    if (held !== undefined) return { claimed: false, messageId: held.message_id, fingerprint: held.fingerprint };
    this.#putClaim.run(app, key, mine.messageId, mine.fingerprint, nowMs + this.#with.idempotencyWindowMs);
    return { claimed: true, ...mine };
  }

  /** Drops tokens, claims and memories of closed devices that ran out. */
  sweep(): void {
    const nowMs = this.#with.clock.nowMs();
    const [tokens, claims, closed] = this.#expire;
    tokens.run(nowMs);
    claims.run(nowMs);
    closed.run(nowMs - CLOSED_DEVICE_MS);
  }
}
