// What a schema found wrong, in our words: the field's path, what was expected, what came. request.ts turns it into a RefusedError.
import type { ErrorObject } from 'ajv';

export interface Fault {
  /** `messages[3].target.device`; empty for the whole. */
  readonly field: string;
  readonly message: string;
}

/** @param root the checked value; `at` where it stands in the request, such as `messages[3]` */
export function describeFault(error: ErrorObject, root: unknown, at: string): Fault {
  const params = error.params as Readonly<Record<string, unknown>>;
  const place = fieldOf(error.instancePath, at);
  const within = (name: unknown): string => (place === '' ? String(name) : `${place}.${String(name)}`);
  switch (error.keyword) {
    case 'required':
      return fault(within(params['missingProperty']), 'is missing');
    case 'additionalProperties':
      return fault(within(params['additionalProperty']), 'is not a known field');
    case 'propertyNames':
      return fault(within(params['propertyName']), 'expected a shorter name');
    case 'maxProperties':
      return fault(place, `expected at most ${String(params['limit'])} fields`);
    default:
      return fault(
        place,
        `expected ${expectedBy(error.keyword, params)}, got ${describe(valueAt(root, error.instancePath))}`,
      );
  }
}

function fault(field: string, problem: string): Fault {
  return { field, message: `${field === '' ? 'body' : field}: ${problem}` };
}

function expectedBy(keyword: string, params: Readonly<Record<string, unknown>>): string {
  const limit = String(params['limit']);
  switch (keyword) {
    case 'type': {
      const types = [params['type']].flat().map((type) => WORDS[String(type)] ?? String(type));
      return types.join(' or ');
    }
    case 'enum':
      return `one of ${(params['allowedValues'] as readonly unknown[]).join(', ')}`;
    case 'const':
      return String(params['allowedValue']);
    case 'minimum':
      return `at least ${limit}`;
    case 'maximum':
      return `at most ${limit}`;
    case 'minLength':
      return `at least ${limit} characters`;
    case 'maxLength':
      return `at most ${limit} characters`;
    case 'minItems':
      return `at least ${limit} items`;
    case 'maxItems':
      return `at most ${limit} items`;
    default:
      return `what ${keyword} asks for`;
  }
}

const WORDS: Readonly<Record<string, string>> = {
  object: 'an object',
  array: 'a list',
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

function fieldOf(instancePath: string, at: string): string {
  let field = at;
  for (const part of instancePath.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    field += /^\d+$/.test(name) ? `[${name}]` : field === '' ? name : `.${name}`;
  }
  return field;
}

function valueAt(root: unknown, instancePath: string): unknown {
  let value = root;
  for (const part of instancePath.split('/').slice(1))
    value = (value as Readonly<Record<string, unknown>>)[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  return value;
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'string')
    return value.length > 40 ? `a text of ${value.length} characters` : JSON.stringify(value);
  if (typeof value === 'object') return 'an object';
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value;
}
