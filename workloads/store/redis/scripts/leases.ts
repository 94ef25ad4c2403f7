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
