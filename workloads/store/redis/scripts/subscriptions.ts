// Durable subscriptions in the slot of the device: rows with cursors (cursor-lib.ts). ../subscriptions.ts orders these steps and those
// in the topics' slots (subscribers.ts).
import { CURSORS } from './cursor-lib.ts';
import { ROUTE_READ } from './device-lib.ts';
import { LEDGER } from './outcome-lib.ts';
import { aScript, COMMON } from './script.ts';

/**
 * Key: the device's prefix. Arguments: name, JSON [[topic, filter or false (as it is), name of the subscription], …]. New rows are marked
 * as being entered. Reply: the rows of these topics, or nil (no such device).
 */
export const SUBSCRIBE = aScript(
  'subscribe',
  { flags: '', itemsMax: 8 },
  COMMON,
  CURSORS,
  `
return for_each(2, function(prefix, a)
  local name, wanted, answer = ARGV[a], cjson.decode(ARGV[a + 1]), {}
  if call('HEXISTS', prefix .. 'd', name) == 0 then return false end
  local rows = load_cursors(prefix, name)
  local found = by_topic(rows)
  for _, want in ipairs(wanted) do
    local row = found[want[1]]
    if not row then
      row = { want[1], '', 0, '', 0, '+' .. want[3] }
      rows[#rows + 1] = row
      found[want[1]] = row
    end
    if want[2] and mark_of(row) ~= '-' then row[FILTER] = want[2] end
    answer[#answer + 1] = row
  end
  save_marks(prefix, name, rows)
  return answer
end)`,
);

/** Key: the device's prefix. Arguments: name, JSON [topic, …]. Marks the rows as to be removed. Reply: those. */
export const UNSUBSCRIBE = aScript(
  'unsubscribe',
  { flags: 'allow-oom', itemsMax: 8 },
  COMMON,
  CURSORS,
  `
return for_each(2, function(prefix, a)
  local rows, answer = load_cursors(prefix, ARGV[a]), {}
  local found = by_topic(rows)
  for _, topic in ipairs(cjson.decode(ARGV[a + 1])) do
    local row = found[topic]
    if row and row[MARKED] ~= '' then
      leave(row)
      answer[#answer + 1] = row
    end
  end
  if #answer > 0 then save_marks(prefix, ARGV[a], rows) end
  return answer
end)`,
);

/** Key: the device's prefix. Argument: name. Reply: its rows. */
export const CURSORS_NOW = aScript(
  'cursors',
  { flags: 'no-writes', itemsMax: 16 },
  COMMON,
  CURSORS,
  `
return for_each(1, function(prefix, a) return load_cursors(prefix, ARGV[a]) end)`,
);

/**
 * Key: the device's prefix. Arguments: name, JSON [[topic, name of the subscription, epoch, offset], …]: they were entered in their
 * topics' slots. Reply: 1 for each whose row stands now, else 0 (it was left meanwhile).
 */
export const CONFIRM = aScript(
  'confirm',
  { flags: 'allow-oom', itemsMax: 8 },
  COMMON,
  CURSORS,
  `
return for_each(2, function(prefix, a)
  local rows, answer = load_cursors(prefix, ARGV[a]), {}
  local found = by_topic(rows)
  for i, entered in ipairs(cjson.decode(ARGV[a + 1])) do
    local row = found[entered[1]]
    if row and row[MARKED] == '+' .. entered[2] then
      row[EPOCH], row[OFFSET], row[MARKED] = entered[3], entered[4], '=' .. entered[2]
    end
    answer[i] = row and row[MARKED] == '=' .. entered[2] and 1 or 0
  end
  save_marks(prefix, ARGV[a], rows)
  return answer
end)`,
);

/**
 * Key: the device's prefix. Arguments: name, JSON [[topic, name of the subscription, joined, head], …]: they were removed in their topics'
 * slots (joined -1: they were not there). What they had not settled counts as cancelled. Reply: 1.
 */
