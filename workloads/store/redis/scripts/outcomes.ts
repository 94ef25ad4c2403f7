// What became of a message in a device's stream, attempts of the lowest unsettled entry, and topic entries that are cancelled.
import { TOMBSTONE } from './append-lib.ts';
import { SEEN_READ } from './outcome-lib.ts';
import { aScript, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Key: the stream's meta. Argument: message id. Reply: nil, or {epoch, offset, letter ('' while it waits), when, gateway}. */
export const DELIVERY_STATE = aScript(
  'delivery-state',
  { flags: 'no-writes', itemsMax: 64 },
  COMMON,
  STREAM_READ,
  SEEN_READ,
  `
return for_each(1, function(key, a)
  local held = call('HMGET', key, 'm', ARGV[a])
  if not held[1] or not held[2] then return false end
  local m = unpack_meta(held[1])
  local offset, _, letter, at, gateway = parse_seen(held[2])
  return { m[HIST][epoch_index(m[HIST], offset)], offset, letter, at or 0, gateway or '' }
end)`,
);

/** Key: the stream's meta. Arguments: generation, epoch, offset, attempts. Kept as 'a' in the stream's hash, for as long as that entry is held. */
export const SAVE_ATTEMPTS = aScript(
  'save-attempts',
  { flags: 'allow-oom', itemsMax: 32 },
  COMMON,
  STREAM_READ,
  `
return for_each(4, function(key, a)
  local prefix, stream = split(key)
  local m = load_meta(key)
  if not m or generation_of(prefix, stream) ~= tonumber(ARGV[a]) then return 0 end
  local i, offset = index_of_epoch(m[HIST], ARGV[a + 1]), tonumber(ARGV[a + 2])
  if not i or epoch_index(m[HIST], offset) ~= i or not find(m, prefix .. 'e' .. stream, offset) then return 0 end
  call('HSET', key, 'a', pack_row({ offset, tonumber(ARGV[a + 3]) }))
  return 1
end)`,
);

/** Key: the topic's meta. Argument: message id. Reply: 1 when its entry is a tombstone now. */
export function cancelTopicEntryScript(limits: StoreLimits): Script {
  return aScript(
    'cancel-topic-entry',
    { flags: 'allow-oom', itemsMax: 16 },
    COMMON,
    STREAM_READ,
    streamWriteLua(limits),
    SEEN_READ,
    TOMBSTONE,
    `
return for_each(1, function(key, a)
  local held = call('HMGET', key, 'm', ARGV[a])
  if not held[1] or not held[2] then return 0 end
  local prefix, stream = split(key)
  local m, entries = unpack_meta(held[1]), prefix .. 'e' .. stream
  local index, entry = find(m, entries, (parse_seen(held[2])))
  if not entry then return 0 end
  if not is_tombstone(entry) then
    bury(m, entries, index, entry)
    save_meta(key, m)
  end
  return 1
end)`,
  );
}
