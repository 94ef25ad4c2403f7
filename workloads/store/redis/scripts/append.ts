// Append: one entry, idempotent by message id within a window, bounded, in an epoch that is the store's present life's (R2, R3, R6).
// Key: the stream's meta. Arguments: message id, record, expires at. Reply: {epoch, offset, prev, duplicate} or a reason.
import { aScript, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Remembers a message id; at twice the window of entries the older half is forgotten. */
function rememberLua(limits: StoreLimits): string {
  return `
local IDS_MAX = ${limits.duplicateWindowEntries}
local function make_room_for_id(key, m, now)
  if m[IDS] == 0 then
    m[MARK_AT], m[MARK] = now, 0
  elseif now - m[MARK_AT] >= IDS_MS then
    move_mark(key, m, now)
  elseif m[IDS] >= 2 * IDS_MAX then
    forget_ids(key, m, m[HEAD] - IDS_MAX)
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
  if is_due(m, now) then drop_due(prefix, stream, m, now, m[HELD]) end
  local before = m[HELD]
  while m[HELD] > TOPIC_ENTRIES_MAX or (m[BYTES] > TOPIC_BYTES_MAX and m[HELD] > 1) do drop_oldest(m, entries, true, now) end
  if m[HELD] ~= before then reset_first(m, entries) end
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
  local id, record, expires = ARGV[a], ARGV[a + 1], tonumber(ARGV[a + 2])
  local held = call('HMGET', key, 'm', id)
  local m, entries = held[1] and unpack_row(held[1]), prefix .. 'e' .. stream
  if held[2] then
    local offset, prev = string.match(held[2], '^(%d+):?(%d*)$')
    offset = tonumber(offset)
    return { m[HIST][epoch_index(m[HIST], offset)], offset, prev == '' and offset - 1 or tonumber(prev), 1 }
  end
  if not m then
    -- A stream goes with its device, so that only the first append has to look.
    if not topic and call('HEXISTS', prefix .. 'd', string.sub(stream, 3)) == 0 then return DEVICE_UNKNOWN end
    m = { { ARGV[2], 1 }, ARGV[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  end
  if not topic and not has_room(m, #record) then
    if is_due(m, now) then
      drop_due(prefix, stream, m, now, m[HELD])
      save_meta(key, m)
    end
    if not has_room(m, #record) then return STREAM_FULL end
  end
  enter_life(m, ARGV[1], ARGV[2])
  make_room_for_id(key, m, now)
  local offset, prev = m[HEAD] + 1, m[LAST]
  call('RPUSH', entries, struct.pack('<I6I6I6', offset, expires, now) .. record)
  m[HEAD], m[LAST], m[HELD], m[BYTES] = offset, offset, m[HELD] + 1, m[BYTES] + #record
  if m[HELD] == 1 then m[FIRST] = offset end
  index_due(prefix, stream, m, due_of(expires, now, topic))
  index_due(prefix, stream, m, m[MARK_AT] + IDS_MS)
  if topic then trim_topic(m, prefix, stream, entries, now) end
  call('HSET', key, 'm', pack_row(m), id, prev == offset - 1 and offset or offset .. ':' .. prev)
  return { present_epoch(m), offset, prev, 0 }
end
return for_each(3, append)`;

/** Refusals, as the script answers them. */
export const APPEND_REFUSALS = { 1: 'device-unknown', 2: 'stream-full' } as const;

export function appendScript(limits: StoreLimits): Script {
  const pieces = [COMMON, STREAM_READ, streamWriteLua(limits), rememberLua(limits), boundsLua(limits), BODY];
  return aScript('append', { flags: '', itemsMax: 32 }, ...pieces);
}