export const DROP_ROWS = aScript(
  'drop-rows',
  { flags: 'allow-oom', itemsMax: 8 },
  COMMON,
  LEDGER,
  CURSORS,
  `
return counting(for_each(2, function(prefix, a)
  local rows, gone, kept = load_cursors(prefix, ARGV[a]), {}, {}
  for _, left in ipairs(cjson.decode(ARGV[a + 1])) do gone[left[1]] = left end
  for _, row in ipairs(rows) do
    local left = gone[row[TOPIC]]
    if left and row[MARKED] == '-' .. left[2] then
      local from = row[OFFSET] < 0 and left[3] or row[OFFSET]
      if left[3] >= 0 and left[4] > from then count(string.match(ARGV[a], '^[^/]+'), 'c', left[4] - from) end
    else
      kept[#kept + 1] = row
    end
  end
  if #kept < #rows then save_marks(prefix, ARGV[a], kept) end
  return 1
end))`,
);

/**
 * Key: the device's prefix. Arguments: name, generation, JSON [[topic, epoch, from, offset, filtered, expired, cancelled, dead,
 * attempts], …]. Within an epoch no cursor goes back. A move from elsewhere than the stored offset counts what is above that, as acked.
 */
export const SAVE_CURSORS = aScript(
  'save-cursors',
  { flags: '', itemsMax: 8 },
  COMMON,
  LEDGER,
  ROUTE_READ,
  CURSORS,
  `
local function count_move(app, row, move)
  local above = move[4] - row[OFFSET]
  if above <= 0 then return end
  if row[TOPIC] == '$all' then return count(app, 'u', above) end
  local others = 0
  if move[3] == row[OFFSET] then
    for i, letter in ipairs({ 'f', 'x', 'c', 'd' }) do
      local n = math.min(move[4 + i], above - others)
      others = others + n
      count(app, letter, n)
    end
  end
  count(app, 'a', above - others)
end
return counting(for_each(3, function(prefix, a)
  local device = load_row(prefix, ARGV[a])
  if not device or tonumber(ARGV[a + 1]) < device[GENERATION] then return 0 end
  local rows, changed, app = load_cursors(prefix, ARGV[a]), false, string.match(ARGV[a], '^[^/]+')
  local found = by_topic(rows)
  for _, move in ipairs(cjson.decode(ARGV[a + 2])) do
    local row = found[move[1]]
    if not row and move[1] == '$all' then
      row = { '$all', move[2], move[3], '', 0, '' }
      rows[#rows + 1] = row
      found['$all'] = row
      changed = true
    end
    if row and stands(row) and (row[EPOCH] ~= move[2] or row[OFFSET] < move[4] or (row[OFFSET] == move[4] and row[TRIES] ~= move[9])) then
      count_move(app, row, move)
      row[EPOCH], row[OFFSET], row[TRIES] = move[2], move[4], move[9]
      changed = true
    end
  end
  if changed then save_cursors(prefix, ARGV[a], rows) end
  return 1
end))`,
);

/** Key: the device's prefix. Arguments: name, generation, topic, epoch, offset, attempts: of the entry at that offset, above the cursor. */
export const SAVE_TOPIC_ATTEMPTS = aScript(
  'save-topic-attempts',
  { flags: 'allow-oom', itemsMax: 16 },
  COMMON,
  ROUTE_READ,
  CURSORS,
  `
return for_each(6, function(prefix, a)
  local device = load_row(prefix, ARGV[a])
  if not device or tonumber(ARGV[a + 1]) ~= device[GENERATION] then return 0 end
  local rows = load_cursors(prefix, ARGV[a])
  local row = by_topic(rows)[ARGV[a + 2]]
  if not row or row[EPOCH] ~= ARGV[a + 3] or row[OFFSET] >= tonumber(ARGV[a + 4]) then return 0 end
  row[TRIES] = tonumber(ARGV[a + 5])
  save_cursors(prefix, ARGV[a], rows)
  return 1
end)`,
);
