// The sweep: what expired or is too old goes, bucket by bucket, by the time indexes: entries and message ids of streams, dead letters;
// and devices are found whose subscriptions were cut short between two slots, for ../sweep.ts to finish them.
import { CURSORS } from './cursor-lib.ts';
import { letterWriteLua } from './dead-letter-lib.ts';
import { aScript, aWalk, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** What FIND_DUE answers for a bucket: a sum of these. */
export const DUE = { expired: 1, cutShort: 2 } as const;

/** A walk. Reply for a bucket where something is due: what (DUE). */
export function findDueScript(limits: StoreLimits): Script {
  return aWalk(
    'find-due',
    `
local now = time_ms()
return for_each_bucket(0, function(bucket)
  local any = call('EXISTS', bucket .. 'w', bucket .. '0x', bucket .. '1x', bucket .. '2x', bucket .. '3x',
    bucket .. '0o', bucket .. '1o', bucket .. '2o', bucket .. '3o')
  if any == 0 then return end
  local due, cut = call('ZCOUNT', bucket .. 'w', '-inf', now - ${limits.deadLetterKeptMs}), 0
  for shard = 0, 3 do
    due = due + call('ZCOUNT', bucket .. shard .. 'x', '-inf', now)
    cut = cut + call('ZCOUNT', bucket .. shard .. 'o', '-inf', now - ${limits.cutShortMs})
  end
  local found = (due > 0 and ${DUE.expired} or 0) + (cut > 0 and ${DUE.cutShort} or 0)
  return found > 0 and found
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

/** Key: `{bucket}c`. Argument: most devices. Reply: {app/device, its rows that do not stand (../subscriptions.ts), …}: nobody finished them. */
export function cutShortScript(limits: StoreLimits): Script {
  return aScript(
    'cut-short',
    { flags: 'no-writes', itemsMax: 1 },
    COMMON,
    CURSORS,
    `
local since = time_ms() - ${limits.cutShortMs}
return for_each(1, function(key, a)
  local bucket, found, limit = string.sub(key, 1, -2), {}, tonumber(ARGV[a])
  for shard = 0, 3 do
    local prefix = bucket .. shard
    for _, name in ipairs(call('ZRANGEBYSCORE', prefix .. 'o', '-inf', since, 'LIMIT', 0, limit - #found / 2)) do
      local rows = {}
      for _, row in ipairs(load_cursors(prefix, name)) do
        if not stands(row) then rows[#rows + 1] = row end
      end
      found[#found + 1], found[#found + 2] = name, rows
    end
  end
  return found
end)`,
  );
}

/**
 * Key: the device's prefix. Arguments: name, 0 up to 1. It is as if it had been cut short only now, or by this share of limits.cutShortMs
 * later: of those that failed in one call because of one of them, the others come due at another time than that one. Reply: 1.
 */
export function putOffScript(limits: StoreLimits): Script {
  return aScript(
    'put-off',
    { flags: 'allow-oom', itemsMax: 32 },
    COMMON,
    `
local now = time_ms()
return for_each(2, function(prefix, a)
  call('ZADD', prefix .. 'o', 'XX', now + floor(tonumber(ARGV[a + 1]) * ${limits.cutShortMs}), ARGV[a])
  return 1
end)`,
  );
}
