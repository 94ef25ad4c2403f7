// Messages, their records and recipients: strings with a TTL, beside each other in the message's bucket. A message, packed by cmsgpack:
// {target as JSON, lane, state, accepted at, due at, expires at, recipients, chunks, chunks done, options}.
import { aScript, COMMON } from './script.ts';

const KEEP = `
local now = time_ms()
-- What is there stays.
local function keep(key, bytes, due, kept_ms, until_ms)
  local ends = math.max(math.max(now, tonumber(due)) + kept_ms, tonumber(until_ms))
  call('SET', key, bytes, 'PXAT', ends, 'NX')
  return 1
end`;

/** Key: the message's. Arguments: its values as JSON, due at, how long it is kept from then. */
export const PUT_MESSAGE = aScript(
  'put-message',
  { flags: '', itemsMax: 32 },
  COMMON,
  KEEP,
  `
return for_each(3, function(key, a) return keep(key, pack_row(cjson.decode(ARGV[a])), ARGV[a + 1], ARGV[a + 2], 0) end)`,
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
  `
return for_each(0, function(key)
  local packed = call('GET', key)
  return packed and unpack_row(packed)
end)`,
);

/** Key: the message's. Arguments: new state or '', chunks done or '', states expected separated by spaces. Reply: its values now, or nil. */
export const CHANGE_MESSAGE = aScript(
  'change-message',
  { flags: 'allow-oom', itemsMax: 16 },
  COMMON,
  `
local STATE, DONE = 3, 9
return for_each(3, function(key, a)
  local packed = call('GET', key)
  local message = packed and unpack_row(packed)
  if not message or not string.find(' ' .. ARGV[a + 2] .. ' ', ' ' .. message[STATE] .. ' ', 1, true) then return false end
  if ARGV[a] ~= '' then message[STATE] = ARGV[a] end
  if ARGV[a + 1] ~= '' then message[DONE] = tonumber(ARGV[a + 1]) end
  call('SET', key, pack_row(message), 'KEEPTTL')
  return message
end)`,
);
