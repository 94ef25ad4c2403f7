// Lua shared by the scripts about devices: the row, its route, and forgetting what belongs to a device's account.
// Row, packed by cmsgpack: {account, generation, revoked at, number of the life that has it (0: none), connected at}. Lives are
// numbered within the bucket: `{bucket}c` has 'b' boot id → number, #number → {gateway, boot id, routes}, and '#' → last number.

export const ROUTE_READ = `
local ACCOUNT, GENERATION, REVOKED, LIFE_NUMBER, CONNECTED = 1, 2, 3, 4, 5
local function lives_key(prefix) return string.sub(prefix, 1, -2) .. 'c' end
local function load_row(prefix, name)
  local packed = call('HGET', prefix .. 'd', name)
  return packed and unpack_values(packed, CONNECTED)
end
local function life_of(prefix, row)
  if row[LIFE_NUMBER] == 0 then return nil end
  local packed = call('HGET', lives_key(prefix), '#' .. row[LIFE_NUMBER])
  return packed and unpack_row(packed)
end
-- {gateway, boot id, generation, account, connected at} or false.
local function route_of(prefix, row)
  local life = life_of(prefix, row)
  return life and { life[1], life[2], row[GENERATION], row[ACCOUNT], row[CONNECTED] }
end`;

export const ROUTE_WRITE = `
local function save_row(prefix, name, row) call('HSET', prefix .. 'd', name, pack_row(row)) end
-- Adds to the count of a life; one without routes goes.
local function count_route(prefix, number, life, change)
  local key = lives_key(prefix)
  life[3] = life[3] + change
  if life[3] > 0 then
    call('HSET', key, '#' .. number, pack_row(life))
  else
    call('HDEL', key, '#' .. number, 'b' .. life[2])
  end
end
local function drop_route(prefix, row)
  local life = life_of(prefix, row)
  if life then count_route(prefix, row[LIFE_NUMBER], life, -1) end
  row[LIFE_NUMBER], row[CONNECTED] = 0, 0
end
local function set_route(prefix, row, gateway, boot, now)
  drop_route(prefix, row)
  local key = lives_key(prefix)
  local number = tonumber(call('HGET', key, 'b' .. boot) or 0)
  local life
  if number == 0 then
    number, life = call('HINCRBY', key, '#', 1), { gateway, boot, 0 }
    call('HSET', key, 'b' .. boot, number)
  else
    life = unpack_row(call('HGET', key, '#' .. number))
  end
  row[LIFE_NUMBER], row[CONNECTED] = number, now
  count_route(prefix, number, life, 1)
end`;

/** Needs STREAM_READ, LEDGER, ROUTE_*, CURSORS. */
export const FORGET = `
-- Streams of the account that the device had go, what waited in them is cancelled; its subscriptions are to be left, in the slots of
-- their topics (../subscriptions.ts). Answers these.
local function forget_belongings(prefix, name)
  for _, lane in ipairs({ 'h/', 'n/', 'l/' }) do
    local stream = lane .. name
    local m = load_meta(prefix .. 'm' .. stream)
    if m then
      count(app_of(stream), 'c', m[HELD])
      call('UNLINK', prefix .. 'm' .. stream, prefix .. 'e' .. stream)
      call('ZREM', prefix .. 'x', stream)
    end
  end
  local kept = {}
  for _, row in ipairs(load_cursors(prefix, name)) do
    if row[TOPIC] ~= '$all' then
      leave(row)
      kept[#kept + 1] = row
    end
  end
  save_marks(prefix, name, kept)
  return kept
end`;
