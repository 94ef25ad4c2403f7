// Reads fields of an untyped object by name and collects every problem with the field's path, what was expected and what came.
// parse.ts and parse-app.ts use it; a field that is absent or wrong yields its default, so that one pass finds all problems.
import { isRow } from './kube/fields.ts';
import type { JsonObject } from './spec.ts';

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
export const DURATION = /^([0-9]+(ms|s|m|h))+$/;

/** `1h30m`, `90s`, `500ms` → milliseconds; null when it is not of that form. */
export function parseDurationMs(text: string): number | null {
  if (!DURATION.test(text)) return null;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9]+)(ms|s|m|h)/g)) total += Number(amount) * UNITS_MS[unit!]!;
  return total;
}

/** Reads one object's fields; shares the list of problems with the readers of the objects within. */
export class FieldReader {
  readonly path: string;
  readonly problems: string[];
  readonly #fields: JsonObject;

  constructor(value: unknown, path: string, problems: string[]) {
    this.path = path;
    this.problems = problems;
    this.#fields = isRow(value) ? value : {};
    if (value !== undefined && !isRow(value)) this.#wrong(path, 'an object', value);
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  raw(name: string): unknown {
    return this.has(name) ? this.#fields[name] : undefined;
  }

  /** The object within; empty when absent. */
  object(name: string): FieldReader {
    return new FieldReader(this.raw(name), `${this.path}.${name}`, this.problems);
  }

  /** An object of any form; `{}` when absent. */
  freeForm(name: string): JsonObject {
    const value = this.raw(name) ?? {};
    if (isRow(value)) return value;
    this.#wrong(`${this.path}.${name}`, 'an object', value);
    return {};
  }

  integer(name: string, bounds: { readonly fallback: number; readonly min: number; readonly max: number }): number {
    const value = this.raw(name);
    if (value === undefined) return bounds.fallback;
    if (Number.isInteger(value) && Number(value) >= bounds.min && Number(value) <= bounds.max) return Number(value);
    this.#wrong(`${this.path}.${name}`, `a whole number from ${bounds.min} to ${bounds.max}`, value);
    return bounds.fallback;
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    if (typeof value === 'boolean') return value;
    this.#wrong(`${this.path}.${name}`, 'true or false', value);
    return fallback;
  }

  /** A text, null when absent. */
  text(name: string, rule: { readonly form: RegExp; readonly expected: string }): string | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (typeof value === 'string' && rule.form.test(value)) return value;
    this.#wrong(`${this.path}.${name}`, rule.expected, value);
    return null;
  }

  choice<const T extends string>(name: string, values: readonly T[], fallback: NoInfer<T>): T {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    const found = values.find((v) => v === value);
    if (found === undefined) this.#wrong(`${this.path}.${name}`, `one of ${values.join(', ')}`, value);
    return found ?? fallback;
  }

  durationMs(name: string, bounds: { readonly fallback: string; readonly min: string; readonly max: string }): number {
    const text = this.raw(name) ?? bounds.fallback;
    const ms = typeof text === 'string' ? parseDurationMs(text) : null;
    if (ms !== null && ms >= parseDurationMs(bounds.min)! && ms <= parseDurationMs(bounds.max)!) return ms;
    this.#wrong(`${this.path}.${name}`, `a duration from ${bounds.min} to ${bounds.max}, like 90s or 1h30m`, text);
    return parseDurationMs(bounds.fallback)!;
  }

  /** A list; each item is handed to `read` with its own path. */
  list<T>(name: string, itemsMax: number, read: (item: unknown, path: string) => T | null): readonly T[] {
    const path = `${this.path}.${name}`;
    const value = this.raw(name) ?? [];
    if (!Array.isArray(value) || value.length > itemsMax) {
      this.#wrong(path, `a list of at most ${itemsMax}`, Array.isArray(value) ? `${value.length} items` : value);
      return [];
    }
    return value.map((item: unknown, i) => read(item, `${path}[${i}]`)).filter((item) => item !== null);
  }

  texts(
    name: string,
    rule: { readonly itemsMax: number; readonly form: RegExp; readonly expected: string },
  ): readonly string[] {
    return this.list(name, rule.itemsMax, (item, path) => {
      if (typeof item === 'string' && rule.form.test(item)) return item;
      this.#wrong(path, rule.expected, item);
      return null;
    });
  }

  refuse(name: string, problem: string): void {
    this.problems.push(`${name === '' ? this.path : `${this.path}.${name}`}: ${problem}`);
  }

  #wrong(path: string, expected: string, got: unknown): void {
    const shown = typeof got === 'string' ? JSON.stringify(got.slice(0, 60)) : JSON.stringify(got)?.slice(0, 60);
    this.problems.push(`${path}: expected ${expected}, got ${shown ?? String(got)}`);
  }
}
