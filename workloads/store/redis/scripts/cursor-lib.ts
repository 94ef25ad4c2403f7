// Lua shared by the scripts about durable subscriptions: a device's rows are one packed value in `{b}su` (R5, R12). A row, packed by
// cmsgpack: {topic, epoch ('' for none), offset, filter ('' for none), attempts, mark}. Mark: '' for `$all`, which nobody subscribes to;
// else a letter and the name of this subscription: '=' it stands; '+' it is being entered in its topic's slot; '-' it is to be removed
// there and then here (offset -1: it was never entered).
export const CURSORS = `
local TOPIC, EPOCH, OFFSET, FILTER, TRIES, MARKED = 1, 2, 3, 4, 5, 6
local function load_cursors(prefix, name)
  local packed = call('HGET', prefix .. 'u', name)
  return packed and unpack_row(packed) or {}
end
local function save_cursors(prefix, name, rows)
  if #rows == 0 then call('HDEL', prefix .. 'u', name) else call('HSET', prefix .. 'u', name, pack_row(rows)) end
end
local function by_topic(rows)
  local found = {}
  for _, row in ipairs(rows) do found[row[TOPIC]] = row end
  return found
end
local function mark_of(row) return string.sub(row[MARKED], 1, 1) end
local function leave(row)
  if mark_of(row) == '+' then row[OFFSET] = -1 end
  row[MARKED] = '-' .. string.sub(row[MARKED], 2)
end
local function stands(row) return row[MARKED] == '' or mark_of(row) == '=' end
-- save_cursors where marks have changed: also notes since when the device has rows that do not stand, or that it has none. The sweep
-- finishes what nobody came back to (../sweep.ts).
local function save_marks(prefix, name, rows)
  save_cursors(prefix, name, rows)
  for _, row in ipairs(rows) do
    if not stands(row) then return call('ZADD', prefix .. 'o', time_ms(), name) end
  end
  call('ZREM', prefix .. 'o', name)
end`;
