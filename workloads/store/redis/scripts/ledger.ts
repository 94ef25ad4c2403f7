// Reading the ledger: its counters in a bucket, and what waits there counted anew from lists and rows, apart from the counters (R12).
import { CURSORS } from './cursor-lib.ts';
import { aScript, aWalk, COMMON } from './script.ts';

/** A walk. Arguments: app, letters. Reply for a bucket with counters: these. */
export const READ_LEDGER = aWalk(
  'read-ledger',
  `
return for_each_bucket(2, function(bucket, a)
  if call('EXISTS', bucket .. 'l') == 0 then return end
  local fields = {}
  for letter in string.gmatch(ARGV[a + 1], '.') do fields[#fields + 1] = ARGV[a] .. ' ' .. letter end
  local counters = call('HMGET', bucket .. 'l', unpack(fields))
  for i = 1, #fields do counters[i] = tonumber(counters[i] or 0) end
  return counters
end)`,
);

/** A walk. Reply for a bucket with any: {shards with devices, shards with rows}, each a text of digits. */
export const SHARDS_IN_USE = aWalk(
  'shards-in-use',
  `
local KEYS_OF = { '0d', '1d', '2d', '3d', '0u', '1u', '2u', '3u' }
return for_each_bucket(0, function(bucket)
  local keys, found = {}, { d = '', u = '' }
  for i, key in ipairs(KEYS_OF) do keys[i] = bucket .. key end
  if call('EXISTS', unpack(keys)) == 0 then return end
  for i, key in ipairs(KEYS_OF) do
    local kind = string.sub(key, 2)
    if call('EXISTS', keys[i]) == 1 then found[kind] = found[kind] .. string.sub(key, 1, 1) end
  end
  return { found.d, found.u }
end)`,
);

/** Key: a prefix. Arguments: app, cursor of the walk. Reply: {next cursor, entries held in streams of this slice's devices}. */
export const COUNT_HELD = aScript(
  'count-held',
  { flags: 'no-writes', itemsMax: 8 },
  COMMON,
  `
return for_each(2, function(prefix, a)
  local slice = call('HSCAN', prefix .. 'd', ARGV[a + 1], 'COUNT', 100)
  local held, start = 0, ARGV[a] .. '/'
  for i = 1, #slice[2], 2 do
    local name = slice[2][i]
    if string.sub(name, 1, #start) == start then
      for _, lane in ipairs({ 'h/', 'n/', 'l/' }) do held = held + call('LLEN', prefix .. 'e' .. lane .. name) end
    end
  end
  return { slice[1], held }
end)`,
);

/**
 * Key: a prefix. Arguments: app, cursor of the walk. Reply: {next cursor, topic, rows, sum of their offsets, …} of this slice's devices.
 * Rows that stand or are to be left; those being entered are not there yet.
 */
export const COUNT_ROWS = aScript(
  'count-rows',
  { flags: 'no-writes', itemsMax: 4 },
  COMMON,
  CURSORS,
  `
return for_each(2, function(prefix, a)
  local slice = call('HSCAN', prefix .. 'u', ARGV[a + 1], 'COUNT', 16)
  local rows, sums, start = {}, {}, ARGV[a] .. '/'
  for i = 1, #slice[2], 2 do
    if string.sub(slice[2][i], 1, #start) == start then
      for _, row in ipairs(unpack_row(slice[2][i + 1])) do
        if row[TOPIC] ~= '$all' and mark_of(row) ~= '+' and row[OFFSET] >= 0 then
          rows[row[TOPIC]] = (rows[row[TOPIC]] or 0) + 1
          sums[row[TOPIC]] = (sums[row[TOPIC]] or 0) + row[OFFSET]
        end
      end
    end
  end
  local reply = { slice[1] }
  for topic, n in pairs(rows) do
    for _, value in ipairs({ topic, n, sums[topic] }) do reply[#reply + 1] = value end
  end
  return reply
end)`,
);
