// Dead letters of a bucket (dead-letter-lib.ts): put, paged, counted, changed. A redrive appends to the device's stream in the same step.
import { appendLua } from './append-lib.ts';
import { LETTER_READ, letterWriteLua } from './dead-letter-lib.ts';
import { aScript, aWalk, COMMON } from './script.ts';
import type { Script } from './script.ts';
import type { StoreLimits } from '../../store-limits.ts';

/** Key: `{b}y`. Arguments: name, account, message id, reason, attempts, 1 when set aside, record. Kept once. */
export function putLetterScript(limits: StoreLimits): Script {
  return aScript(
    'put-letter',
    { flags: '', itemsMax: 16 },
    COMMON,
    letterWriteLua(limits),
    `
local now = time_ms()
return for_each(7, function(key, a)
  local letter = { ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], tonumber(ARGV[a + 4]), now, tonumber(ARGV[a + 5]), ARGV[a + 6] }
  put_letter(bucket_of(key), ARGV[a], letter)
  return 1
end)`,
  );
}

/** A walk. Argument: app. Reply for a bucket with letters of it: how many. */
export const COUNT_LETTERS = aWalk(
  'count-letters',
  `
return for_each_bucket(1, function(bucket, a) return tonumber(call('HGET', bucket .. 'y', '#' .. ARGV[a]) or nil) end)`,
);

/** Key: `{b}y`. Argument: name. Reply: the letter or nil. */
export const GET_LETTER = aScript(
  'get-letter',
  { flags: 'no-writes', itemsMax: 32 },
  COMMON,
  `
return for_each(1, function(key, a)
  local packed = call('HGET', key, ARGV[a])
  return packed and unpack_row(packed)
end)`,
);

/**
 * Key: `{b}y`. Arguments: start of the names wanted ('app,' or 'app,device,'), '' or '0' or '1' (set aside), after (time, name; time '' for
 * the start), most. Reply: {1 when there is more, name, letter, …}, oldest first, and not much more than 1 MiB of records.
 */
export const LETTERS_PAGE = aScript(
  'letters-page',
  { flags: 'no-writes', itemsMax: 1 },
  COMMON,
  LETTER_READ,
  `
local BYTES_MAX = 1048576
return for_each(5, function(key, a)
  local start, aside, at, after, limit = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], tonumber(ARGV[a + 4])
  local names = call('ZRANGEBYSCORE', bucket_of(key) .. 'w', at == '' and '-inf' or at, '+inf', 'WITHSCORES')
  local page, bytes = { 0 }, 0
  for i = 1, #names, 2 do
    local name = names[i]
    if string.sub(name, 1, #start) == start and (at == '' or names[i + 1] ~= at or name > after) then
      local letter = unpack_row(call('HGET', key, name))
      if aside == '' or letter[SET_ASIDE] == tonumber(aside) then
        if #page > 2 * limit or bytes > BYTES_MAX then
          page[1] = 1
          return page
        end
        page[#page + 1] = name
        page[#page + 1] = letter
        bytes = bytes + #letter[RECORD]
      end
    end
  end
  return page
end)`,
);

/** Replies of the change that are numbers; others are {epoch, offset, prev, duplicate, lane letter, record}. */
export const LETTER_UNKNOWN = 0;
export const LETTER_CHANGED = 1;
/** And beyond: APPEND_REFUSALS. */
export const REDRIVE_REFUSED = 2;

/**
 * Key: `{b}y`. Arguments: name, action, key of the stream for a redrive, message id, expires at, and a whole record in place of the one
 * kept ('': that one). The record gets this id and this expiry.
 */
export function changeLetterScript(limits: StoreLimits): Script {
  return aScript(
    'change-letter',
    { flags: '', itemsMax: 8 },
    appendLua(limits),
    `
rare()
local UNKNOWN, CHANGED, REFUSED = ${LETTER_UNKNOWN}, ${LETTER_CHANGED}, ${REDRIVE_REFUSED}
local function set_aside(key, name, letter, value)
  letter[SET_ASIDE] = value
  call('HSET', key, name, pack_row(letter))
  return CHANGED
end
local function renamed(record, id, expires)
  if #record < 54 or string.byte(record) ~= 2 then return record end
  return string.sub(record, 1, 10) .. struct.pack('<d', expires) .. id .. string.sub(record, 45)
end
local function redrive(key, a, letter)
  local id, expires = ARGV[a + 3], tonumber(ARGV[a + 4])
  local row = call('HGET', (split(ARGV[a + 2])) .. 'd', string.match(ARGV[a + 2], 'm./(.*)$'))
  -- Another account on the device reads nothing of the one before.
  if not row or unpack_row(row)[1] ~= letter[ACCOUNT_OF] then return REFUSED + DEVICE_UNKNOWN end
  local record = renamed(ARGV[a + 5] ~= '' and ARGV[a + 5] or letter[RECORD], id, expires)
  local reply = append(ARGV[a + 2], id, record, expires, '')
  if type(reply) == 'number' then return REFUSED + reply end
  drop_letter(bucket_of(key), ARGV[a])
  local _, stream = split(ARGV[a + 2])
  reply[5], reply[6] = string.sub(stream, 1, 1), record
  return reply
end
return counting(for_each(6, function(key, a)
  local name, action = ARGV[a], ARGV[a + 1]
  local packed = call('HGET', key, name)
  if not packed then return UNKNOWN end
  local letter = unpack_row(packed)
  if action == 'redrive' then return redrive(key, a, letter) end
  if action ~= 'drop' then return set_aside(key, name, letter, action == 'hold' and 1 or 0) end
  drop_letter(bucket_of(key), name)
  return CHANGED
end))`,
  );
}
