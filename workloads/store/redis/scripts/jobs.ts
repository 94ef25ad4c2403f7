// Jobs, in a few fixed buckets: `{b}J`, a hash app/id → job, and `{b}T`, a zset of the same names by when they are due; a claim moves a
// job to when it runs out. A job, packed by cmsgpack: {kind, claims, due at, payload}.
import { aScript, COMMON } from './script.ts';

/** Key: `{b}J`. Arguments: app/id, kind, due at, claims, payload. One that is there stays. */
export const PUT_JOB = aScript(
  'put-job',
  { flags: '', itemsMax: 32 },
  COMMON,
  `
return for_each(5, function(key, a)
  local job = { ARGV[a + 1], tonumber(ARGV[a + 3]), tonumber(ARGV[a + 2]), ARGV[a + 4] }
  if call('HSETNX', key, ARGV[a], pack_row(job)) == 0 then return 0 end
  call('ZADD', string.sub(key, 1, -2) .. 'T', ARGV[a + 2], ARGV[a])
  return 1
end)`,
);

/** Key: `{b}J`. Argument: most. Reply: how many are due. */
export const COUNT_DUE_JOBS = aScript(
  'count-due-jobs',
  { flags: 'no-writes', itemsMax: 16 },
  COMMON,
  `
local now = time_ms()
return for_each(1, function(key, a)
  return #call('ZRANGEBYSCORE', string.sub(key, 1, -2) .. 'T', '-inf', now, 'LIMIT', 0, ARGV[a])
end)`,
);

/** Key: `{b}J`. Arguments: most, for how long. Reply: {{app/id, kind, due at, claims before, payload}, …}. */
export const CLAIM_JOBS = aScript(
  'claim-jobs',
  { flags: 'allow-oom', itemsMax: 4 },
  COMMON,
  `
local now = time_ms()
return for_each(2, function(key, a)
  local times, claimed = string.sub(key, 1, -2) .. 'T', {}
  for _, name in ipairs(call('ZRANGEBYSCORE', times, '-inf', now, 'LIMIT', 0, ARGV[a])) do
    local packed = call('HGET', key, name)
    local job = unpack_row(packed)
    claimed[#claimed + 1] = { name, job[1], job[3], job[2], job[4] }
    job[2] = job[2] + 1
    call('HSET', key, name, pack_row(job))
    call('ZADD', times, now + ARGV[a + 1], name)
  end
  return claimed
end)`,
);

/** Key: `{b}J`. Arguments: app/id, due at, 1 when the payload is new, payload. */
export const DELAY_JOB = aScript(
  'delay-job',
  { flags: 'allow-oom', itemsMax: 16 },
  COMMON,
  `
return for_each(4, function(key, a)
  local packed = call('HGET', key, ARGV[a])
  if not packed then return 0 end
  local job = unpack_row(packed)
  job[3] = tonumber(ARGV[a + 1])
  if ARGV[a + 2] == '1' then job[4] = ARGV[a + 3] end
  call('HSET', key, ARGV[a], pack_row(job))
  call('ZADD', string.sub(key, 1, -2) .. 'T', ARGV[a + 1], ARGV[a])
  return 1
end)`,
);

/** Key: `{b}J`. Argument: app/id. */
export const FINISH_JOB = aScript(
  'finish-job',
  { flags: 'allow-oom', itemsMax: 32 },
  COMMON,
  `
return for_each(1, function(key, a)
  call('ZREM', string.sub(key, 1, -2) .. 'T', ARGV[a])
  return call('HDEL', key, ARGV[a])
end)`,
);

/** Key: `{b}J`. Reply: how many there are. */
export const COUNT_JOBS = aScript(
  'count-jobs',
  { flags: 'no-writes', itemsMax: 16 },
  COMMON,
  `
return for_each(0, function(key) return call('HLEN', key) end)`,
);
