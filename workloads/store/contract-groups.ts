// Contract of the store port: groups of accounts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { account, APP, withStore } from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { GroupChange, GroupOutcome, Store } from './port.ts';
import type { AccountId, AppId } from '../protocol/ids.ts';

export function groupsContract(subject: StoreSubject): void {
  const create = (owner: string, ...members: string[]): GroupChange => ({
    kind: 'create',
    owner: account(owner),
    members: members.map(account),
  });
  const join = (name: string): GroupChange => ({ kind: 'join', account: account(name) });
  const leave = (name: string): GroupChange => ({ kind: 'leave', account: account(name) });
  const change = (store: Store, ...changes: GroupChange[]): Promise<GroupOutcome[]> =>
    changes.reduce<Promise<GroupOutcome[]>>(
      async (before, one) => [...(await before), await store.changeGroup(APP, 'team', one)],
      Promise.resolve([]),
    );
  const membersOf = async (store: Store): Promise<readonly string[] | null> =>
    (await store.groupMembers(APP, 'team', { after: null, limit: 99 }))?.accounts ?? null;

  test('a group has its owner and the members named, each once, and says who made it and when', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      const before = nowMs();
      assert.deepEqual(await change(store, create('ann', 'bob', 'cid', 'bob', 'ann')), ['done']);
      const found = await store.groupMembers(APP, 'team', { after: null, limit: 99 });
      assert.ok(found!.createdAtMs >= before && found!.createdAtMs <= nowMs());
      assert.deepEqual(found, {
        group: 'team',
        owner: 'ann',
        members: 3,
        createdAtMs: found!.createdAtMs,
        accounts: ['ann', 'bob', 'cid'],
      });
      assert.equal(await store.groupMembers(APP, 'other', { after: null, limit: 9 }), null);
      assert.equal(await store.groupMembers('other' as AppId, 'team', { after: null, limit: 9 }), null);
    }));

  test('creating one that is there, and changing one that is not, is refused', () =>
    withStore(subject, {}, async ({ store }) => {
      assert.deepEqual(await change(store, join('ann'), leave('ann'), { kind: 'delete' }), [
        'group-unknown',
        'group-unknown',
        'group-unknown',
      ]);
      assert.deepEqual(await change(store, create('ann'), create('bob', 'cid')), ['done', 'group-exists']);
      assert.deepEqual(await membersOf(store), ['ann']);
    }));

  test('members join and leave; doing it again is unchanged; the owner may leave too', () =>
    withStore(subject, {}, async ({ store }) => {
      const outcomes = await change(store, create('ann'), join('bob'), join('bob'), leave('cid'), leave('ann'));
      assert.deepEqual(outcomes, ['done', 'done', 'unchanged', 'unchanged', 'done']);
      assert.deepEqual(await membersOf(store), ['bob']);
      assert.deepEqual(
        await Promise.all(['ann', 'bob'].map((name) => store.isGroupMember(APP, 'team', account(name)))),
        [false, true],
      );
      assert.equal(await store.isGroupMember(APP, 'other', account('bob')), false);
      assert.deepEqual(await change(store, leave('bob')), ['done']);
      assert.deepEqual(await membersOf(store), [], 'an empty group is a group');
    }));

  test('a deleted group is gone with its members', () =>
    withStore(subject, {}, async ({ store }) => {
      assert.deepEqual(await change(store, create('ann', 'bob'), { kind: 'delete' }), ['done', 'done']);
      assert.equal(await membersOf(store), null);
      assert.equal(await store.isGroupMember(APP, 'team', account('bob')), false);
      assert.deepEqual(await change(store, create('cid')), ['done']);
      assert.deepEqual(await membersOf(store), ['cid']);
    }));

  test('a group takes members up to its most, refuses one more, and takes again when one left', () =>
    withStore(subject, { groupMembersMax: 3 }, async ({ store }) => {
      assert.deepEqual(await change(store, create('a', 'b', 'c', 'd')), ['group-full']);
      assert.equal(await membersOf(store), null);
      const outcomes = await change(store, create('a', 'b'), join('c'), join('d'), join('c'), leave('b'), join('d'));
      assert.deepEqual(outcomes, ['done', 'done', 'group-full', 'unchanged', 'done', 'done']);
      assert.deepEqual(await membersOf(store), ['a', 'c', 'd']);
    }));

  test('members come sorted, page by page, thousands of them', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = Array.from({ length: 2500 }, (_, i) => `user/${(i * 7919) % 2500}`);
      assert.deepEqual(await change(store, create('owner', ...names)), ['done']);
      const found: AccountId[] = [];
      for (let after: AccountId | null = null; ;) {
        const page = await store.groupMembers(APP, 'team', { after, limit: 1000 });
        found.push(...page!.accounts);
        if (page!.accounts.length < 1000) break;
        after = page!.accounts.at(-1)!;
      }
      assert.deepEqual(found, ['owner', ...names].toSorted());
    }));
}
