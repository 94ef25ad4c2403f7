// Which kind of message goes to which handler: the setting PUSHCLUSTER_UPSTREAM_HANDLERS, rendered by the operator from spec.upstream. Pure.

export type Rule =
  | { readonly kinds: readonly string[]; readonly type: 'database' | 'echo' | 'group-chat' }
  | { readonly kinds: readonly string[]; readonly type: 'webhook'; readonly url: string };

/** The setting is not of its form. */
export class InvalidRulesError extends Error {
  readonly code = 'invalid-rules';
}

const TYPES = ['database', 'webhook', 'echo', 'group-chat'] as const;
const KIND = /^([A-Za-z0-9._:-]{1,64}|[A-Za-z0-9._:-]{0,63}\*)$/;
const RULES_MAX = 32;

/** JSON text → rules. Throws InvalidRulesError that names the field. */
export function parseRules(text: string): readonly Rule[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InvalidRulesError('handlers: expected JSON', { cause: error });
  }
  if (!Array.isArray(value) || value.length > RULES_MAX)
    throw new InvalidRulesError(`handlers: expected a list of at most ${RULES_MAX}`);
  return value.map((row, i) => parseRule(row, `handlers[${i}]`));
}

function parseRule(value: unknown, at: string): Rule {
  if (typeof value !== 'object' || value === null) throw new InvalidRulesError(`${at}: expected an object`);
  const { kinds, type, url } = value as Record<string, unknown>;
  if (!isKinds(kinds)) throw new InvalidRulesError(`${at}.kinds: expected kinds, or prefixes of them ending in *`);
  const known = TYPES.find((name) => name === type);
  if (known === undefined) throw new InvalidRulesError(`${at}.type: expected one of ${TYPES.join(', ')}`);
  if (known !== 'webhook') return { kinds, type: known };
  if (typeof url !== 'string' || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new InvalidRulesError(`${at}.url: expected an http or https URL`);
  return { kinds, type: known, url };
}

function isKinds(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((kind) => typeof kind === 'string' && KIND.test(kind));
}

/** Place of the first rule that fits; -1: none does. Cost: O(rules × kinds). */
export function ruleFor(rules: readonly Rule[], kind: string): number {
  return rules.findIndex(({ kinds }) =>
    kinds.some((pattern) => (pattern.endsWith('*') ? kind.startsWith(pattern.slice(0, -1)) : pattern === kind)),
  );
}
