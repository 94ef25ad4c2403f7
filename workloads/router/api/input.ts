// What a command was given, field by field: the one JSON object of a command over a link, or parameters, query and body of an HTTP request
// laid together (there numbers and flags are text). Every reading names its field when it refuses; fields nobody knows are refused too.
import { RefusedError } from '../../protocol/codes.ts';
import { InvalidNameError } from '../../protocol/ids.ts';

export type Fields = Readonly<Record<string, unknown>>;

export class Input {
  readonly #fields: Fields;

  /** Throws RefusedError when it is no object, or has a field that is not among `known`. */
  constructor(value: unknown, known: readonly string[]) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw invalid('body', 'expected a JSON object');
    this.#fields = value as Fields;
    const stranger = Object.keys(value).find((name) => !known.includes(name));
    if (stranger !== undefined) throw invalid(stranger.slice(0, 64), 'is not a known field');
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined;
  }

  /** As `parse` reads it: one of the names of protocol/ids.ts. */
  name<T>(name: string, parse: (value: unknown, field: string) => T): T {
    if (!this.has(name)) throw invalid(name, 'is missing');
    return parseName(this.#fields[name], name, parse);
  }
  optionalName<T>(name: string, parse: (value: unknown, field: string) => T): T | null {
    return this.has(name) ? this.name(name, parse) : null;
  }

  /** A list of `min`–`max` names, each once. */
  names<T>(name: string, bounds: { min: number; max: number }, parse: (value: unknown, field: string) => T): T[] {
    const value = this.#fields[name] ?? [];
    const { min, max } = bounds;
    if (!Array.isArray(value) || value.length < min || value.length > max)
      throw invalid(name, `expected a list of ${min}–${max}`);
    return [...new Set(value.map((item, i) => parseName(item, `${name}[${i}]`, parse)))];
  }

  text(name: string, charsMax: number): string {
    const value = this.#fields[name];
    if (value === undefined) throw invalid(name, 'is missing');
    if (typeof value === 'string' && value.length >= 1 && value.length <= charsMax) return value;
    throw invalid(name, `expected a text of 1–${charsMax} characters`);
  }
  optionalText(name: string, charsMax: number): string | null {
    return this.has(name) ? this.text(name, charsMax) : null;
  }

  whole(name: string, bounds: { min: number; max: number; fallback: number }): number {
    const value = this.#fields[name];
    if (value === undefined) return bounds.fallback;
    const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
    const { min, max } = bounds;
    if (typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max) return number;
    throw invalid(name, `expected a whole number of ${min}–${max}`);
  }

  flag(name: string): boolean {
    const value = this.#fields[name];
    if (value === undefined || value === false || value === 'false') return false;
    if (value === true || value === 'true') return true;
    throw invalid(name, 'expected true or false');
  }

  choice<const T extends string>(name: string, choices: readonly T[]): T {
    const value = this.#fields[name];
    if (value === undefined) throw invalid(name, 'is missing');
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw invalid(name, `expected one of ${choices.join(', ')}`);
  }
  optionalChoice<const T extends string>(name: string, choices: readonly T[]): T | null {
    return this.has(name) ? this.choice(name, choices) : null;
  }
}

function parseName<T>(value: unknown, field: string, parse: (value: unknown, field: string) => T): T {
  try {
    return parse(value, field);
  } catch (error) {
    if (error instanceof InvalidNameError)
      throw new RefusedError('invalid-request', error.message, { field: error.field, cause: error });
    throw error;
  }
}

function invalid(field: string, problem: string): RefusedError {
  return new RefusedError('invalid-request', `${field}: ${problem}`, { field });
}
