// Lua shared by the scripts that end deliveries: what a stream remembers of each message id, and the counters of the ledger (R12).
// Of an id: its offset, ':' and the offset before it unless that is one less; once its entry has ended also a letter (why), when
// (6 bytes) and the gateway's name. Counters: a hash `{bucket}l`, 'app letter' → count. Increments of all items of a call go to the
// ledger of the first one's bucket, one command for each app and counter; the ledger is the sum over all buckets.
import type { EndState, Ledger } from '../../port.ts';

/** Letter → how a delivery ended. `o`: dead at once, since the stream was full. */
export const END_STATES: Readonly<Record<string, EndState>> = {
  a: 'acked',
  d: 'dead',
  o: 'dead',
  x: 'expired',
  c: 'cancelled',
  s: 'satisfied',
  f: 'filtered',
};
/** How a delivery ended → letter. */
export const END_LETTERS: Readonly<Record<EndState, string>> = {
  acked: 'a',
  dead: 'd',
  expired: 'x',
  cancelled: 'c',
  satisfied: 's',
  filtered: 'f',
};
/** Counter → its letter in the ledger. */
export const LEDGER_LETTERS: Readonly<Record<Exclude<keyof Ledger, 'untracked'>, string>> = {
  accepted: 'A',
  acked: 'a',
  expired: 'x',
  dead: 'd',
  cancelled: 'c',
  filtered: 'f',
};
/** Of `$all`. */
export const UNTRACKED_LETTERS = { accepted: 'U', acked: 'u' } as const;

/** Counts by app; `counting` writes what for_each's items counted. */
export const LEDGER = `
local counted = {}
local COUNTED_AS = { s = 'c', o = 'd' }
local function count(app, letter, n)
  local of = counted[app]
  if not of then
    of = {}
    counted[app] = of
  end
  of[letter] = (of[letter] or 0) + n
end
local function counting(replies)
  local key = string.match(KEYS[1], '^{%d+}') .. 'l'
  for app, of in pairs(counted) do
    for letter, n in pairs(of) do
      if n > 0 then call('HINCRBY', key, app .. ' ' .. (COUNTED_AS[letter] or letter), n) end
    end
  end
  return replies
end
-- The app of a stream ('n/app/device').
local function app_of(stream) return string.sub(stream, 3, string.find(stream, '/', 3, true) - 1) end`;

/** Reads and writes what is known of an id. */
export const SEEN_READ = `
-- Offset, offset before, letter ('' while it waits), when, gateway.
local function parse_seen(value)
  local offset, prev, ended = string.match(value, '^(%d+):?(%d*)(.*)$')
  offset = tonumber(offset)
  prev = prev == '' and offset - 1 or tonumber(prev)
  if ended == '' then return offset, prev, '' end
  return offset, prev, string.sub(ended, 1, 1), (struct.unpack('<I6', ended, 2)), string.sub(ended, 8)
end`;
export const OUTCOMES = `
local ACKED, EXPIRED, CANCELLED, DEAD, OVERFLOWN = 'a', 'x', 'c', 'd', 'o'
local function seen_as(offset, prev) return prev == offset - 1 and offset or offset .. ':' .. prev end
-- Where the record of an entry starts, and its message id.
local function record_at(entry) return HEAD_BYTES + 1 + string.byte(entry, HEAD_BYTES) end
local function id_of(entry)
  if string.byte(entry, HEAD_BYTES) > 0 then return string.sub(entry, HEAD_BYTES + 1, HEAD_BYTES + 26) end
  return string.sub(entry, HEAD_BYTES + 19, HEAD_BYTES + 44)
end
-- Whether one device's ack settles it for the others of the account: protocol/record.ts, flag 2 at byte 47 of the record, which starts
-- at 'at'.
local function is_satisfied_by_any(entry, at)
  return #entry - at >= 53 and string.byte(entry, at + 47) % 4 >= 2 and string.byte(entry, at) == 2
end
-- Adds to 'fields' that an entry has ended.
local function end_entry(fields, entry, letter, now, gateway)
  local offset, _, _, prev = header(entry)
  fields[#fields + 1] = id_of(entry)
  fields[#fields + 1] = seen_as(offset, prev) .. letter .. struct.pack('<I6', now) .. gateway
end`;
