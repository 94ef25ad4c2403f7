// How a setting is described and parsed. A role's settings are a table of these (gateway.ts, router.ts, …); parseSettings turns
// the environment into a typed object once, at start, and names every wrong value with what was expected.

export interface Setting<T> {
  /** Environment variable; with the suffix _FILE it names a file that holds the value. */
  readonly env: string;
  readonly about: string;
  /** As text, for docs; null: must be given. */
  readonly fallback: string | null;
  /** What is expected, for errors and docs. */
  readonly expected: string;
  /** Null: not of the expected form. */
  parse(text: string): T | null;
}

type Table = Readonly<Record<string, Setting<unknown>>>;
export type SettingsOf<T extends Table> = { readonly [K in keyof T]: T[K] extends Setting<infer V> ? V : never };

/** Every wrong setting of a role, in one error. */
export class InvalidSettingsError extends Error {
  readonly code = 'invalid-settings';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`settings: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

/**
 * Environment → settings. Throws InvalidSettingsError that names every wrong one.
 * @param readFile reads a file named by a *_FILE variable; injected so that this stays pure
 */
export function parseSettings<T extends Table>(
  table: T,
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): SettingsOf<T> {
  const problems: string[] = [];
  const out: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(table)) {
    const text = textOf(setting, env, readFile, problems);
    if (text === undefined) continue;
    const value = setting.parse(text);
    if (value === null)
      problems.push(`${setting.env}: expected ${setting.expected}, got ${JSON.stringify(text.slice(0, 60))}`);
    else out[name] = value;
  }
  if (problems.length > 0) throw new InvalidSettingsError(problems);
  return out as SettingsOf<T>;
}

function textOf(
  setting: Setting<unknown>,
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
  problems: string[],
): string | undefined {
  const direct = env[setting.env];
  if (direct !== undefined && direct !== '') return direct;
  const path = env[`${setting.env}_FILE`];
  if (path !== undefined && path !== '') {
    try {
      return readFile(path).trim();
    } catch {
      problems.push(`${setting.env}_FILE: cannot read the file ${JSON.stringify(path)}`);
      return undefined;
    }
  }
  if (setting.fallback === null) problems.push(`${setting.env}: is required; expected ${setting.expected}`);
  return setting.fallback ?? undefined;
}

export function text(env: string, about: string, fallback: string | null = null): Setting<string> {
  return { env, about, fallback, expected: 'a text', parse: (value) => value };
}

/** A whole number within bounds; the unit is the last word of the setting's name. */
export function integer(
  env: string,
  about: string,
  bounds: { fallback: number | null; min: number; max: number },
): Setting<number> {
  return {
    env,
    about,
    fallback: bounds.fallback === null ? null : String(bounds.fallback),
    expected: `a whole number from ${bounds.min} to ${bounds.max}`,
    parse(value) {
      const n = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
      return n >= bounds.min && n <= bounds.max ? n : null;
    },
  };
}

export function choice<const T extends string>(
  env: string,
  about: string,
  options: { values: readonly T[]; fallback: NoInfer<T> | null },
): Setting<T> {
  return {
    env,
    about,
    fallback: options.fallback,
    expected: `one of ${options.values.join(', ')}`,
    parse: (value) => options.values.find((v) => v === value) ?? null,
  };
}
