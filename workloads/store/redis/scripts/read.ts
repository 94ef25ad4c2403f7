// Reading streams: heads, and entries after a position (R1, R3, R4). Neither writes. Cost: the entries read, and where a stream
// has holes a search among those held.
import { aScript, COMMON } from './script.ts';
import type { Script } from './script.ts';
import { STREAM_READ } from './stream-lib.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Key: the stream's meta. Reply: the meta as stored (stream-lib.ts), or nil. */
export const HEADS = aScript(
  'heads',
  { flags: 'no-writes', itemsMax: 128 },
  COMMON,
  `
return join_packed(for_each(0, function(key) return call('HGET', key, 'm') end))`,
);

/** Reasons, as the script answers them; 0 is recovered. */
export const READ_REASONS = [null, 'no-position', 'epoch-unknown', 'ahead', 'trimmed'] as const;

/** Key: the stream's meta. Arguments: epoch ('' for none), offset, most entries. Reply: {epoch, reason, from, head, complete, entry, …}. */
export function readScript(limits: StoreLimits): Script {
  return aScript(
    'read',
    { flags: 'no-writes', itemsMax: 8 },
    COMMON,
    STREAM_READ,
    `
local AGE_MS, BYTES_MAX, ENTRIES_MAX = ${limits.topicStreamAgeMs}, ${limits.readBytesMax}, ${limits.readEntriesMax}
local now = time_ms()
-- The floor with the entries that are too old and not yet swept.
local function floor_of(m, entries, topic)
  if not topic or m[HELD] == 0 then return m[FLOOR] end
  local _, _, appended = header(call('LINDEX', entries, 0))
  if appended > now - AGE_MS then return m[FLOOR] end
  local low, high = 0, m[HELD]
  while low < high do
    local middle = floor((low + high) / 2)
    local _, _, at = header(call('LINDEX', entries, middle))
    if at > now - AGE_MS then high = middle else low = middle + 1 end
  end
  return (header(call('LINDEX', entries, low - 1)))
end
-- Where a reader starts, and why it was not recovered: ../../epochs.ts startOf.
local function start_of(m, bottom, topic, epoch, offset)
  if epoch == '' then return bottom, 1 end
  local i = index_of_epoch(m[HIST], epoch)
  if not i then return bottom, 2 end
  local last = epoch_end(m, i)
  if offset > last then return math.max(last, bottom), 3 end
  local reached = i == 1 and offset or math.max(offset, m[HIST][i + 1] - 1)
  if topic and reached < bottom then return bottom, 4 end
  return math.max(reached, bottom), 0
end
-- Live entries above an offset, of one epoch, within the bounds; and whether nothing is held after them.
local function collect(m, entries, above, max)
  local got, bytes, last = {}, 0, 0
  local chunk = math.max(1, math.min(max + 1, floor(BYTES_MAX / math.max(1, m[BYTES] / m[HELD])) + 1))
  local at = index_above(m, entries, above)
  while at < m[HELD] do
    for _, entry in ipairs(call('LRANGE', entries, at, at + chunk - 1)) do
      local offset, expires = header(entry)
      if expires == 0 or expires > now then
        if #got == 0 then last = epoch_end(m, epoch_index(m[HIST], offset)) end
        bytes = bytes + record_bytes(entry)
        if #got > 0 and (#got >= max or bytes > BYTES_MAX or offset > last) then return got, 0 end
        got[#got + 1] = entry
      end
    end
    at = at + chunk
  end
  return got, 1
end
return for_each(3, function(key, a)
  local m = load_meta(key)
  if not m then return { '', ARGV[a] == '' and 1 or 2, 0, 0, 1 } end
  local prefix, stream = split(key)
  local topic, entries, offset = is_topic(stream), prefix .. 'e' .. stream, tonumber(ARGV[a + 1])
  local above, reason = start_of(m, floor_of(m, entries, topic), topic, ARGV[a], offset)
  local got, complete = {}, 1
  if m[HELD] > 0 then got, complete = collect(m, entries, above, math.min(ENTRIES_MAX, tonumber(ARGV[a + 2]))) end
  local first = got[1] and header(got[1])
  local from = reason == 0 and offset or (first and first - 1 or m[HEAD])
  local epoch = first and m[HIST][epoch_index(m[HIST], first)] or present_epoch(m)
  return { epoch, reason, from, m[HEAD], complete, unpack(got) }
end)`,
  );
}
