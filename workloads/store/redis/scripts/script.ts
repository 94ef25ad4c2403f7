// What a Lua script is to the rest: a text and its SHA-1. Every script takes a batch: one key for each item, and a fixed number of
// arguments for each item behind two shared ones (ARGV[1]: the life, ARGV[2]: a fresh epoch name). It answers one reply an item,
// in order. The shebang refuses a script that writes before it starts when memory is full, so that none is done by half.
import { createHash } from 'node:crypto';

export interface Script {
  readonly name: string;
  readonly text: string;
  readonly sha1: string;
  /** Items of one call at most: a bound on how long Redis is held. */
  readonly itemsMax: number;
}

/** Builds a script from pieces of Lua. `flags`: '' (writes), 'no-writes', 'allow-oom' (frees memory). */
export function aScript(
  name: string,
  options: { flags: '' | 'no-writes' | 'allow-oom'; itemsMax: number },
  ...pieces: readonly string[]
): Script {
  const shebang = options.flags === '' ? '#!lua' : `#!lua flags=${options.flags}`;
  const text = [shebang, ...pieces].join('\n');
  return { name, text, sha1: createHash('sha1').update(text).digest('hex'), itemsMax: options.itemsMax };
}

/** Names used by all scripts: time in ms, and the loop over the items. */
export const COMMON = `
local call, floor, unpack_row, pack_row = redis.call, math.floor, cmsgpack.unpack, cmsgpack.pack
local function time_ms()
  local t = call('TIME')
  return t[1] * 1000 + floor(t[2] / 1000)
end
-- Answers act(key, first argument's index) for each key.
local function for_each(arity, act)
  local replies = {}
  for i = 1, #KEYS do replies[i] = act(KEYS[i], 3 + (i - 1) * arity) end
  return replies
end`;
