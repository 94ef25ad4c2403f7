// Lua of one append, shared by the scripts that append: idempotent by message id within a window, bounded, in an epoch that is the
// store's present life's (R2, R3, R6); an unsettled entry of the same collapse key ends.
import { letterWriteLua } from './dead-letter-lib.ts';
import { SEEN_READ } from './outcome-lib.ts';
import { COMMON, putOff } from './script.ts';
import { STREAM_READ, streamWriteLua } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** What the script answers where nothing was appended. */
export const APPEND_REFUSALS = { 1: 'device-unknown', 2: 'stream-full' } as const;
export const APPEND_DEAD = 3;

function boundsLua(limits: StoreLimits): string {
  return `
local IDS_MAX = ${limits.duplicateWindowEntries}
local ENTRIES_MAX, BYTES_MAX = ${limits.deviceStreamEntriesMax}, ${limits.deviceStreamBytesMax}
local TOPIC_ENTRIES_MAX, TOPIC_BYTES_MAX = ${limits.topicStreamEntriesMax}, ${limits.topicStreamBytesMax}
local EPOCHS_MAX = ${limits.epochHistoryMax}
-- Whether a device's stream takes one more record, without 'older' (nil: none) when that goes.
local function has_room(m, bytes, older)
  local entries, freed = older and 1 or 0, older and record_bytes(older) or 0
  return m[HELD] - entries < ENTRIES_MAX and m[BYTES] - freed + bytes <= BYTES_MAX
end
local function trim_topic(m, prefix, stream, entries, now)
  if is_due(m, now) then drop_due(prefix, stream, m, now, m[HELD]) end
  local before = m[HELD]
  while m[HELD] > TOPIC_ENTRIES_MAX or (m[BYTES] > TOPIC_BYTES_MAX and m[HELD] > 1) do
    drop_oldest(m, entries, stream, now)
  end
  if m[HELD] ~= before then reset_first(m, entries) end
end
local function enter_life(m)
  if m[LIFE] == ARGV[1] then return end
  local hist = m[HIST]
  hist[#hist + 1] = ARGV[2]
  hist[#hist + 1] = m[HEAD] + 1
  while #hist > 2 * EPOCHS_MAX do
    hist[4] = hist[2]
    table.remove(hist, 1)
    table.remove(hist, 1)
  end
  m[LIFE] = ARGV[1]
end`;
}

/** A topic's entry becomes a tombstone (protocol/record.ts): its header stays, marked, without attributes and body. */
export const TOMBSTONE = `
local function is_tombstone(entry)
  local at = record_at(entry)
  return #entry - at >= 53 and string.byte(entry, at) == 2 and string.byte(entry, at + 47) % 16 >= 8
end
local function tombstone_of(entry)
  local at = record_at(entry)
  local record = string.sub(entry, at, at + 53)
  if #record == 54 and string.byte(record) == 2 then
    record = string.sub(record, 1, 44) .. '\\0\\0' .. string.sub(record, 47, 47) .. string.char(string.byte(record, 48) % 8 + 8)
      .. string.sub(record, 49)
  else
    local _, expires, appended = header(entry)
    record = struct.pack('<BBdd', 2, 2, appended, expires) .. id_of(entry) .. struct.pack('<HBBHI4', 0, 255, 8, 0, 0)
  end
  return string.sub(entry, 1, at - 1) .. record
end
local function bury(m, entries, index, entry)
  local stone = tombstone_of(entry)
  call('LSET', entries, index, stone)
  m[BYTES] = m[BYTES] - record_bytes(entry) + record_bytes(stone)
end`;

