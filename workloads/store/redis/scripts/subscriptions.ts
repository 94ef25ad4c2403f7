// Durable subscriptions: a device's topics and cursors are one packed value (R5, R12): {topic, epoch ('' for none), offset, …}.
import { ROUTE_READ } from './device-lib.ts';
import { aScript, COMMON } from './script.ts';

const CURSORS = `
local function load_cursors(prefix, name)
  local packed = call('HGET', prefix .. 'u', name)
  return packed and unpack_row(packed) or {}
end
local function save_cursors(prefix, name, cursors)
  if #cursors == 0 then call('HDEL', prefix .. 'u', name) else call('HSET', prefix .. 'u', name, pack_row(cursors)) end
end
local function places(cursors)
  local at = {}
  for i = 1, #cursors, 3 do at[cursors[i]] = i end
  return at
end
local function add(cursors, at, topic, epoch, offset)
  at[topic] = #cursors + 1
  cursors[#cursors + 1] = topic
  cursors[#cursors + 1] = epoch
  cursors[#cursors + 1] = offset
end`;

/** Key: the device's prefix. Arguments: name, JSON [topic, epoch, offset, …]. Reply: the cursors of these topics, or nil (no such device). */
export const SUBSCRIBE = aScript(
  'subscribe',
  { flags: '', itemsMax: 8 },
  COMMON,
  CURSORS,
  `
return for_each(2, function(prefix, a)
  local name, wanted = ARGV[a], cjson.decode(ARGV[a + 1])
  if call('HEXISTS', prefix .. 'd', name) == 0 then return false end
  local cursors = load_cursors(prefix, name)
  local at, answer = places(cursors), {}
  for i = 1, #wanted, 3 do
    if not at[wanted[i]] then add(cursors, at, wanted[i], wanted[i + 1], wanted[i + 2]) end
    for j = at[wanted[i]], at[wanted[i]] + 2 do answer[#answer + 1] = cursors[j] end
  end
  save_cursors(prefix, name, cursors)
  return answer
end)`,
);

/** Key: the device's prefix. Arguments: name, JSON [topic, …]. */
export const UNSUBSCRIBE = aScript(
  'unsubscribe',
  { flags: 'allow-oom', itemsMax: 8 },
  COMMON,
  CURSORS,
  `
return for_each(2, function(prefix, a)
  local gone, kept = {}, {}
  for _, topic in ipairs(cjson.decode(ARGV[a + 1])) do gone[topic] = true end
  local cursors = load_cursors(prefix, ARGV[a])
  for i = 1, #cursors, 3 do
    if not gone[cursors[i]] then
      for j = i, i + 2 do kept[#kept + 1] = cursors[j] end
    end
  end
  if #kept < #cursors then save_cursors(prefix, ARGV[a], kept) end
  return 1
end)`,
);

/** Key: the device's prefix. Arguments: name, generation, JSON [topic, epoch, offset, …]. Within an epoch no cursor goes back. */
export const SAVE_CURSORS = aScript(
  'save-cursors',
  { flags: '', itemsMax: 8 },
  COMMON,
  ROUTE_READ,
  CURSORS,
  `
return for_each(3, function(prefix, a)
  local row = load_row(prefix, ARGV[a])
  if not row or tonumber(ARGV[a + 1]) < row[GENERATION] then return 0 end
  local moved, cursors = cjson.decode(ARGV[a + 2]), load_cursors(prefix, ARGV[a])
  local at, changed = places(cursors), false
  for i = 1, #moved, 3 do
    local topic, epoch, offset = moved[i], moved[i + 1], moved[i + 2]
    if not at[topic] and topic == '$all' then
      add(cursors, at, topic, epoch, offset)
      changed = true
    end
    local j = at[topic]
    if j and (cursors[j + 1] ~= epoch or cursors[j + 2] < offset) then
      cursors[j + 1], cursors[j + 2] = epoch, offset
      changed = true
    end
  end
  if changed then save_cursors(prefix, ARGV[a], cursors) end
  return 1
end)`,
);
