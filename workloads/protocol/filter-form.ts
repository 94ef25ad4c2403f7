// The form of a topic's filter, within its bounds. A subscribe frame carries it, the store keeps it as JSON text, and the gateway asks
// it about each message; all three go by what this file let through.
import type { TopicFilter } from './frames.ts';
import { InvalidFrameError, boundedList, numberAt, objectAt, show, textAt } from './forms.ts';
import { LIMITS } from './limits.ts';

const LEVEL_MAX = 9;
const TYPE_CHARS_MAX = 64;
const FIELD_CHARS_MAX = 64;
const VALUE_CHARS_MAX = 128;

/** A value that came as filter → filter, with the parts that this version knows. Throws InvalidFrameError that names the part. */
export function parseTopicFilter(value: unknown, at: string): TopicFilter {
  const { levelMin, types, fields } = objectAt(value, at);
  const filter: TopicFilter = {
    ...(levelMin === undefined ? {} : { levelMin: numberAt(levelMin, `${at}.levelMin`, [0, LEVEL_MAX]) }),
    ...(types === undefined ? {} : { types: parseTypes(types, `${at}.types`) }),
    ...(fields === undefined ? {} : { fields: parseFields(fields, `${at}.fields`) }),
  };
  const bytes = new TextEncoder().encode(JSON.stringify(filter)).length;
  if (bytes <= LIMITS.filterBytesMax) return filter;
  throw new InvalidFrameError(`${at}: expected at most ${LIMITS.filterBytesMax} bytes of JSON, got ${bytes}`);
}

function parseTypes(value: unknown, at: string): string[] {
  return boundedList(value, at, LIMITS.filterTypesMax).map((type, i) => textAt(type, `${at}[${i}]`, TYPE_CHARS_MAX));
}

function parseFields(value: unknown, at: string): NonNullable<TopicFilter['fields']> {
  const entries = Object.entries(objectAt(value, at));
  if (entries.length > LIMITS.filterFieldsMax)
    throw new InvalidFrameError(`${at}: expected at most ${LIMITS.filterFieldsMax} fields, got ${entries.length}`);
  return Object.fromEntries(
    entries.map(([name, values]) => {
      const field = `${at}.${textAt(name, at, FIELD_CHARS_MAX)}`;
      const taken = boundedList(values, field, LIMITS.filterValuesMax);
      return [name, taken.map((item, i) => fieldValueAt(item, `${field}[${i}]`))];
    }),
  );
}

function fieldValueAt(value: unknown, at: string): string | number | boolean {
  if (typeof value === 'boolean' || typeof value === 'number') return value;
  if (typeof value === 'string' && value.length <= VALUE_CHARS_MAX) return value;
  const got = typeof value === 'string' ? `${value.length} characters` : show(value);
  throw new InvalidFrameError(
    `${at}: expected a text of at most ${VALUE_CHARS_MAX} characters, a number or a boolean, got ${got}`,
  );
}