const APPEND = `
local DEVICE_UNKNOWN, STREAM_FULL, IS_DEAD = 1, 2, ${APPEND_DEAD}
local now = time_ms()
local function known(m, seen)
  local offset, prev, letter = parse_seen(seen)
  if letter == OVERFLOWN then return IS_DEAD end
  return { m[HIST][epoch_index(m[HIST], offset)], offset, prev, 1 }
end
-- The unsettled entry of a collapse key ends.
local function collapse(m, entries, stream, older, fields)
  if is_topic(stream) then
    if not is_tombstone(older.entry) then bury(m, entries, older.index, older.entry) end
    return
  end
  local _, expires = header(older.entry)
  local letter = is_expired(expires, now) and EXPIRED or CANCELLED
  remove_at(m, entries, older.index, older.entry)
  end_entry(fields, older.entry, letter, now, '')
  count(app_of(stream), letter, 1)
end
-- Accepted and dead at once: it takes an offset, which no entry has.
local function overflow(prefix, stream, m, id, record, fields)
  m[HEAD] = m[HEAD] + 1
  local row = unpack_row(call('HGET', prefix .. 'd', string.sub(stream, 3)))
  put_letter_of(prefix, stream, present_epoch(m), m[HEAD], { row[1], id, 'stream-full', 0, now, 0 }, record)
  fields[#fields + 1] = id
  fields[#fields + 1] = seen_as(m[HEAD], m[LAST]) .. OVERFLOWN .. struct.pack('<I6', now)
  count(app_of(stream), 'A', 1)
  count(app_of(stream), DEAD, 1)
  index_due(prefix, stream, m, m[MARK_AT] + IDS_MS)
  return IS_DEAD
end
-- Remembers a message id; at twice the window of entries the older half is forgotten.
local function make_room_for_id(key, m, now)
  if m[IDS] == 0 then
    m[MARK_AT], m[MARK] = now, 0
  elseif now - m[MARK_AT] >= IDS_MS then
    rare()
    move_mark(key, m, now)
  elseif m[IDS] >= 2 * IDS_MAX then
    rare()
    forget_ids(key, m, m[HEAD] - IDS_MAX)
  end
  m[IDS] = m[IDS] + 1
end
local function count_accepted(prefix, stream)
  if not is_topic(stream) then return count(app_of(stream), 'A', 1) end
  if string.sub(stream, -5) == '/$all' then return count(app_of(stream), 'U', 1) end
  count(app_of(stream), 'A', call('ZCARD', prefix .. 'v' .. string.sub(stream, 3)))
end
-- An entry from its byte 25 on, which for a push to many devices is the same.
local tail, tail_id, tail_record
local function tail_of(id, record)
  if tail_id ~= id or tail_record ~= record then
    tail, tail_id, tail_record = (string.sub(record, 19, 44) == id and '\\0' or '\\26' .. id) .. record, id, record
  end
  return tail
end
-- 'options': '', or 'r' (refuse when full) or 'd' (dead-letter then) and a collapse key.
local function append(key, id, record, expires, options)
  local prefix, stream = split(key)
  local topic, collapse_field = is_topic(stream), #options > 1 and '=' .. string.sub(options, 2)
  local held = collapse_field and call('HMGET', key, 'm', id, collapse_field) or call('HMGET', key, 'm', id)
  local m = unpack_meta(held[1])
  if held[2] or held[3] or topic then rare() end
  if held[2] then return known(m, held[2]) end
  local entries, fields = prefix .. 'e' .. stream, {}
  if not m then
    -- A stream goes with its device, so that only the first append has to look.
    if not topic and call('HEXISTS', prefix .. 'd', string.sub(stream, 3)) == 0 then return DEVICE_UNKNOWN end
    m = { { ARGV[2], 1 }, ARGV[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  end
  local roomy = topic or has_room(m, #record)
  if not roomy then rare() end
  if not roomy and is_due(m, now) then
    drop_due(prefix, stream, m, now, m[HELD], fields)
    save_meta(key, m, fields)
    fields = {}
  end
  local older
  if held[3] then
    local index, entry = find(m, entries, tonumber(held[3]))
    older = entry and { index = index, entry = entry }
  end
  local full = not roomy and not has_room(m, #record, older and older.entry)
  if full and string.byte(options) ~= 100 then return STREAM_FULL end
  enter_life(m)
  make_room_for_id(key, m, now)
  if full then
    local reply = overflow(prefix, stream, m, id, record, fields)
    save_meta(key, m, fields)
    return reply
  end
  if older then collapse(m, entries, stream, older, fields) end
  local offset, prev = m[HEAD] + 1, m[LAST]
  local head = struct.pack('<I6I6I6I6', offset, expires, now, prev)
  call('RPUSH', entries, head .. tail_of(id, record))
  m[HEAD], m[LAST], m[HELD], m[BYTES] = offset, offset, m[HELD] + 1, m[BYTES] + #record
  if m[HELD] == 1 then m[FIRST] = offset end
  local due, marked_due = due_of(expires, now, topic), m[MARK_AT] + IDS_MS
  index_due(prefix, stream, m, due > 0 and due < marked_due and due or marked_due)
  if topic then trim_topic(m, prefix, stream, entries, now) end
  if collapse_field then
    fields[#fields + 1] = collapse_field
    fields[#fields + 1] = offset
    save_meta(key, m, fields)
    fields = {}
  end
  call('HSET', key, 'm', pack_row(m), id, seen_as(offset, prev))
  count_accepted(prefix, stream)
  return { present_epoch(m), offset, prev, 0 }
end`;

/** What an append needs for a message id seen before, a full stream, a collapse key, a topic, or ids to forget. */
const RARE = (
  'find index_above forget_ids move_mark remove_at drop_oldest unindex drop_from_middle drop_due ' +
  'end_entry parse_seen bucket_of letter_name drop_letter put_letter put_letter_of trim_topic record_at ' +
  'id_of is_tombstone tombstone_of bury known collapse overflow'
).split(' ');

/**
 * Everything that a script needs to call `append(key, id, record, expires, options)`; its replies go through `counting`. For others of these
 * functions it calls `rare()` first.
 */
export function appendLua(limits: StoreLimits): string {
  const pieces = [
    STREAM_READ,
    streamWriteLua(limits),
    SEEN_READ,
    letterWriteLua(limits),
    boundsLua(limits),
    TOMBSTONE,
    APPEND,
  ];
  return [COMMON, putOff(RARE, pieces.join('\n'))].join('\n');
}
