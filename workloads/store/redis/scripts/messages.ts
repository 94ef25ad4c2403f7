// Messages, their records and recipients: strings with a TTL, beside each other in the message's bucket. A message is a list, as JSON as it
// came and packed by cmsgpack once it was changed (nearly none is; decoding it to pack it cost as much as storing it):
// {target as JSON, lane, state, accepted at, due at, expires at, recipients, chunks, chunks done, options, marks of chunks done}; the last
// two are left out where both are empty.
import { aScript, COMMON } from './script.ts';

const KEEP = `
local now = time_ms()
-- What is there stays.
local function keep(key, bytes, due, kept_ms, until_ms)
  local ends = math.max(math.max(now, tonumber(due)) + kept_ms, tonumber(until_ms))
  call('SET', key, bytes, 'PXAT', ends, 'NX')
  return 1
end`;

const VALUES = `
local function values_of(stored) return string.byte(stored) == 91 and cjson.decode(stored) or unpack_row(stored) end`;

/** Key: the message's. Arguments: its values as JSON, due at, how long it is kept from then. */
export const PUT_MESSAGE = aScript(
  'put-message',
  { flags: '', itemsMax: 32 },
  COMMON,
  KEEP,
  `
return for_each(3, function(key, a) return keep(key, ARGV[a], ARGV[a + 1], ARGV[a + 2], 0) end)`,
);

/** Key: of a record or a chunk. Arguments: the bytes, due at, how long they are kept from then, when at the earliest they go. */
export const PUT_BYTES = aScript(
  'put-bytes',
  { flags: '', itemsMax: 16 },
  COMMON,
  KEEP,
  `
return for_each(4, function(key, a) return keep(key, ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]) end)`,
);

/** Key: of a record or a chunk. Reply: the bytes or nil. */
export const GET_BYTES = aScript(
  'get-bytes',
  { flags: 'no-writes', itemsMax: 16 },
  COMMON,
  `
return for_each(0, function(key) return call('GET', key) end)`,
);

/** Key: the message's. Reply: its values or nil. */
export const GET_MESSAGE = aScript(
  'get-message',
  { flags: 'no-writes', itemsMax: 32 },
  COMMON,
  VALUES,
  `
return for_each(0, function(key)
  local stored = call('GET', key)
  return stored and values_of(stored)
end)`,
);

const MARK = `
local STATE, CHUNKS, DONE, OPTIONS, MARKS = 3, 8, 9, 10, 11
-- Chunks from … to - 1 are done, whether or not they were (../../chunk-marks.ts); with the last one the list is expanded.
local function mark(message, from, to)
  local chunks, done, marks = message[CHUNKS], message[DONE], message[MARKS] or ''
  if marks == '' then marks = string.rep('1', done) .. string.rep('0', chunks - done) end
  to = math.min(to, chunks)
  if from < to then marks = string.sub(marks, 1, from) .. string.rep('1', to - from) .. string.sub(marks, to + 1) end
  message[OPTIONS], message[MARKS] = message[OPTIONS] or '', marks
  message[DONE] = select(2, string.gsub(marks, '1', ''))
  if message[DONE] == chunks then message[STATE] = 'expanded' end
end`;

/**
 * Key: the message's. Arguments: new state or '', chunks done or '', the first of the chunks to mark done or '', the one after their last,
 * states expected separated by spaces. Reply: its values now, or nil.
 */
export const CHANGE_MESSAGE = aScript(
  'change-message',
  { flags: 'allow-oom', itemsMax: 16 },
  COMMON,
  VALUES,
  MARK,
  `
return for_each(5, function(key, a)
  local stored = call('GET', key)
  local message = stored and values_of(stored)
  if not message or not string.find(' ' .. ARGV[a + 4] .. ' ', ' ' .. message[STATE] .. ' ', 1, true) then return false end
  if ARGV[a] ~= '' then message[STATE] = ARGV[a] end
  if ARGV[a + 1] ~= '' then message[DONE] = tonumber(ARGV[a + 1]) end
  if ARGV[a + 2] ~= '' then mark(message, tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])) end
  call('SET', key, pack_row(message), 'KEEPTTL')
  return message
end)`,
);
