// Operations on devices, accounts, topics, groups and the ledger, in the document.
import { PAGE_PARAMETERS, answerOf, inPath, inQuery, operation } from './parts.ts';

export const QUERY_PATHS = {
  '/v1/devices/{device}': {
    get: operation({
      id: 'deviceOf',
      summary: 'Whether a device is online, and where',
      parameters: [inPath('device', 'phone-1')],
      answers: { '200': answerOf('Where it is now.', 'Presence') },
      refused: ['device-unknown'],
    }),
  },
  '/v1/devices/{device}/waiting': {
    get: operation({
      id: 'waitingFor',
      summary: 'What waits for a device',
      parameters: [inPath('device', 'phone-1')],
      answers: { '200': answerOf('Its streams.', 'DeviceWaiting') },
      refused: ['device-unknown'],
    }),
  },
  '/v1/devices/{device}/trace': {
    get: operation({
      id: 'traceDevice',
      summary: 'What happened to a device lately, and what waits for it',
      parameters: [inPath('device', 'phone-1')],
      answers: { '200': answerOf('What the store and the gateways know.', 'DeviceTrace') },
      refused: [],
    }),
  },
  '/v1/accounts/{account}/devices': {
    get: operation({
      id: 'devicesOf',
      summary: 'The devices of an account, and where they are',
      parameters: [inPath('account', 'ada')],
      answers: { '200': answerOf('An account without devices has an empty list.', 'AccountDevices') },
      refused: [],
    }),
  },
  '/v1/topics/{topic}/subscribers': {
    get: operation({
      id: 'subscribersOf',
      summary: 'Devices that hear a topic',
      parameters: [inPath('topic', 'news'), ...PAGE_PARAMETERS],
      answers: { '200': answerOf('A page, and how many there are.', 'Subscribers') },
      refused: [],
    }),
  },
  '/v1/groups/{group}': {
    put: operation({
      id: 'putGroup',
      summary: 'Make a group of accounts',
      parameters: [inPath('group', 'friends')],
      body: {
        schema: 'NewGroup',
        examples: { friends: { summary: 'With two members', value: { owner: 'ada', members: ['ada', 'bob'] } } },
      },
      answers: {
        '201': answerOf('Made.', 'Group'),
        '200': answerOf('It is there already, of the same owner, and stays as it is.', 'Group'),
      },
      refused: ['group-exists', 'group-full'],
    }),
    get: operation({
      id: 'groupOf',
      summary: 'A group',
      parameters: [inPath('group', 'friends')],
      answers: { '200': answerOf('The group.', 'Group') },
      refused: ['group-unknown'],
    }),
    delete: operation({
      id: 'deleteGroup',
      summary: 'Delete a group; messages to it that were accepted go on',
      parameters: [inPath('group', 'friends')],
      answers: { '200': answerOf('Deleted.', 'GroupDeleted') },
      refused: ['group-unknown'],
    }),
  },
  '/v1/groups/{group}/members': {
    get: operation({
      id: 'membersOf',
      summary: 'The members of a group',
      parameters: [inPath('group', 'friends'), ...PAGE_PARAMETERS],
      answers: { '200': answerOf('A page.', 'GroupMembers') },
      refused: ['group-unknown'],
    }),
    post: operation({
      id: 'changeMembers',
      summary: 'Take accounts into a group, or put them out',
      parameters: [inPath('group', 'friends')],
      body: {
        schema: 'GroupChange',
        examples: { both: { summary: 'One in, one out', value: { join: ['eve'], leave: ['bob'] } } },
      },
      answers: { '200': answerOf('The group after it.', 'GroupChanged') },
      refused: ['group-unknown', 'group-full'],
    }),
  },
  '/v1/ledger': {
    get: operation({
      id: 'ledger',
      summary: "The app's deliveries and what became of them",
      parameters: [
        inQuery('recount', { type: 'boolean' }, 'Also count what waits from streams and cursors: one walk over all.'),
      ],
      answers: { '200': answerOf('Since the first message.', 'Ledger') },
      refused: [],
    }),
  },
} as const;
