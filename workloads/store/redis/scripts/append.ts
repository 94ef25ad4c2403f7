// Append: one entry an item (append-lib.ts). Key: the stream's meta. Arguments: message id, record, expires at, options ('', or 'r' or 'd'
// and a collapse key); all '' where they are those of the item before, as in a push to many. Reply: {epoch, offset, prev, duplicate}, or a
// number: APPEND_REFUSALS, APPEND_DEAD.
import { appendLua } from './append-lib.ts';
import { aScript } from './script.ts';
import type { Script } from './script.ts';
import type { StoreLimits } from '../../store-limits.ts';

export function appendScript(limits: StoreLimits): Script {
  const body = `
local id, record, expires, options
return pack_row(counting(for_each(4, function(key, a)
  if ARGV[a] ~= '' then id, record, expires, options = ARGV[a], ARGV[a + 1], tonumber(ARGV[a + 2]), ARGV[a + 3] end
  return append(key, id, record, expires, options)
end)))`;
  return aScript('append', { flags: '', itemsMax: 32, repeats: true }, appendLua(limits), body);
}
