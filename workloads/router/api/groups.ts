// Groups: accounts under one name, made by the business or by clients. Both doors come through here; what a client may do is decided in
// commands/client.ts.
import { RefusedError } from '../../protocol/codes.ts';
import type { AccountId, AppId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { GroupChange, GroupInfo, GroupOutcome, Store } from '../../store/port.ts';

export type GroupStore = Pick<Store, 'changeGroup' | 'groupMembers' | 'isGroupMember'>;

/** Members named in one request. */
export const MEMBERS_MAX = 500;

export interface GroupPage extends GroupInfo {
  readonly accounts: readonly AccountId[];
  /** Of the next page; null: the last one. */
  readonly next: AccountId | null;
}

/** The group and a page of its members. Rejects with RefusedError 'group-unknown'. */
export async function groupPage(
  store: GroupStore,
  app: AppId,
  of: { readonly group: string; readonly after: AccountId | null; readonly limit: number },
): Promise<GroupPage> {
  const page = await store.groupMembers(app, of.group, of);
  if (page === null) throw unknown(of.group);
  return { ...page, next: page.accounts.length < of.limit ? null : page.accounts.at(-1)! };
}

/**
 * Makes a group. One of the same owner that is there already is left as it is, so that a retry is harmless: answers false.
 * Rejects with RefusedError 'group-exists' or 'group-full'.
 */
export async function createGroup(
  store: GroupStore,
  app: AppId,
  group: { readonly group: string; readonly owner: AccountId; readonly members: readonly AccountId[] },
): Promise<boolean> {
  const { group: name, owner, members } = group;
  const outcome = await store.changeGroup(app, name, { kind: 'create', owner, members });
  if (outcome === 'group-exists') {
    const there = await store.groupMembers(app, name, { after: null, limit: 1 });
    if (there?.owner === owner) return false;
  }
  assertDone(outcome, name);
  return true;
}

/** Answers whether anything changed. Rejects with RefusedError 'group-unknown' or 'group-full'. */
export async function changeGroup(store: GroupStore, app: AppId, group: string, change: GroupChange): Promise<boolean> {
  const outcome = await store.changeGroup(app, group, change);
  assertDone(outcome, group);
  return outcome === 'done';
}

function assertDone(outcome: GroupOutcome, group: string): void {
  switch (outcome) {
    case 'done':
    case 'unchanged':
      return;
    case 'group-unknown':
      throw unknown(group);
    case 'group-exists':
      throw new RefusedError('group-exists', `group: ${group} is there, of another owner`, { field: 'group' });
    case 'group-full':
      throw new RefusedError('group-full', `group: expected at most ${LIMITS.groupMembersMax} members of ${group}`, {
        field: 'members',
      });
  }
}

function unknown(group: string): RefusedError {
  return new RefusedError('group-unknown', `group: no group ${group}`, { field: 'group' });
}
