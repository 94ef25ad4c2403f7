// Lua shared by the scripts about streams: how the meta is packed, where entries are, how they end.
// A stream's hash: 'm' → its meta, each message id seen → what is known of it (outcome-lib.ts), '=' and a collapse key → the offset of
// its newest entry, 'a' → attempts. Meta, packed by cmsgpack: {history {epoch, first, …}, life, head, floor, held, bytes, first, last,
// due (s), ids, mark at, mark}. The mark: ids up to that offset were there at that time, and go one window later, unless a device
// waits for their entry. A meta of up to 64 bytes keeps the hash compact. History, floor: see ../../epochs.ts.
// An entry: offset, expires at, appended at, offset before (6 bytes each, little endian), 26 or 0: the length of the id that follows
// where the record does not have it in its place, then the record.
import { LEDGER, OUTCOMES } from './outcome-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Bytes of an entry before the id, if it has one, and the record. */
export const ENTRY_HEADER_BYTES = 25;

/** Reading a stream: its keys, its meta, the place of an offset in its list. */
export const STREAM_READ = `
local HEAD_BYTES = ${ENTRY_HEADER_BYTES}
local HIST, LIFE, HEAD, FLOOR, HELD, BYTES, FIRST, LAST, DUE, IDS, MARK_AT, MARK = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
local function split(key)
  local m = string.find(key, 'm', 4, true)
  return string.sub(key, 1, m - 1), string.sub(key, m + 1)
end
local function is_topic(stream) return string.byte(stream) == 116 end
local function unpack_meta(packed) return packed and unpack_values(packed, MARK) end
local function load_meta(key) return unpack_meta(call('HGET', key, 'm')) end
-- Of a device's row (device-lib.ts): nil without one.
local function generation_of(prefix, stream)
  local packed = call('HGET', prefix .. 'd', string.sub(stream, 3))
  if packed then return select(3, unpack_limit(packed, 2, 1)) end
end
local function present_epoch(m) return m[HIST][#m[HIST] - 1] end
-- The index in the history of the epoch an offset belongs to, and an epoch's last offset.
local function epoch_index(hist, offset)
  for i = #hist - 1, 3, -2 do if offset >= hist[i + 1] then return i end end
  return 1
end
local function epoch_end(m, i)
  local next_first = m[HIST][i + 3]
  return next_first and next_first - 1 or m[HEAD]
end
local function index_of_epoch(hist, epoch)
  for i = 1, #hist, 2 do if hist[i] == epoch then return i end end
end
local function header(entry) return struct.unpack('<I6I6I6I6B', entry) end
local function offset_of(entry) return (struct.unpack('<I6', entry)) end
local function record_bytes(entry) return #entry - HEAD_BYTES - string.byte(entry, HEAD_BYTES) end
-- The list index of the first entry above an offset; a search only where holes are.
local function index_above(m, entries, offset)
  if offset < m[FIRST] then return 0 end
  if m[LAST] - m[FIRST] + 1 == m[HELD] then return offset - m[FIRST] + 1 end
  local low, high = 0, m[HELD]
  while low < high do
    local middle = floor((low + high) / 2)
    if offset_of(call('LINDEX', entries, middle)) > offset then high = middle else low = middle + 1 end
  end
  return low
end
-- The list index of the entry at an offset, and the entry; nothing when it is not held.
local function find(m, entries, offset)
  if m[HELD] == 0 or offset < m[FIRST] or offset > m[LAST] then return end
  local index = index_above(m, entries, offset - 1)
  local entry = call('LINDEX', entries, index)
  if entry and offset_of(entry) == offset then return index, entry end
end`;

/** Forgetting message ids by a window of entries and by one of time. */
function windowLua(limits: StoreLimits): string {
  return `
local IDS_MS = ${limits.duplicateWindowMs}
-- Forgets message ids up to an offset, but those a device still waits for, and collapse keys without an entry.
local function forget_ids(key, m, up_to)
  local _, stream = split(key)
  local forgotten = is_topic(stream) and '^%d+' or '^(%d+):?%d*%a'
  local gone, kept, fields = {}, 0, call('HGETALL', key)
  for i = 1, #fields, 2 do
    local field = fields[i]
    if string.byte(field) == 61 then
      if m[HELD] == 0 or tonumber(fields[i + 1]) < m[FIRST] then gone[#gone + 1] = field end
    elseif #field > 1 then
      local offset = string.match(fields[i + 1], forgotten)
      if offset and tonumber(offset) <= up_to then gone[#gone + 1] = field else kept = kept + 1 end
    end
  end
  for i = 1, #gone, 1000 do call('HDEL', key, unpack(gone, i, math.min(i + 999, #gone))) end
  m[IDS] = kept
end
-- A window of time has passed since the mark: what was there then is forgotten, what is there now is marked.
local function move_mark(key, m, now)
  if m[MARK] > 0 then forget_ids(key, m, m[MARK]) end
  m[MARK_AT], m[MARK] = now, m[HEAD]
end`;
}

