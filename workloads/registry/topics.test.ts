import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../protocol/limits.ts';
import { isTopicPattern, narrowTopics } from './topics.ts';

const cases: readonly [title: string, wanted: readonly string[] | null, got: readonly string[]][] = [
  ['all when none are asked for', null, ['news', 'chat.*']],
  ['none when an empty list is asked for', [], []],
  ['a name under a prefix', ['chat.a'], ['chat.a']],
  ['a narrower prefix', ['chat.team-*'], ['chat.team-*']],
  ['not a wider prefix', ['cha*', '*'], []],
  ['not a prefix of a name', ['news*', 'new*'], []],
  ['not other names', ['sports', 'news'], ['news']],
];
for (const [title, wanted, got] of cases)
  test(`of news and chat.* a credential gets ${title}`, () => {
    assert.deepEqual(narrowTopics(['news', 'chat.*'], wanted), got);
  });

test('a token carries the most patterns there may be and not one more', () => {
  const many = Array.from({ length: LIMITS.topicPatternsMax + 1 }, (_, i) => `t${i}`);
  assert.equal(narrowTopics(many, null).length, LIMITS.topicPatternsMax);
  assert.equal(narrowTopics(['*'], many).length, LIMITS.topicPatternsMax);
});

test('a pattern is a topic name, a prefix with * at its end, or * alone', () => {
  const good = ['news', 'chat.*', '*', 'a'.repeat(128), `${'a'.repeat(128)}*`];
  assert.deepEqual(
    good.map(isTopicPattern),
    good.map(() => true),
  );
  const bad = ['', '.x', 'a*b', '**', '$all', 'a b', 'a'.repeat(129), 7, null];
  assert.deepEqual(
    bad.map(isTopicPattern),
    bad.map(() => false),
  );
});
