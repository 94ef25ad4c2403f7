// How scripts are built: constants take the place of their names, what is not used goes, what is seldom used is put off.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dropUnused, inlineConstants, putOff } from './scripts/script.ts';

const CASES: readonly { title: string; lua: string; becomes: string }[] = [
  {
    title: 'numbers and texts take the place of their names',
    lua: "local A_B, C = 12, 'x, y'\nreturn m[A_B] .. C",
    becomes: "return m[12] .. 'x, y'",
  },
  {
    title: 'a name within another name or within a text is none',
    lua: "local AT, ID = 1, 2\nlocal function f(AT_ONCE, mID) return 'AT ID', AT_ONCE, mID, AT end",
    becomes: "local function f(AT_ONCE, mID) return 'AT ID', AT_ONCE, mID, 1 end",
  },
  {
    title: 'a text may have a quote or two dashes',
    lua: "local AT = 1\nreturn '\\'AT', '--', AT",
    becomes: "return '\\'AT', '--', 1",
  },
  { title: 'comments go', lua: 'local AT = 1\n-- AT first\nreturn AT -- AT last', becomes: '\nreturn 1 ' },
  {
    title: 'what is no constant stays a local',
    lua: 'local NAMES = { a = 1 }\nlocal SUM = 1 + 2\nlocal ONE, TWO = 1\nlocal f = f\n  local IN = 1\n',
    becomes: 'local NAMES = { a = 1 }\nlocal SUM = 1 + 2\nlocal ONE, TWO = 1\nlocal f = f\n  local IN = 1\n',
  },
  { title: 'the same constant may come twice', lua: 'local AT = 1\nlocal AT = 1\nreturn AT', becomes: 'return 1' },
];
for (const { title, lua, becomes } of CASES) test(title, () => assert.equal(inlineConstants(lua), becomes));

test('one name for two values is refused', () => {
  assert.throws(() => inlineConstants('local AT = 1\nlocal AT = 2\n'), /AT is 1 and 2 in one script/);
});

test('functions that are not used are left out, and those that only they used', () => {
  const lua =
    'local function a(x) return x end\nlocal function b(x)\n  return a(x)\nend\nlocal function c()\n  return c()\nend\nreturn 1';
  assert.equal(dropUnused(lua), 'return 1');
  const used = 'local function a(x) return x end\nlocal function b(x)\n  return a(x)\nend\nreturn b(1)';
  assert.equal(dropUnused(used), used);
});

test('functions that are put off are made together, where the last of them stood, the first time', () => {
  const lua =
    'local function a()\n  return 1\nend\nlocal function b() return 2 end\nlocal function c() return a() end\nreturn c()';
  const becomes = [
    'local a, c\nlocal function b() return 2 end\nlocal function rare()\nif c then return end',
    'function a()\n  return 1\nend\nfunction c() return a() end\nend\nreturn c()',
  ];
  assert.equal(putOff(['a', 'c'], lua), becomes.join('\n'));
  assert.throws(() => putOff(['a', 'd'], lua), /expected a function for each of a, d/);
});
