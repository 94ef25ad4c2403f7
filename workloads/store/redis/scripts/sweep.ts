// The sweep: what expired or is too old goes, bucket by bucket, by the time indexes: entries and message ids of streams, dead letters.
import { letterWriteLua } from './dead-letter-lib.ts';
import { aScript, aWalk, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Key: `{bucket}c`. Reply: how many streams and letters of the bucket are due, at most 100 for each shard. */
export function countDueScript(limits: StoreLimits): Script {
  return aWalk(
    'count-due',
    128,
    `
local now = time_ms()
return for_each(0, function(key)
  local bucket = string.sub(key, 1, -2)
  local due = #call('ZRANGEBYSCORE', bucket .. 'w', '-inf', now - ${limits.deadLetterKeptMs}, 'LIMIT', 0, 100)
  for shard = 0, 3 do due = due + #call('ZRANGEBYSCORE', bucket .. shard .. 'x', '-inf', now, 'LIMIT', 0, 100) end
  return due
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
