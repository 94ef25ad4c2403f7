// Sessions and routes: open by compare-and-set of the generation, close by compare, look up, count, sweep (R7, R8).
import { CURSORS } from './cursor-lib.ts';
import { ROUTE_READ, ROUTE_WRITE } from './device-lib.ts';
import { aScript, aWalk, COMMON } from './script.ts';
import { STREAM_READ } from './stream-lib.ts';

/** Answers of OPEN_SESSION that are not sessions. */
export const OPEN_REFUSALS = { 1: 'ticket-stale', 2: 'revoked', 3: 'device-unknown' } as const;

/**
 * Key: the prefix. Arguments: name, account, generation expected ('' for any), permitted at, gateway, boot id.
 * Reply: {generation, replaced route or false, {{lane letter, epoch, head, settled, held, attempts, of which offset}, …}, rows of topics
 * (cursor-lib.ts)} or a refusal.
 */
export const OPEN_SESSION = aScript(
  'open-session',
  { flags: '', itemsMax: 16 },
  COMMON,
  STREAM_READ,
  ROUTE_READ,
  ROUTE_WRITE,
  CURSORS,
  `
local TICKET_STALE, IS_REVOKED, DEVICE_UNKNOWN = 1, 2, 3
local now = time_ms()
local function lanes_of(prefix, name)
  local lanes = {}
  for _, letter in ipairs({ 'h', 'n', 'l' }) do
    local stream = letter .. '/' .. name
    local held = call('HMGET', prefix .. 'm' .. stream, 'm', 'a')
    if held[1] then
      local m, tried = unpack_meta(held[1]), held[2] and unpack_row(held[2])
      -- Attempts go with their entry.
      if not tried or not find(m, prefix .. 'e' .. stream, tried[1]) then tried = { 0, 0 } end
      lanes[#lanes + 1] = { letter, present_epoch(m), m[HEAD], m[FLOOR], m[HELD], tried[2], tried[1] }
    end
  end
  return lanes
end
return for_each(6, function(prefix, a)
  local name, permitted = ARGV[a], tonumber(ARGV[a + 3])
  local row = load_row(prefix, name)
  if not row then
    local closed = call('GET', prefix .. 'z' .. name)
    return closed and permitted < unpack_row(closed)[2] and IS_REVOKED or DEVICE_UNKNOWN
  end
  -- Times in tokens are whole seconds.
  if row[ACCOUNT] ~= ARGV[a + 1] or permitted < floor(row[REVOKED] / 1000) * 1000 then return IS_REVOKED end
  if ARGV[a + 2] ~= '' and tonumber(ARGV[a + 2]) ~= row[GENERATION] then return TICKET_STALE end
  local replaced = route_of(prefix, row) or false
  row[GENERATION] = row[GENERATION] + 1
  set_route(prefix, row, ARGV[a + 4], ARGV[a + 5], now)
  save_row(prefix, name, row)
  return { row[GENERATION], replaced, lanes_of(prefix, name), load_cursors(prefix, name) }
end)`,
);

/** Key: the prefix. Arguments: name, generation, boot id. Reply: 1 when the route was this session's. */
export const CLOSE_SESSION = aScript(
  'close-session',
  { flags: 'allow-oom', itemsMax: 32 },
  COMMON,
  ROUTE_READ,
  ROUTE_WRITE,
  `
return for_each(3, function(prefix, a)
  local name = ARGV[a]
  local row = load_row(prefix, name)
  if not row or row[GENERATION] ~= tonumber(ARGV[a + 1]) then return 0 end
  local life = life_of(prefix, row)
  if not life or life[2] ~= ARGV[a + 2] then return 0 end
  drop_route(prefix, row)
  save_row(prefix, name, row)
  return 1
end)`,
);

/** Key: the prefix. Argument: name. Reply: nil, or {the device's row, that of its life when it has one}, as stored. */
export const LOOK_UP = aScript(
  'look-up',
  { flags: 'no-writes', itemsMax: 64 },
  COMMON,
  ROUTE_READ,
  `
local names = {}
return join_packed(for_each(1, function(prefix, a)
  local packed = call('HGET', prefix .. 'd', ARGV[a])
  local number = packed and select(LIFE_NUMBER + 1, unpack_limit(packed, LIFE_NUMBER, 1)) or 0
  if number == 0 then return packed and '\\145' .. packed end
  -- A text is made of a number once for a call: it takes a fifth of what the command does.
  names[number] = names[number] or '#' .. number
  local life = call('HGET', lives_key(prefix), names[number])
  return life and '\\146' .. packed .. life or '\\145' .. packed
end))`,
);

/**
 * Key: the prefix. Arguments: name, generation, boot id, heads as heard (../sessions.ts headsText). Reply: 0 where all is so, or {route or
 * false, heads: {lane letter, epoch, head, …}}.
 */
export const CHECK_SESSION = aScript(
  'check-session',
  { flags: 'no-writes', itemsMax: 64 },
  COMMON,
  STREAM_READ,
  ROUTE_READ,
  `
return pack_row(for_each(4, function(prefix, a)
  local name, heads, text = ARGV[a], {}, ''
  for _, letter in ipairs({ 'h', 'n', 'l' }) do
    local m = load_meta(prefix .. 'm' .. letter .. '/' .. name)
    if m then
      local epoch, head = present_epoch(m), m[HEAD]
      heads[#heads + 1], heads[#heads + 2], heads[#heads + 3] = letter, epoch, head
      text = text .. letter .. epoch .. ':' .. head .. ' '
    end
  end
  local row = load_row(prefix, name)
  local life = row and life_of(prefix, row)
  if text == ARGV[a + 3] and life and life[2] == ARGV[a + 2] and row[GENERATION] == tonumber(ARGV[a + 1]) then return 0 end
  return { row and route_of(prefix, row) or false, heads }
end))`,
);

/** A walk. Reply for a bucket with routes: {boot id, routes, …}. */
export const COUNT_ROUTES = aWalk(
  'count-routes',
  `
return for_each_bucket(0, function(bucket)
  local counts, rows = {}, call('HGETALL', bucket .. 'c')
  for i = 1, #rows, 2 do
    if #rows[i] > 1 and string.byte(rows[i]) == 35 then
      local life = unpack_row(rows[i + 1])
      counts[#counts + 1] = life[2]
      counts[#counts + 1] = life[3]
    end
  end
  return #counts > 0 and counts
end)`,
);

/** Key: `{bucket}c`. Arguments: most rows, boot id. Reply: routes of that life removed in this bucket. */
export const SWEEP_ROUTES = aScript(
  'sweep-routes',
  { flags: 'allow-oom', itemsMax: 1 },
  COMMON,
  ROUTE_READ,
  ROUTE_WRITE,
  `
return for_each(2, function(key, a)
  local limit, swept, number = tonumber(ARGV[a]), 0, tonumber(call('HGET', key, 'b' .. ARGV[a + 1]) or 0)
  if number == 0 then return 0 end
  for shard = 0, 3 do
    local prefix = string.sub(key, 1, -2) .. shard
    local rows = call('HGETALL', prefix .. 'd')
    for i = 1, #rows, 2 do
      if swept >= limit then return swept end
      local row = unpack_row(rows[i + 1])
      if row[LIFE_NUMBER] == number then
        drop_route(prefix, row)
        save_row(prefix, rows[i], row)
        swept = swept + 1
      end
    end
  end
  return swept
end)`,
);
