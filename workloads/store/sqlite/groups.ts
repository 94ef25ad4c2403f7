// Groups of accounts in SQLite. sqlite-store.ts calls these inside a tick's transaction.
import type { DatabaseSync } from 'node:sqlite';
import { prepare } from './database.ts';
import type { GroupChange, GroupInfo, GroupOutcome } from '../port.ts';
import type { AccountId, AppId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

interface Columns {
  readonly owner: AccountId;
  readonly created_at: number;
  readonly members: number;
}

export class SqliteGroups {
  readonly #clock: Clock;
  readonly #membersMax: number;
  readonly #find;
  readonly #create;
  readonly #setMembers;
  readonly #remove;
  readonly #join;
  readonly #leave;
  readonly #removeMembers;
  readonly #page;
  readonly #member;

  constructor(db: DatabaseSync, clock: Clock, membersMax: number) {
    this.#clock = clock;
    this.#membersMax = membersMax;
    this.#find = prepare<Columns>(db, 'SELECT owner, created_at, members FROM groups WHERE app = ? AND name = ?');
    this.#create = prepare(db, 'INSERT INTO groups (app, name, owner, created_at, members) VALUES (?, ?, ?, ?, ?)');
    this.#setMembers = prepare(db, 'UPDATE groups SET members = members + ? WHERE app = ? AND name = ?');
    this.#remove = prepare(db, 'DELETE FROM groups WHERE app = ? AND name = ?');
    this.#join = prepare(db, 'INSERT OR IGNORE INTO group_members (app, name, account) VALUES (?, ?, ?)');
    this.#leave = prepare(db, 'DELETE FROM group_members WHERE app = ? AND name = ? AND account = ?');
    this.#removeMembers = prepare(db, 'DELETE FROM group_members WHERE app = ? AND name = ?');
    this.#page = prepare<{ account: AccountId }>(
      db,
      'SELECT account FROM group_members WHERE app = ? AND name = ? AND account > ? ORDER BY account LIMIT ?',
    );
    this.#member = prepare(db, 'SELECT 1 FROM group_members WHERE app = ? AND name = ? AND account = ?');
  }

  change(app: AppId, group: string, change: GroupChange): GroupOutcome {
    const row = this.#find.one(app, group);
    if (change.kind === 'create') {
      return row === undefined ? this.#enter(app, group, change) : 'group-exists';
    }
    if (row === undefined) return 'group-unknown';
    switch (change.kind) {
      case 'join': {
        if (this.isMember(app, group, change.account)) return 'unchanged';
        if (row.members >= this.#membersMax) return 'group-full';
        this.#join.run(app, group, change.account);
        this.#setMembers.run(1, app, group);
        return 'done';
      }
      case 'leave': {
        if (this.#leave.run(app, group, change.account) === 0) return 'unchanged';
        this.#setMembers.run(-1, app, group);
        return 'done';
      }
      case 'delete':
        this.#remove.run(app, group);
        this.#removeMembers.run(app, group);
        return 'done';
    }
  }

  /** The owner is a member. */
  #enter(app: AppId, group: string, { owner, members }: Extract<GroupChange, { kind: 'create' }>): GroupOutcome {
    const distinct = new Set([owner, ...members]);
    if (distinct.size > this.#membersMax) return 'group-full';
    this.#create.run(app, group, owner, this.#clock.nowMs(), distinct.size);
    for (const account of distinct) this.#join.run(app, group, account);
    return 'done';
  }

  members(
    app: AppId,
    group: string,
    page: { readonly after: AccountId | null; readonly limit: number },
  ): (GroupInfo & { readonly accounts: readonly AccountId[] }) | null {
    const row = this.#find.one(app, group);
    if (row === undefined) return null;
    const { owner, members, created_at: createdAtMs } = row;
    const accounts = this.#page.all(app, group, page.after ?? '', page.limit).map(({ account }) => account);
    return { group, owner, members, createdAtMs, accounts };
  }

  isMember(app: AppId, group: string, account: AccountId): boolean {
    return this.#member.one(app, group, account) !== undefined;
  }
}
