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
  /** Arguments that are all those of the item before go as '': this script's first is never empty by itself. */
  readonly repeats: boolean;
}

interface ScriptOptions {
  readonly flags: '' | 'no-writes' | 'allow-oom' | 'no-writes,allow-cross-slot-keys';
  readonly itemsMax: number;
  readonly repeats?: boolean;
}

/** Builds a script from pieces of Lua. `flags`: '' (writes), 'no-writes', 'allow-oom' (frees memory). */
export function aScript(name: string, options: ScriptOptions, ...pieces: readonly string[]): Script {
  const { flags, itemsMax, repeats = false } = options;
  const shebang = flags === '' ? '#!lua' : `#!lua flags=${flags}`;
  const text = [shebang, dropUnused(inlineConstants(pieces.join('\n')))].join('\n');
  const isWalk = flags.includes('cross-slot');
  return { name, text, sha1: createHash('sha1').update(text).digest('hex'), itemsMax, isWalk, repeats };
}

/**
 * Puts constants (`local NAME, … = 1, 'text', …` where a line starts) in the place of their names, and drops comments. A call of a script
 * makes all its functions anew, and Lua looks for each local that one of them uses in a list of all of these.
 */
export function inlineConstants(lua: string): string {
  const values = new Map<string, string>();
  const rest = lua.replaceAll(
    /^local ([A-Z_]+(?:, [A-Z_]+)*) = (.+)\n/gm,
    (line: string, names: string, literals: string) => {
      const found = literals.match(/(?:^|(?<=, ))(?:\d+|'[^'\\]*')(?=, |$)/g) ?? [];
      if (found.join(', ') !== literals || found.length !== names.split(', ').length) return line;
      names.split(', ').forEach((name, i) => {
        if (values.has(name) && values.get(name) !== found[i])
          throw new Error(`${name} is ${values.get(name)} and ${found[i]} in one script`);
        values.set(name, found[i]!);
      });
      return '';
    },
  );
  const tokens = /'(?:[^'\\]|\\.)*'|--.*|\w+/g;
  return rest.replaceAll(tokens, (token) => (token.startsWith('--') ? '' : (values.get(token) ?? token)));
}

/** A function where a line starts: its name. It ends on its line, or at the next `end` where a line starts. */
const FUNCTION = /^local function (\w+)(?:.* end\n|(?:.*\n)+?end\n)/gm;

/** Leaves out functions that the script does not use: each costs 0.1–0.3 µs in each call. */
export function dropUnused(lua: string): string {
  const uses = (name: string): number => lua.match(new RegExp(`\\b${name}\\b`, 'g'))!.length;
  const kept = lua.replaceAll(FUNCTION, (text: string, name: string) => {
    const within = text.match(new RegExp(`\\b${name}\\b`, 'g'))!.length;
    return uses(name) > within ? text : '';
  });
  return kept === lua ? lua : dropUnused(kept);
}

/**
 * Puts off the making of functions that few calls use: `rare()`, which may be called again, makes them. It stands where the last of them
 * stood, so that they find what is above them.
 */
export function putOff(names: readonly string[], lua: string): string {
  const made: string[] = [];
  let left = names.length;
  const rest = lua.replaceAll(FUNCTION, (text: string, name: string) => {
    if (!names.includes(name)) return text;
    made.push(text.replace('local function', 'function'));
    return --left > 0 ? '' : `local function rare()\nif ${name} then return end\n${made.join('')}end\n`;
  });
  if (left !== 0) throw new Error(`expected a function for each of ${names.join(', ')}`);
  return `local ${names.join(', ')}\n${rest}`;
}

/**
 * Builds a script that looks at many buckets of its node in one call, so that a walk over all of them is some dozens of calls and not
 * thousands. It only reads. Its first argument is a list of buckets (../topology.ts walkBuckets); act('{bucket}', first of the other
 * arguments) answers what it found, or nil; the reply is {bucket, what was found, …}. Redis checks the slot of the key alone, which
 * is that of the first bucket, and refuses keys that the node does not have.
 */
export function aWalk(name: string, ...pieces: readonly string[]): Script {
  return aScript(name, { flags: 'no-writes,allow-cross-slot-keys', itemsMax: 2 }, COMMON, WALK, ...pieces);
}

/** Names used by all scripts: time in ms, and the loop over the items. */
export const COMMON = `
local string, struct = string, struct
local call, floor, unpack_row, pack_row, unpack_limit = redis.call, math.floor, cmsgpack.unpack, cmsgpack.pack, cmsgpack.unpack_limit
-- unpack_row for a row of n values, 15 at most: its table has its size at once, and does not grow value by value.
local function values_of(_, ...) return { ... } end
local function unpack_values(packed, n) return values_of(unpack_limit(packed, n, 1)) end
local function time_ms()
  local t = call('TIME')
  return t[1] * 1000 + floor(t[2] / 1000)
end
-- Answers act(key, first argument's index) for each key.
local function for_each(arity, act)
  local replies = {}
  for i = 1, #KEYS do replies[i] = act(KEYS[i], 3 + (i - 1) * arity) end
  return replies
end
-- pack_row for replies that are packed already, as they are stored, or false.
local function join_packed(replies)
  for i = 1, #replies do replies[i] = replies[i] or '\\192' end
  return '\\221' .. struct.pack('>I4', #replies) .. table.concat(replies)
end`;

const WALK = `
local function for_each_bucket(arity, act)
  return for_each(1 + arity, function(key, a)
    local found = {}
    for bucket in string.gmatch(ARGV[a], '%d+') do
      local reply = act('{' .. bucket .. '}', a + 1)
      if reply then
        found[#found + 1] = tonumber(bucket)
        found[#found + 1] = reply
      end
    end
    return found
  end)
end`;
