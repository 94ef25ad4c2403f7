// Lua shared by the scripts that make or take dead letters. A bucket's letters: `{b}y`, a hash 'app,device,stream,epoch,offset' → letter
// and '#app' → how many the app has; `{b}w`, a zset of the same names by time. Letter, packed by cmsgpack: {account, message id, reason,
// attempts, at, 1 when set aside for a person, record}. At most so many a bucket: the oldest goes.
import type { StoreLimits } from '../../store-limits.ts';

export const LETTER_READ = `
local ACCOUNT_OF, ID, REASON, ATTEMPTS, AT, SET_ASIDE, RECORD = 1, 2, 3, 4, 5, 6, 7
local function bucket_of(key) return string.match(key, '^{%d+}') end
local function letter_name(app, device, stream, epoch, offset)
  return table.concat({ app, device, stream, epoch, offset }, ',')
end`;

export function letterWriteLua(limits: StoreLimits): string {
  return `${LETTER_READ}
local LETTERS_MAX = ${limits.deadLettersMax}
local function drop_letter(bucket, name)
  if call('HDEL', bucket .. 'y', name) == 0 then return end
  call('ZREM', bucket .. 'w', name)
  local count_field = '#' .. string.match(name, '^[^,]+')
  if call('HINCRBY', bucket .. 'y', count_field, -1) == 0 then call('HDEL', bucket .. 'y', count_field) end
end
-- Once for each name.
local function put_letter(bucket, name, letter)
  if call('HSETNX', bucket .. 'y', name, pack_row(letter)) == 0 then return end
  call('HINCRBY', bucket .. 'y', '#' .. string.match(name, '^[^,]+'), 1)
  call('ZADD', bucket .. 'w', letter[AT], name)
  if call('ZCARD', bucket .. 'w') > LETTERS_MAX then drop_letter(bucket, call('ZRANGE', bucket .. 'w', 0, 0)[1]) end
end
local LANES = { h = '@high', n = '@normal', l = '@low' }
-- Keeps an entry of a device's stream. 'about': {account, message id, reason, attempts, at, set aside}.
local function put_letter_of(prefix, stream, epoch, offset, about, record)
  local app, device = string.match(stream, '^./([^/]+)/(.*)$')
  about[RECORD] = record
  put_letter(bucket_of(prefix), letter_name(app, device, LANES[string.sub(stream, 1, 1)], epoch, offset), about)
end`;
}
