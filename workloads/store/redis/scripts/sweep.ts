// The sweep: what expired or is too old goes, bucket by bucket, by the time indexes: entries and message ids of streams, dead letters.
import { letterWriteLua } from './dead-letter-lib.ts';
import { aScript, aWalk, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** A walk. Reply for a bucket with streams or letters that are due: 1. */
export function findDueScript(limits: StoreLimits): Script {
  return aWalk(
    'find-due',
    `
local now = time_ms()
return for_each_bucket(0, function(bucket)
  local any = call('EXISTS', bucket .. 'w', bucket .. '0x', bucket .. '1x', bucket .. '2x', bucket .. '3x')
  if any == 0 then return end
  local due = call('ZCOUNT', bucket .. 'w', '-inf', now - ${limits.deadLetterKeptMs})
  for shard = 0, 3 do due = due + call('ZCOUNT', bucket .. shard .. 'x', '-inf', now) end
  return due > 0 and 1
end)`,
  );
}

/** Key: `{bucket}c`. Argument: most entries. Reply: entries dropped. Letters go beside, at most 100 a call. */
export function sweepExpiredScript(limits: StoreLimits): Script {
  return aScript(
    'sweep-expired',
    { flags: 'allow-oom', itemsMax: 1 },
    COMMON,
    STREAM_READ,
    streamWriteLua(limits),
    letterWriteLua(limits),
    `
local now = time_ms()
return counting(for_each(1, function(key, a)
  local bucket, dropped, limit = string.sub(key, 1, -2), 0, tonumber(ARGV[a])
  local old = call('ZRANGEBYSCORE', bucket .. 'w', '-inf', now - ${limits.deadLetterKeptMs}, 'LIMIT', 0, 100)
  for _, name in ipairs(old) do drop_letter(bucket, name) end
  for shard = 0, 3 do
    local prefix = bucket .. shard
    for _, stream in ipairs(call('ZRANGEBYSCORE', prefix .. 'x', '-inf', now, 'LIMIT', 0, 100)) do
      if dropped >= limit then return dropped end
      local m, fields = load_meta(prefix .. 'm' .. stream), {}
      if m then
        dropped = dropped + drop_due(prefix, stream, m, now, limit - dropped, fields)
        save_meta(prefix .. 'm' .. stream, m, fields)
      else
        call('ZREM', prefix .. 'x', stream)
      end
    end
  end
  return dropped
end))`,
  );
}
