// Append: one entry, idempotent by message id within a window, bounded, in an epoch that is the store's present life's (R2, R3, R6).
// Key: the stream's meta. Arguments: message id, record, expires at. Reply: {epoch, offset, prev, duplicate} or a reason.
import { aScript, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Which message ids were seen: this window's in one hash, the one before it in another; both leave by TTL. */
function seenLua(limits: StoreLimits): string {
  return `
local IDS_MAX, IDS_MS = ${limits.duplicateWindowEntries}, ${limits.duplicateWindowMs}
local function seen(m, prefix, stream, id, now)
  local at = m[IDS] > 0 and call('HGET', prefix .. 'i' .. stream, id)
  if not at and m[OLD_UNTIL] > now then at = call('HGET', prefix .. 'j' .. stream, id) end
  return at
end
local function remember(m, prefix, stream, id, at, now)
  local ids = prefix .. 'i' .. stream
  if m[IDS] > 0 and (m[IDS] >= IDS_MAX or now - m[IDS_SINCE] >= IDS_MS) then
    local old = prefix .. 'j' .. stream
    if call('EXISTS', ids) == 1 then
      call('RENAME', ids, old)
      call('PEXPIRE', old, IDS_MS)
      m[OLD_UNTIL] = now + IDS_MS
    end
    m[IDS] = 0
  end
  call('HSET', ids, id, at)
  if m[IDS] == 0 then
    m[IDS_SINCE] = now
    call('PEXPIRE', ids, 2 * IDS_MS)
  end
  m[IDS] = m[IDS] + 1
end`;
}

function boundsLua(limits: StoreLimits): string {
  return `
local ENTRIES_MAX, BYTES_MAX = ${limits.deviceStreamEntriesMax}, ${limits.deviceStreamBytesMax}
local TOPIC_ENTRIES_MAX, TOPIC_BYTES_MAX = ${limits.topicStreamEntriesMax}, ${limits.topicStreamBytesMax}
local EPOCHS_MAX = ${limits.epochHistoryMax}
local function has_room(m, bytes) return m[HELD] < ENTRIES_MAX and m[BYTES] + bytes <= BYTES_MAX end
local function trim_topic(m, prefix, stream, entries, now)
  if m[DUE] > 0 and m[DUE] <= now then drop_due(prefix, stream, m, now, m[HELD]) end
  local before = m[HELD]
  while m[HELD] > TOPIC_ENTRIES_MAX or (m[BYTES] > TOPIC_BYTES_MAX and m[HELD] > 1) do drop_oldest(m, entries, true, now) end
  if m[HELD] ~= before then reset_ends(m, entries) end
end
local function enter_life(m, life, epoch)
  if m[LIFE] == life then return end
  local hist = m[HIST]
  hist[#hist + 1] = epoch
  hist[#hist + 1] = m[HEAD] + 1
  while #hist > 2 * EPOCHS_MAX do
    hist[4] = hist[2]
    table.remove(hist, 1)
    table.remove(hist, 1)
  end
  m[LIFE] = life
end`;
}

const BODY = `
local DEVICE_UNKNOWN, STREAM_FULL = 1, 2
local now = time_ms()
local function append(key, a)
  local prefix, stream = split(key)
  local topic = is_topic(stream)
  if not topic and call('HEXISTS', prefix .. 'd', string.sub(stream, 3)) == 0 then return DEVICE_UNKNOWN end
  local id, record, expires = ARGV[a], ARGV[a + 1], tonumber(ARGV[a + 2])
  local m, entries = load_meta(key), prefix .. 'e' .. stream
  if m then
    local at = seen(m, prefix, stream, id, now)
    if at then
      local offset, prev = string.match(at, '^(%d+):?(%d*)$')
      offset = tonumber(offset)
      return { m[HIST][epoch_index(m[HIST], offset)], offset, prev == '' and offset - 1 or tonumber(prev), 1 }
    end
  else
    m = { { ARGV[2], 1 }, ARGV[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  end
  if not topic and not has_room(m, #record) then
    if m[DUE] > 0 and m[DUE] <= now then
      drop_due(prefix, stream, m, now, m[HELD])
      call('SET', key, pack_row(m))
    end
    if not has_room(m, #record) then return STREAM_FULL end
  end
  enter_life(m, ARGV[1], ARGV[2])
  local offset, prev = m[HEAD] + 1, m[LAST]
  call('RPUSH', entries, struct.pack('<I6I6I6', offset, expires, now) .. record)
  m[HEAD], m[LAST], m[HELD], m[BYTES] = offset, offset, m[HELD] + 1, m[BYTES] + #record
  if m[HELD] == 1 then m[FIRST] = offset end
  index_due(prefix, stream, m, due_of(expires, now, topic))
  remember(m, prefix, stream, id, prev == offset - 1 and tostring(offset) or offset .. ':' .. prev, now)
  if topic then trim_topic(m, prefix, stream, entries, now) end
  call('SET', key, pack_row(m))
  return { present_epoch(m), offset, prev, 0 }
end
return for_each(3, append)`;

/** Refusals, as the script answers them. */
export const APPEND_REFUSALS = { 1: 'device-unknown', 2: 'stream-full' } as const;

export function appendScript(limits: StoreLimits): Script {
  const pieces = [COMMON, STREAM_READ, streamWriteLua(limits), seenLua(limits), boundsLua(limits), BODY];
  return aScript('append', { flags: '', itemsMax: 32 }, ...pieces);
}
