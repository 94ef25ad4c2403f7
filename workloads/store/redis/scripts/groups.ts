// Groups: `{b}sg<app/group>`, a string {owner, created at}, and `{b}sG<app/group>`, a zset of its members by name.
import { aScript, COMMON } from './script.ts';
import type { Script } from './script.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Replies of the change, by number. */
export const GROUP_OUTCOMES = ['done', 'unchanged', 'group-unknown', 'group-exists', 'group-full'] as const;

const GROUP = `
local DONE, UNCHANGED, UNKNOWN, EXISTS, FULL = 0, 1, 2, 3, 4
-- The key of the members: 'g' → 'G' behind the bucket and the shard.
local function members_key(key)
  local head, tail = string.match(key, '^({%d+}%d)g(.*)$')
  return head .. 'G' .. tail
end`;

/** Key: the group's. Arguments: change, account (owner, or who joins or leaves), JSON of further members. Reply: GROUP_OUTCOMES. */
export function changeGroupScript(limits: StoreLimits): Script {
  return aScript(
    'change-group',
    { flags: '', itemsMax: 4 },
    COMMON,
    GROUP,
    `
local MEMBERS_MAX = ${limits.groupMembersMax}
local now = time_ms()
local function create(key, owner, members)
  if call('EXISTS', key) == 1 then return EXISTS end
  local distinct, all = { [owner] = true }, { owner }
  for _, account in ipairs(members) do
    if not distinct[account] then
      distinct[account] = true
      all[#all + 1] = account
    end
  end
  if #all > MEMBERS_MAX then return FULL end
  call('SET', key, pack_row({ owner, now }))
  for i = 1, #all, 500 do
    local pairs_of = {}
    for j = i, math.min(i + 499, #all) do
      pairs_of[#pairs_of + 1] = 0
      pairs_of[#pairs_of + 1] = all[j]
    end
    call('ZADD', members_key(key), unpack(pairs_of))
  end
  return DONE
end
local function join(key, account)
  if call('ZSCORE', key, account) then return UNCHANGED end
  if call('ZCARD', key) >= MEMBERS_MAX then return FULL end
  call('ZADD', key, 0, account)
  return DONE
end
return for_each(3, function(key, a)
  local change, account = ARGV[a], ARGV[a + 1]
  if change == 'create' then return create(key, account, cjson.decode(ARGV[a + 2])) end
  if call('EXISTS', key) == 0 then return UNKNOWN end
  if change == 'join' then return join(members_key(key), account) end
  if change == 'leave' then return call('ZREM', members_key(key), account) == 1 and DONE or UNCHANGED end
  call('UNLINK', key, members_key(key))
  return DONE
end)`,
  );
}

/** Key: the group's. Arguments: after ('' for the start), most. Reply: nil, or {owner, created at, members, account, …}. */
export const GROUP_MEMBERS = aScript(
  'group-members',
  { flags: 'no-writes', itemsMax: 4 },
  COMMON,
  GROUP,
  `
return for_each(2, function(key, a)
  local packed = call('GET', key)
  if not packed then return false end
  local group, members = unpack_row(packed), members_key(key)
  local from = ARGV[a] == '' and '-' or '(' .. ARGV[a]
  local page = call('ZRANGEBYLEX', members, from, '+', 'LIMIT', 0, ARGV[a + 1])
  return { group[1], group[2], call('ZCARD', members), unpack(page) }
end)`,
);

/** Key: the group's. Argument: account. Reply: 1 when it is a member. */
export const IS_MEMBER = aScript(
  'is-member',
  { flags: 'no-writes', itemsMax: 64 },
  COMMON,
  GROUP,
  `
return for_each(1, function(key, a) return call('ZSCORE', members_key(key), ARGV[a]) and 1 or 0 end)`,
);
