// Settling: a device's cursor goes up and entries at or under it go (R4, R8); and the sweep of what expired.
import { aScript, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Key: the stream's meta. Arguments: epoch, offset, generation. Reply: 1 when it counted, else 0. */
export function settleScript(limits: StoreLimits): Script {
  return aScript(
    'settle',
    { flags: 'allow-oom', itemsMax: 32 },
    COMMON,
    STREAM_READ,
    streamWriteLua(limits),
    `
local function drop_up_to(m, prefix, stream, offset)
  local entries = prefix .. 'e' .. stream
  if offset >= m[LAST] then
    if m[HELD] > 0 then call('DEL', entries) end
    m[HELD] = 0
  else
    for _, entry in ipairs(call('LPOP', entries, index_above(m, entries, offset)) or {}) do
      m[HELD] = m[HELD] - 1
      m[BYTES] = m[BYTES] - (#entry - HEAD_BYTES)
    end
  end
  reset_first(m, entries)
end
return for_each(3, function(key, a)
  local prefix, stream = split(key)
  local row = call('HGET', prefix .. 'd', string.sub(stream, 3))
  if not row or unpack_row(row)[2] ~= tonumber(ARGV[a + 2]) then return 0 end
  local m, offset = load_meta(key), tonumber(ARGV[a + 1])
  local i = m and index_of_epoch(m[HIST], ARGV[a])
  if not i or offset > epoch_end(m, i) then return 0 end
  if offset <= m[FLOOR] then return 1 end
  m[FLOOR] = offset
  if m[HELD] > 0 and offset >= m[FIRST] then drop_up_to(m, prefix, stream, offset) end
  save_meta(key, m)
  return 1
end)`,
  );
}

/** Key: `{bucket}c`. Reply: how many streams of the bucket are due, at most 100 for each shard. */
export const COUNT_DUE = aScript(
  'count-due',
  { flags: 'no-writes', itemsMax: 128 },
  COMMON,
  `
local now = time_ms()
return for_each(0, function(key)
  local due = 0
  for shard = 0, 3 do
    due = due + #call('ZRANGEBYSCORE', string.sub(key, 1, -2) .. shard .. 'x', '-inf', now, 'LIMIT', 0, 100)
  end
  return due
end)`,
);

/** Key: `{bucket}c`. Argument: most entries. Reply: entries dropped. */
export function sweepExpiredScript(limits: StoreLimits): Script {
  return aScript(
    'sweep-expired',
    { flags: 'allow-oom', itemsMax: 1 },
    COMMON,
    STREAM_READ,
    streamWriteLua(limits),
    `
local now = time_ms()
return for_each(1, function(key, a)
  local dropped, limit = 0, tonumber(ARGV[a])
  for shard = 0, 3 do
    local prefix = string.sub(key, 1, -2) .. shard
    for _, stream in ipairs(call('ZRANGEBYSCORE', prefix .. 'x', '-inf', now, 'LIMIT', 0, 100)) do
      if dropped >= limit then return dropped end
      local m = load_meta(prefix .. 'm' .. stream)
      if m then
        dropped = dropped + drop_due(prefix, stream, m, now, limit - dropped)
        save_meta(prefix .. 'm' .. stream, m)
      else
        call('ZREM', prefix .. 'x', stream)
      end
    end
  end
  return dropped
end)`,
  );
}
