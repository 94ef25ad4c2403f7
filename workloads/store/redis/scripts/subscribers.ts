// A topic's subscribers, in the topic's slot: `{b}sv<app/topic>`, a zset by name of 'device\0name of the subscription\0joined', so that an
// append adds their number to accepted (R12). One that left is remembered with the head of that moment, `{b}sV<app/topic>\0device\0name`,
// until its device's row is gone too: whoever finishes what was cut short counts the same; and limits.cutShortMs longer, in which whoever
// was slow does not enter it again and die.
import { LEDGER } from './outcome-lib.ts';
import { aScript, COMMON } from './script.ts';
import { STREAM_READ } from './stream-lib.ts';
import { STORE_LIMITS } from '../../store-limits.ts';

const SUBSCRIBERS = `
local LEFT_MS = 31 * 24 * 3600000
local LATE_MS = ${STORE_LIMITS.cutShortMs}
local function zset_of(key)
  local prefix, stream = split(key)
  return prefix .. 'v' .. string.sub(stream, 3)
end
local function left_key(key, device, subscription)
  local prefix, stream = split(key)
  return table.concat({ prefix .. 'V' .. string.sub(stream, 3), device, subscription }, '\\0')
end
-- The member of a device, its subscription's name, and the offset it joined at.
local function member_of(zset, device)
  local member = call('ZRANGEBYLEX', zset, '[' .. device .. '\\0', '(' .. device .. '\\1', 'LIMIT', 0, 1)[1]
  if not member then return end
  local at = string.find(member, '\\0', #device + 2, true)
  return member, string.sub(member, #device + 2, at - 1), tonumber(string.sub(member, at + 1))
end`;

/**
 * Key: the topic's meta. Arguments: device, name of the subscription. Reply: {epoch or '', offset it joined at}; one that was left does not
 * join, and has no row any more that this could be written to.
 */
export const JOIN_TOPIC = aScript(
  'join-topic',
  { flags: '', itemsMax: 32 },
  COMMON,
  STREAM_READ,
  SUBSCRIBERS,
  `
return for_each(2, function(key, a)
  local device, subscription, zset, m = ARGV[a], ARGV[a + 1], zset_of(key), load_meta(key)
  local member, of, joined = member_of(zset, device)
  if of ~= subscription then
    if call('EXISTS', left_key(key, device, subscription)) == 1 then return { '', 0 } end
    if member then call('ZREM', zset, member) end
    joined = m and m[HEAD] or 0
    call('ZADD', zset, 0, table.concat({ device, subscription, joined }, '\\0'))
  end
  return { joined > 0 and m and m[HIST][epoch_index(m[HIST], joined)] or '', joined }
end)`,
);

/**
 * Key: the topic's meta. Arguments: device, name of the subscription, 1 when it has no row that counts. Reply: {offset it joined at or -1:
 * it was not here, the topic's head when it left}.
 */
export const LEAVE_TOPIC = aScript(
  'leave-topic',
  { flags: 'allow-oom', itemsMax: 32 },
  COMMON,
  LEDGER,
  STREAM_READ,
  SUBSCRIBERS,
  `
return counting(for_each(3, function(key, a)
  local device, subscription, zset = ARGV[a], ARGV[a + 1], zset_of(key)
  local member, of, joined = member_of(zset, device)
  if of ~= subscription then
    local name = left_key(key, device, subscription)
    local left = call('GET', name)
    if left then return unpack_row(left) end
    call('SET', name, pack_row({ -1, -1 }), 'PX', LATE_MS)
    return { -1, -1 }
  end
  local m = load_meta(key)
  local head = m and m[HEAD] or 0
  call('ZREM', zset, member)
  if ARGV[a + 2] == '1' then
    local _, stream = split(key)
    if head > joined then count(app_of(stream), 'c', head - joined) end
  else
    call('SET', left_key(key, device, subscription), pack_row({ joined, head }), 'PX', LEFT_MS)
  end
  return { joined, head }
end))`,
);

/** Key: the topic's meta. Arguments: device, name of the subscription: its row is gone. */
export const FORGET_LEFT = aScript(
  'forget-left',
  { flags: 'allow-oom', itemsMax: 32 },
  COMMON,
  STREAM_READ,
  SUBSCRIBERS,
  `
return for_each(2, function(key, a) return call('PEXPIRE', left_key(key, ARGV[a], ARGV[a + 1]), LATE_MS) end)`,
);

/** Key: the topic's meta. Arguments: after ('' for the start), most. Reply: {how many in all, device, …}. */
export const SUBSCRIBERS_PAGE = aScript(
  'subscribers-page',
  { flags: 'no-writes', itemsMax: 4 },
  COMMON,
  STREAM_READ,
  SUBSCRIBERS,
  `
return for_each(2, function(key, a)
  local zset = zset_of(key)
  local from = ARGV[a] == '' and '-' or '(' .. ARGV[a] .. '\\1'
  local page = { call('ZCARD', zset) }
  for _, member in ipairs(call('ZRANGEBYLEX', zset, from, '+', 'LIMIT', 0, ARGV[a + 1])) do
    page[#page + 1] = string.match(member, '^[^%z]+')
  end
  return page
end)`,
);
