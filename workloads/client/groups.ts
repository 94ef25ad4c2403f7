// Groups as an application uses them: each call is one question to the gateway (questions.ts). client.ts hands one out.
import { parseAccountId, parseGroupName } from '../protocol/ids.ts';
import type { GroupFrame, GroupedFrame } from '../protocol/frames.ts';
import type { Groups } from './client-options.ts';

/** @param ask asks the gateway, now or when one serves */
export function openGroups(ask: (question: Omit<GroupFrame, 'id'>) => Promise<GroupedFrame>): Groups {
  const change = async (op: GroupFrame['op'], group: string, more: Partial<GroupFrame> = {}): Promise<void> => {
    await ask({ type: 'group', op, group: parseGroupName(group), ...more });
  };
  return {
    create: async (group, members = []) =>
      await change('create', group, { members: members.map((name, i) => parseAccountId(name, `members[${i}]`)) }),
    join: async (group) => await change('join', group),
    leave: async (group) => await change('leave', group),
    delete: async (group) => await change('delete', group),
    members: async (group, after) => {
      const page = after === undefined ? {} : { after: parseAccountId(after, 'after') };
      const answer = await ask({ type: 'group', op: 'members', group: parseGroupName(group), ...page });
      const { members = [], count = members.length, next = null } = answer;
      return { members, count, next };
    },
  };
}
