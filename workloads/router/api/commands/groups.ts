// Commands of the business about groups: made, shown, members in and out, deleted.
import { parseAccountId, parseGroupName } from '../../../protocol/ids.ts';
import type { CommandTable } from '../commands.ts';
import { MEMBERS_MAX, changeGroup, createGroup, groupPage } from '../groups.ts';
import type { GroupPage, GroupStore } from '../groups.ts';
import { Input } from '../input.ts';
import { PAGE, isoOf } from './answers.ts';

const MEMBERS = { min: 0, max: MEMBERS_MAX } as const;

export function groupCommands(store: GroupStore): CommandTable {
  return {
    async 'group-put'({ app, input }) {
      const fields = new Input(input, ['group', 'owner', 'members']);
      const group = fields.name('group', parseGroupName);
      const owner = fields.name('owner', parseAccountId);
      const isNew = await createGroup(store, app.name, {
        group,
        owner,
        members: fields.names('members', MEMBERS, parseAccountId),
      });
      const page = await groupPage(store, app.name, { group, after: null, limit: 1 });
      return { status: isNew ? 201 : 200, body: describeGroup(page) };
    },
    async group({ app, input }) {
      const group = new Input(input, ['group']).name('group', parseGroupName);
      return { status: 200, body: describeGroup(await groupPage(store, app.name, { group, after: null, limit: 1 })) };
    },
    async 'group-members'({ app, input }) {
      const fields = new Input(input, ['group', 'cursor', 'limit']);
      const page = await groupPage(store, app.name, {
        group: fields.name('group', parseGroupName),
        after: fields.optionalName('cursor', parseAccountId),
        limit: fields.whole('limit', PAGE),
      });
      return { status: 200, body: { ...describeGroup(page), accounts: page.accounts, next: page.next } };
    },
    async 'group-change'({ app, input }) {
      const fields = new Input(input, ['group', 'join', 'leave']);
      const group = fields.name('group', parseGroupName);
      const join = fields.names('join', MEMBERS, parseAccountId);
      const leave = fields.names('leave', MEMBERS, parseAccountId);
      const left = await Promise.all(
        leave.map((account) => changeGroup(store, app.name, group, { kind: 'leave', account })),
      );
      const joined = await Promise.all(
        join.map((account) => changeGroup(store, app.name, group, { kind: 'join', account })),
      );
      const page = await groupPage(store, app.name, { group, after: null, limit: 1 });
      return { status: 200, body: { ...describeGroup(page), joined: countTrue(joined), left: countTrue(left) } };
    },
    async 'group-delete'({ app, input }) {
      const group = new Input(input, ['group']).name('group', parseGroupName);
      await changeGroup(store, app.name, group, { kind: 'delete' });
      return { status: 200, body: { group, deleted: true } };
    },
  };
}

function describeGroup({ group, owner, members, createdAtMs }: GroupPage) {
  return { group, owner, members, createdAt: isoOf(createdAtMs) };
}
function countTrue(flags: readonly boolean[]): number {
  return flags.filter(Boolean).length;
}
