// Topic patterns of a token: what the app allows, narrowed by what a credential (or an older token) asks for. Pure.
import { LIMITS } from '../protocol/limits.ts';

const PATTERN = /^(\*|[A-Za-z0-9][A-Za-z0-9._:~@/-]{0,127}\*?)$/;

/** Whether the text is a name, or a prefix ending in `*`. */
export function isTopicPattern(value: unknown): value is string {
  return typeof value === 'string' && PATTERN.test(value);
}

/**
 * The wanted patterns that lie within the allowed ones; those that do not are left out, never widened.
 * @param wanted null: all that is allowed. At most LIMITS.topicPatternsMax come back.
 */
export function narrowTopics(allowed: readonly string[], wanted: readonly string[] | null): readonly string[] {
  const kept = wanted === null ? allowed : wanted.filter((pattern) => allowed.some((wide) => covers(wide, pattern)));
  return kept.slice(0, LIMITS.topicPatternsMax);
}

/** Whether every topic of `pattern` is one of `wide`. */
function covers(wide: string, pattern: string): boolean {
  return wide.endsWith('*') ? pattern.startsWith(wide.slice(0, -1)) : wide === pattern;
}