/** Changing a stream: dropping its oldest entries, what expired, and keeping the time index. */
export function streamWriteLua(limits: StoreLimits): string {
  return `${LEDGER}${OUTCOMES}${windowLua(limits)}
local AGE_MS = ${limits.topicStreamAgeMs}
-- Writes the meta, and fields (field, value, …) with it.
local function save_meta(key, m, fields)
  if not fields or #fields <= 1000 then return call('HSET', key, 'm', pack_row(m), unpack(fields or {})) end
  for i = 1, #fields, 1000 do call('HSET', key, unpack(fields, i, math.min(i + 999, #fields))) end
  call('HSET', key, 'm', pack_row(m))
end
-- After entries were dropped from the start.
local function reset_first(m, entries)
  if m[HELD] == 0 then
    m[FIRST], m[LAST], m[BYTES] = 0, 0, 0
  else
    m[FIRST] = offset_of(call('LINDEX', entries, 0))
  end
end
local function is_expired(expires, now) return expires > 0 and expires <= now end
-- Takes the entry at an index out of a device's list.
local function remove_at(m, entries, index, entry)
  if index == 0 then
    call('LPOP', entries)
  elseif index == m[HELD] - 1 then
    call('RPOP', entries)
  else
    call('LSET', entries, index, 'x')
    call('LREM', entries, index * 2 < m[HELD] and 1 or -1, 'x')
  end
  m[HELD] = m[HELD] - 1
  m[BYTES] = m[BYTES] - record_bytes(entry)
  if index == 0 or m[HELD] == 0 then
    reset_first(m, entries)
  elseif index == m[HELD] then
    m[LAST] = offset_of(call('LINDEX', entries, -1))
  end
end
-- Drops the oldest entry; one of a topic that had not expired is lost to readers, which the floor says.
local function drop_oldest(m, entries, stream, now, fields)
  local entry = call('LPOP', entries)
  local offset, expires = header(entry)
  m[HELD] = m[HELD] - 1
  m[BYTES] = m[BYTES] - record_bytes(entry)
  if not is_topic(stream) then
    end_entry(fields, entry, EXPIRED, now, '')
    count(app_of(stream), EXPIRED, 1)
  elseif not is_expired(expires, now) then
    m[FLOOR] = offset
  end
end
local function due_of(expires, appended, topic)
  if not topic then return expires end
  local old = appended + AGE_MS
  if expires > 0 and expires < old then return expires end
  return old
end
-- Moves the stream in the time index when 'due' (0: never) is sooner, by whole seconds, than what the index has.
local function index_due(prefix, stream, m, due)
  local second = floor(due / 1000)
  if due > 0 and (m[DUE] == 0 or second < m[DUE]) then
    m[DUE] = second
    call('ZADD', prefix .. 'x', due, stream)
  end
end
local function is_due(m, now) return m[DUE] > 0 and m[DUE] * 1000 <= now end
local function unindex(prefix, stream, m)
  if m[DUE] > 0 then
    m[DUE] = 0
    call('ZREM', prefix .. 'x', stream)
  end
end
-- Takes up to 'limit' expired entries out of the middle of a device's list; answers how many, and when the next is due.
local function drop_from_middle(m, entries, stream, now, limit, fields)
  local kept, bytes, gone, next_due = {}, 0, 0, 0
  for _, entry in ipairs(call('LRANGE', entries, 0, -1)) do
    local _, expires = header(entry)
    if is_expired(expires, now) and gone < limit then
      gone = gone + 1
      end_entry(fields, entry, EXPIRED, now, '')
    else
      kept[#kept + 1] = entry
      bytes = bytes + record_bytes(entry)
      if expires > 0 and (next_due == 0 or expires < next_due) then next_due = expires end
    end
  end
  if gone > 0 then
    call('DEL', entries)
    for i = 1, #kept, 500 do call('RPUSH', entries, unpack(kept, i, math.min(i + 499, #kept))) end
    m[HELD], m[BYTES] = #kept, bytes
    count(app_of(stream), EXPIRED, gone)
  end
  return gone, next_due
end
-- Drops up to 'limit' entries that are due: the oldest first, then, in a device's stream, from the middle. Old ids go with them. What
-- became of them is added to 'fields', for save_meta.
local function drop_due(prefix, stream, m, now, limit, fields)
  if m[IDS] > 0 and now - m[MARK_AT] >= IDS_MS then move_mark(prefix .. 'm' .. stream, m, now) end
  local entries, topic, dropped, next_due = prefix .. 'e' .. stream, is_topic(stream), 0, 0
  while m[HELD] > 0 and dropped < limit do
    local _, expires, appended = header(call('LINDEX', entries, 0))
    local due = due_of(expires, appended, topic)
    if due == 0 or due > now then break end
    drop_oldest(m, entries, stream, now, fields)
    dropped = dropped + 1
  end
  if m[HELD] > 0 and topic then
    local _, expires, appended = header(call('LINDEX', entries, 0))
    next_due = due_of(expires, appended, true)
  elseif m[HELD] > 0 then
    local gone
    gone, next_due = drop_from_middle(m, entries, stream, now, limit - dropped, fields)
    dropped = dropped + gone
  end
  reset_first(m, entries)
  if m[HELD] > 0 then m[LAST] = offset_of(call('LINDEX', entries, -1)) end
  unindex(prefix, stream, m)
  index_due(prefix, stream, m, next_due)
  if m[IDS] > 0 then index_due(prefix, stream, m, m[MARK_AT] + IDS_MS) end
  return dropped
end`;
}
