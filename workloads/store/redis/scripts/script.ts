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
  /** A look at many buckets of one node, which in a Cluster are in many slots. */
  readonly isWalk: boolean;
}

interface ScriptOptions {
  readonly flags: '' | 'no-writes' | 'allow-oom' | 'no-writes,allow-cross-slot-keys';
  readonly itemsMax: number;
}

/** Builds a script from pieces of Lua. `flags`: '' (writes), 'no-writes', 'allow-oom' (frees memory). */
export function aScript(name: string, options: ScriptOptions, ...pieces: readonly string[]): Script {
  const { flags, itemsMax } = options;
  const shebang = flags === '' ? '#!lua' : `#!lua flags=${flags}`;
  const text = [shebang, ...pieces].join('\n');
  const isWalk = flags.includes('cross-slot');
  return { name, text, sha1: createHash('sha1').update(text).digest('hex'), itemsMax, isWalk };
}

/**
 * Builds a script that looks at many buckets of its node in one call, so that a walk over all of them is some dozens of calls and not
 * thousands. It only reads, and has `for_each` over keys that are arguments: the slot of the one declared is all that Redis checks first.
 */
export function aWalk(name: string, itemsMax: number, ...pieces: readonly string[]): Script {
  return aScript(name, { flags: 'no-writes,allow-cross-slot-keys', itemsMax }, COMMON, WALK, ...pieces);
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

/** The keys of a walk stand before its items' other arguments. */
const WALK = `
local function for_each(arity, act)
  local replies, n = {}, (#ARGV - 2) / (arity + 1)
  for i = 1, n do replies[i] = act(ARGV[2 + i], 3 + n + (i - 1) * arity) end
  return replies
end`;
