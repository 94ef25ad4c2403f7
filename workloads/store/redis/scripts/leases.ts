// Leases: one hash, a row for each gateway's name: {boot id, link address, connections, started at, expires at} (R7).
import { aScript, COMMON } from './script.ts';

const LEASE = `
local BOOT, STARTED, EXPIRES = 1, 4, 5
local now = time_ms()
local function load_lease(key, gateway)
  local packed = call('HGET', key, gateway)
  return packed and unpack_row(packed)
end`;

/** Arguments: gateway, boot id, link address, connections, started at, ttl. Reply: 1 kept, 0 void. */
export const RENEW_LEASE = aScript(
  'renew-lease',
  { flags: '', itemsMax: 8 },
  COMMON,
  LEASE,
  `
return for_each(6, function(key, a)
  local boot, started = ARGV[a + 1], tonumber(ARGV[a + 4])
  local held = load_lease(key, ARGV[a])
  if held and held[BOOT] ~= boot and held[EXPIRES] > now then
    if held[STARTED] > started or (held[STARTED] == started and held[BOOT] > boot) then return 0 end
  end
  call('HSET', key, ARGV[a], pack_row({ boot, ARGV[a + 2], tonumber(ARGV[a + 3]), started, now + ARGV[a + 5] }))
  return 1
end)`,
);

/** Arguments: gateway, boot id. */
export const DROP_LEASE = aScript(
  'drop-lease',
  { flags: 'allow-oom', itemsMax: 8 },
  COMMON,
  LEASE,
  `
return for_each(2, function(key, a)
  local held = load_lease(key, ARGV[a])
  if held and held[BOOT] == ARGV[a + 1] then call('HDEL', key, ARGV[a]) end
  return 1
end)`,
);

/** Reply: {gateway, boot id, link address, connections, started at, …} of the leases that have not run out. */
export const LEASES_NOW = aScript(
  'leases',
  { flags: 'no-writes', itemsMax: 1 },
  COMMON,
  LEASE,
  `
return for_each(0, function(key)
  local live, rows = {}, call('HGETALL', key)
  for i = 1, #rows, 2 do
    local lease = unpack_row(rows[i + 1])
    if lease[EXPIRES] > now then
      for _, value in ipairs({ rows[i], lease[1], lease[2], lease[3], lease[4] }) do live[#live + 1] = value end
    end
  end
  return live
end)`,
);

/** Removes the leases that have run out. */
export const SWEEP_LEASES = aScript(
  'sweep-leases',
  { flags: 'allow-oom', itemsMax: 1 },
  COMMON,
  LEASE,
  `
return for_each(0, function(key)
  local rows = call('HGETALL', key)
  for i = 1, #rows, 2 do
    if unpack_row(rows[i + 1])[EXPIRES] <= now then call('HDEL', key, rows[i]) end
  end
  return 1
end)`,
);

const ROLE_LEASE = `
local now = time_ms()
local function drop_past(key)
  local rows = call('HGETALL', key)
  for i = 1, #rows, 2 do
    if unpack_row(rows[i + 1])[3] <= now then call('HDEL', key, rows[i]) end
  end
end`;

/** Leases of a role, a hash boot id → {name, link address, expires at}. Arguments: boot id, name, link address, ttl. */
export const RENEW_ROLE_LEASE = aScript(
  'renew-role-lease',
  { flags: '', itemsMax: 8 },
  COMMON,
  ROLE_LEASE,
  `
return for_each(4, function(key, a)
  drop_past(key)
  call('HSET', key, ARGV[a], pack_row({ ARGV[a + 1], ARGV[a + 2], now + ARGV[a + 3] }))
  return 1
end)`,
);

/** Argument: boot id. */
export const DROP_ROLE_LEASE = aScript(
  'drop-role-lease',
  { flags: 'allow-oom', itemsMax: 8 },
  COMMON,
  `
return for_each(1, function(key, a) return call('HDEL', key, ARGV[a]) end)`,
);

/** Reply: {{boot id, name, link address}, …} of the leases that have not run out. */
export const ROLE_LEASES_NOW = aScript(
  'role-leases',
  { flags: 'no-writes', itemsMax: 4 },
  COMMON,
  ROLE_LEASE,
  `
return for_each(0, function(key)
  local live, rows = {}, call('HGETALL', key)
  for i = 1, #rows, 2 do
    local lease = unpack_row(rows[i + 1])
    if lease[3] > now then live[#live + 1] = { rows[i], lease[1], lease[2] } end
  end
  return live
end)`,
);
