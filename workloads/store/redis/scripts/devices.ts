// Devices: registration, the list of an account, tokens, closing; and idempotency keys. A registration touches three places
// (account, device, token), so it is three steps; what a crash between them leaves is put right by the checks of ../devices.ts.
import { CURSORS } from './cursor-lib.ts';
import { FORGET, ROUTE_READ, ROUTE_WRITE } from './device-lib.ts';
import { LEDGER } from './outcome-lib.ts';
import { aScript, COMMON } from './script.ts';
import { STREAM_READ } from './stream-lib.ts';
import { CLOSED_DEVICE_MS } from '../../store-limits.ts';

/** Key: the prefix of the account. Arguments: name of the account, device, most devices. Reply: 1, or 0 when full. */
export const ENTER_ACCOUNT = aScript(
  'enter-account',
  { flags: '', itemsMax: 16 },
  COMMON,
  `
return for_each(3, function(prefix, a)
  local packed = call('HGET', prefix .. 'a', ARGV[a])
  local devices = packed and unpack_row(packed) or {}
  for _, device in ipairs(devices) do if device == ARGV[a + 1] then return 1 end end
  if #devices >= tonumber(ARGV[a + 2]) then return 0 end
  devices[#devices + 1] = ARGV[a + 1]
  call('HSET', prefix .. 'a', ARGV[a], pack_row(devices))
  return 1
end)`,
);

/** Key: the prefix of the account. Arguments: name of the account, device. */
export const LEAVE_ACCOUNT = aScript(
  'leave-account',
  { flags: 'allow-oom', itemsMax: 16 },
  COMMON,
  `
return for_each(2, function(prefix, a)
  local packed = call('HGET', prefix .. 'a', ARGV[a])
  if not packed then return 0 end
  local kept = {}
  for _, device in ipairs(unpack_row(packed)) do if device ~= ARGV[a + 1] then kept[#kept + 1] = device end end
  if #kept == 0 then call('HDEL', prefix .. 'a', ARGV[a]) else call('HSET', prefix .. 'a', ARGV[a], pack_row(kept)) end
  return 1
end)`,
);

/** Key: the prefix of the account. Argument: its name. Reply: its devices, as entered. */
export const ACCOUNT_DEVICES = aScript(
  'account-devices',
  { flags: 'no-writes', itemsMax: 16 },
  COMMON,
  `
return for_each(1, function(prefix, a)
  local packed = call('HGET', prefix .. 'a', ARGV[a])
  return packed and unpack_row(packed) or {}
end)`,
);

const DEVICE_LIB = [COMMON, LEDGER, STREAM_READ, ROUTE_READ, ROUTE_WRITE, CURSORS, FORGET] as const;

/** Key: the prefix of the device. Arguments: name, account. Reply: {the account it had before or '', rows to be left (../subscriptions.ts)}. */
export const ENTER_DEVICE = aScript(
  'enter-device',
  { flags: '', itemsMax: 16 },
  ...DEVICE_LIB,
  `
return counting(for_each(2, function(prefix, a)
  local name, account = ARGV[a], ARGV[a + 1]
  local row = load_row(prefix, name)
  if row and row[ACCOUNT] == account then return { '', {} } end
  local before, leaving = '', nil
  if row then
    before = row[ACCOUNT]
    leaving = forget_belongings(prefix, name)
    drop_route(prefix, row)
    row[ACCOUNT], row[GENERATION], row[REVOKED] = account, row[GENERATION] + 1, time_ms()
  else
    local closed = call('GET', prefix .. 'z' .. name)
    local kept = closed and unpack_row(closed) or { 0, 0 }
    call('DEL', prefix .. 'z' .. name)
    row = { account, kept[1], kept[2], 0, 0 }
    leaving = load_cursors(prefix, name)
  end
  save_row(prefix, name, row)
  return { before, leaving }
end))`,
);

/** Key: the prefix of the device. Argument: name. Reply: {the account it had, rows to be left}, or nil. */
export const CLOSE_DEVICE = aScript(
  'close-device',
  { flags: 'allow-oom', itemsMax: 16 },
  ...DEVICE_LIB,
  `
return counting(for_each(1, function(prefix, a)
  local name = ARGV[a]
  local row = load_row(prefix, name)
  if not row then return false end
  local leaving = forget_belongings(prefix, name)
  drop_route(prefix, row)
  call('HDEL', prefix .. 'd', name)
  call('SET', prefix .. 'z' .. name, pack_row({ row[GENERATION] + 1, time_ms() }), 'PX', ${CLOSED_DEVICE_MS})
  return { row[ACCOUNT], leaving }
end))`,
);

/** Key: the token's. Arguments: account, device, expires at. */
export const PUT_TOKEN = aScript(
  'put-token',
  { flags: '', itemsMax: 16 },
  COMMON,
  `
return for_each(3, function(key, a)
  call('SET', key, pack_row({ ARGV[a], ARGV[a + 1], time_ms() }), 'PXAT', ARGV[a + 2])
  return 1
end)`,
);

/** Key: the token's. Reply: {account, device, given at} or nil. */
export const GET_TOKEN = aScript(
  'get-token',
  { flags: 'no-writes', itemsMax: 64 },
  COMMON,
  `
return for_each(0, function(key)
  local packed = call('GET', key)
  return packed and unpack_row(packed)
end)`,
);

/** Key: the idempotency key's. Arguments: message id, fingerprint, how long. Reply: {claimed, message id, fingerprint}. */
export const CLAIM_KEY = aScript(
  'claim-key',
  { flags: '', itemsMax: 32 },
  COMMON,
  `
return for_each(3, function(key, a)
  local held = call('SET', key, ARGV[a] .. ARGV[a + 1], 'NX', 'GET', 'PX', ARGV[a + 2])
  if held then return { 0, string.sub(held, 1, 26), string.sub(held, 27) } end
  return { 1, ARGV[a], ARGV[a + 1] }
end)`,
);
