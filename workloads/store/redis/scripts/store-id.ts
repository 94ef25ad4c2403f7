// The name of a node's data: made once, and anew when the node was promoted, since a replica may have lacked the tail (R3). It starts
// with the format of the data, so that another version's are not taken for ours.
import { aScript, COMMON } from './script.ts';

/** How the ids of stores begin whose keys and values are as the scripts here have them. */
export const FORMAT = '2-';

/** Key: `{bucket}S`. Arguments: a fresh id, the replication id the node was promoted from ('' for none). Reply: the id. */
export const STORE_ID = aScript(
  'store-id',
  { flags: '', itemsMax: 1 },
  COMMON,
  `
return for_each(2, function(key, a)
  local id, from = unpack(call('HMGET', key, 'id', 'promoted-from'))
  if id and string.sub(id, 1, 2) ~= '${FORMAT}' then return id end
  if id and (ARGV[a + 1] == '' or from == ARGV[a + 1]) then return id end
  call('HSET', key, 'id', ARGV[a], 'promoted-from', ARGV[a + 1])
  return ARGV[a]
end)`,
);
