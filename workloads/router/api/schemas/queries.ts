// What is answered about devices, accounts, topics, groups and the ledger; and what is asked of groups.
import { LIMITS } from '../../../protocol/limits.ts';
import { MEMBERS_MAX } from '../groups.ts';
import { MESSAGES_SHOWN_MAX } from '../../results/waiting.ts';
import { ID } from './accepted.ts';
import { NEXT, countOf, listOf, objectOf, refTo, textOf, timeOf } from './schema.ts';
import type { Schema } from './schema.ts';

const members = (description: string): Schema => ({
  type: 'array',
  maxItems: MEMBERS_MAX,
  items: { type: 'string' },
  description,
});
const groupFields = {
  group: textOf(),
  owner: textOf('An account.'),
  members: countOf(`How many; at most ${LIMITS.groupMembersMax}.`),
  createdAt: timeOf('When it was made'),
};
const ledgerFields = {
  accepted: countOf('acked + waiting + expired + dead + cancelled + filtered.'),
  acked: countOf(),
  waiting: { type: 'integer', description: 'What is left of accepted.' },
  expired: countOf(),
  dead: countOf('Dead letters that were made; one that is sent again counts as accepted once more.'),
  cancelled: countOf('Cancelled, collapsed, satisfied by another device, or given up by unsubscribing and closing.'),
  filtered: countOf(),
  untracked: objectOf({ accepted: countOf(), acked: countOf() }),
};

export const QUERY_SCHEMAS = {
  Presence: objectOf(
    {
      device: textOf(),
      account: textOf(),
      online: { type: 'boolean' },
      gateway: { type: ['string', 'null'] },
      since: timeOf('When it connected'),
    },
    ['account'],
  ),
  AccountDevices: objectOf({ account: textOf(), devices: listOf(refTo('Presence')) }),
  DeviceWaiting: objectOf({
    device: textOf(),
    waiting: countOf('Messages in its own streams that are not acked.'),
    lanes: listOf(
      objectOf({
        stream: { enum: ['@high', '@normal', '@low'] },
        epoch: { type: ['string', 'null'], description: 'null: never written.' },
        head: countOf('The last offset given out.'),
        waiting: countOf(),
        messages: listOf(
          objectOf({ id: ID, offset: countOf(), publishedAt: timeOf('When it was sent') }),
          `The first ${MESSAGES_SHOWN_MAX}.`,
        ),
      }),
    ),
  }),
  Subscribers: objectOf({
    topic: textOf(),
    count: countOf('Devices with a subscription that is kept.'),
    devices: listOf(textOf(), 'Sorted.'),
    next: NEXT,
  }),
  NewGroup: objectOf(
    { owner: textOf('An account; it is a member.'), members: members('Accounts that are in from the start.') },
    ['members'],
  ),
  Group: objectOf(groupFields),
  GroupMembers: objectOf({ ...groupFields, accounts: listOf(textOf(), 'Sorted.'), next: NEXT }),
  GroupChange: {
    ...objectOf({ join: members('Accounts to take in.'), leave: members('Accounts to put out, first.') }, [
      'join',
      'leave',
    ]),
  },
  GroupChanged: objectOf({ ...groupFields, joined: countOf('Of them, new ones.'), left: countOf('Of them, members.') }),
  GroupDeleted: objectOf({ group: textOf(), deleted: { const: true } }),
  Ledger: objectOf(
    {
      ...ledgerFields,
      recounted: objectOf({
        waiting: countOf('Counted from streams and cursors, apart from the counters.'),
        agrees: { type: 'boolean', description: 'While messages move they may differ by what is under way.' },
      }),
    },
    ['recounted'],
  ),
} as const satisfies Readonly<Record<string, Schema>>;
