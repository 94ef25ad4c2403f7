import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidRulesError, parseRules, ruleFor } from './rules.ts';

test('the first rule that fits a kind is taken, by name or by prefix', () => {
  const rules = parseRules(
    JSON.stringify([
      { kinds: ['order', 'chat.room'], type: 'database' },
      { kinds: ['chat.*'], type: 'group-chat', url: null },
      { kinds: ['*'], type: 'webhook', url: 'https://business.example/in' },
    ]),
  );
  const chosen = ['order', 'orders', 'chat.room', 'chat.x', 'chat.', 'other'].map((kind) => ruleFor(rules, kind));
  assert.deepEqual(chosen, [0, 2, 0, 1, 1, 2]);
  assert.deepEqual(rules[1], { kinds: ['chat.*'], type: 'group-chat' });
});

test('no rule fits a kind that none names', () => {
  assert.equal(ruleFor(parseRules('[{"kinds":["a"],"type":"echo"}]'), 'b'), -1);
  assert.equal(ruleFor([], 'b'), -1);
});

for (const [what, text, problem] of [
  ['no JSON', '{', /handlers: expected JSON/],
  ['no list', '{}', /handlers: expected a list/],
  ['too many', JSON.stringify(Array.from({ length: 33 }, () => ({ kinds: ['a'], type: 'echo' }))), /at most 32/],
  ['no kinds', '[{"type":"echo"}]', /handlers\[0\]\.kinds/],
  ['a star in the middle', '[{"kinds":["a*b"],"type":"echo"}]', /handlers\[0\]\.kinds/],
  ['an unknown type', '[{"kinds":["a"],"type":"mail"}]', /handlers\[0\]\.type: expected one of database, webhook/],
  ['a webhook without url', '[{"kinds":["a"],"type":"webhook"}]', /handlers\[0\]\.url/],
  ['a webhook to a file', '[{"kinds":["a"],"type":"webhook","url":"file:///x"}]', /handlers\[0\]\.url/],
] as const)
  test(`${what} is refused by field`, () => {
    assert.throws(() => parseRules(text), { name: 'Error', message: problem });
    assert.throws(() => parseRules(text), InvalidRulesError);
  });
