// Settling: a device's cursor goes up and entries at or under it end (R4, R8); single entries end anywhere; and the sweep of what
// expired. What became of each is remembered with its message id, and counted, in the same step.
import { letterWriteLua } from './dead-letter-lib.ts';
import { SEEN_READ } from './outcome-lib.ts';
import { aScript, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Key: the stream's meta. Arguments: epoch, offset, generation, gateway. Reply: 0 (does not count), 1, or message ids satisfied by any. */
export function settleScript(limits: StoreLimits): Script {
  return aScript(
    'settle',
    { flags: 'allow-oom', itemsMax: 32 },
    COMMON,
    STREAM_READ,
    streamWriteLua(limits),
    `
local now = time_ms()
-- Ends the entries up to an offset; answers ids of those that settle others. The hot path of acks: each entry is unpacked once.
local function end_up_to(m, prefix, stream, offset, gateway, fields)
  local entries, app, satisfied = prefix .. 'e' .. stream, app_of(stream), 1
  local number = offset >= m[LAST] and m[HELD] or index_above(m, entries, offset)
  -- Redis answers a number of entries by a list, which for the usual one costs more than the entry.
  local popped = number == 1 and { call('LPOP', entries) or nil } or call('LPOP', entries, number) or {}
  local at = struct.pack('<I6', now)
  local acked, expired, bytes, is_acked, is_past = ACKED .. at .. gateway, EXPIRED .. at, 0, 0, 0
  for i = 1, #popped do
    local entry = popped[i]
    local place, expires, _, prev, id_bytes, rest = struct.unpack('<I6I6I6I6B', entry)
    local record = rest + id_bytes
    local id = id_bytes == 0 and string.sub(entry, rest + 18, rest + 43) or string.sub(entry, rest, rest + 25)
    bytes = bytes + #entry - record + 1
    fields[2 * i - 1] = id
    if expires > 0 and expires <= now then
      is_past = is_past + 1
      fields[2 * i] = seen_as(place, prev) .. expired
    else
      is_acked = is_acked + 1
      fields[2 * i] = seen_as(place, prev) .. acked
      if is_satisfied_by_any(entry, record) then
        if satisfied == 1 then satisfied = {} end
        satisfied[#satisfied + 1] = id
      end
    end
  end
  m[HELD], m[BYTES] = m[HELD] - #popped, m[BYTES] - bytes
  reset_first(m, entries)
  if is_acked > 0 then count(app, ACKED, is_acked) end
  if is_past > 0 then count(app, EXPIRED, is_past) end
  return satisfied
end
return pack_row(counting(for_each(4, function(key, a)
  local prefix, stream = split(key)
  if generation_of(prefix, stream) ~= tonumber(ARGV[a + 2]) then return 0 end
  local m, offset = load_meta(key), tonumber(ARGV[a + 1])
  local i = m and index_of_epoch(m[HIST], ARGV[a])
  if not i or offset > epoch_end(m, i) then return 0 end
  if offset <= m[FLOOR] then return 1 end
  m[FLOOR] = offset
  local fields, satisfied = {}, 1
  if m[HELD] > 0 and offset >= m[FIRST] then satisfied = end_up_to(m, prefix, stream, offset, ARGV[a + 3], fields) end
  save_meta(key, m, fields)
  return satisfied
end)))`,
  );
}

/** Replies of the script below that are not {epoch, offset, id or ''}; a letter: it had ended so. */
export const ENTRY_UNKNOWN = 0;
export const ENTRY_STALE = 1;

/**
 * Key: the stream's meta. Arguments: message id or '', epoch, offset, letter of the state, generation or '', gateway, reason, attempts,
 * 1 when a dead letter is set aside.
 */
export function settleEntryScript(limits: StoreLimits): Script {
  return aScript(
    'settle-entry',
    { flags: 'allow-oom', itemsMax: 16 },
    COMMON,
    STREAM_READ,
    streamWriteLua(limits),
    SEEN_READ,
    letterWriteLua(limits),
    `
local UNKNOWN, STALE = ${ENTRY_UNKNOWN}, ${ENTRY_STALE}
local now = time_ms()
-- The letter of an entry that was at an offset and has ended. Cost: one look at all ids; only asked when it is not held.
local function letter_at(key, offset)
  local fields = call('HGETALL', key)
  for i = 1, #fields, 2 do
    if #fields[i] == 26 then
      local at, _, letter = parse_seen(fields[i + 1])
      if at == offset and letter ~= '' then return letter end
    end
  end
  return UNKNOWN
end
-- Its offset; or nothing and what to answer.
local function offset_asked(key, m, a, seen)
  if ARGV[a] ~= '' then
    if not seen then return nil, UNKNOWN end
    local offset, _, letter = parse_seen(seen)
    if letter ~= '' then return nil, letter end
    return offset
  end
  local offset, i = tonumber(ARGV[a + 2]), index_of_epoch(m[HIST], ARGV[a + 1])
  if not i or epoch_index(m[HIST], offset) ~= i or offset > m[HEAD] then return nil, UNKNOWN end
  return offset
end
return counting(for_each(9, function(key, a)
  local prefix, stream = split(key)
  local packed = call('HGET', prefix .. 'd', string.sub(stream, 3))
  local row = packed and unpack_row(packed)
  if ARGV[a + 4] ~= '' and (not row or row[2] ~= tonumber(ARGV[a + 4])) then return STALE end
  local held = call('HMGET', key, 'm', ARGV[a])
  if not row or not held[1] then return UNKNOWN end
  local m, entries, letter = unpack_meta(held[1]), prefix .. 'e' .. stream, ARGV[a + 3]
  local offset, answer = offset_asked(key, m, a, held[2])
  if not offset then return answer end
  local index, entry = find(m, entries, offset)
  if not entry then return letter_at(key, offset) end
  local fields, epoch = {}, m[HIST][epoch_index(m[HIST], offset)]
  if letter == DEAD then
    local about = { row[1], id_of(entry), ARGV[a + 6], tonumber(ARGV[a + 7]), now, tonumber(ARGV[a + 8]) }
    put_letter_of(prefix, stream, epoch, offset, about, string.sub(entry, record_at(entry)))
  end
  end_entry(fields, entry, letter, now, ARGV[a + 5])
  remove_at(m, entries, index, entry)
  save_meta(key, m, fields)
  count(app_of(stream), letter, 1)
  return { epoch, offset, letter == ACKED and is_satisfied_by_any(entry, record_at(entry)) and id_of(entry) or '' }
end))`,
  );
}
