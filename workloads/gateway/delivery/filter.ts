// Filters of topics: what of a topic a session wants. Compiled once and shared by all cursors that say the same, so that a fan-out asks
// each distinct one once for a message. frames/subscribe.ts and recovery.ts intern them, channel.ts groups hearers by them.
import type { TopicFilter } from '../../protocol/frames.ts';
import type { MessageRecord } from '../../protocol/record.ts';

type Value = string | number | boolean;

/** One distinct filter. Compared by identity: equal texts are the same object (Filters). */
export class Filter {
  readonly text: string;
  readonly #levelMin: number;
  readonly #types: ReadonlySet<string> | null;
  readonly #fields: readonly (readonly [name: string, values: ReadonlySet<Value>])[];

  constructor(text: string) {
    const { levelMin = 0, types, fields = {} } = JSON.parse(text) as TopicFilter;
    this.text = text;
    this.#levelMin = levelMin;
    this.#types = types === undefined ? null : new Set(types);
    this.#fields = Object.entries(fields).map(([name, values]) => [name, new Set(values)] as const);
  }

  /** Whether the message is wanted. `attributes` is asked for only where the filter looks at them. */
  passes(record: MessageRecord, attributes: () => Readonly<Record<string, unknown>>): boolean {
    if ((record.level ?? 0) < this.#levelMin) return false;
    if (this.#types === null && this.#fields.length === 0) return true;
    const { type, fields } = attributes();
    if (this.#types !== null && !(typeof type === 'string' && this.#types.has(type))) return false;
    if (this.#fields.length === 0) return true;
    if (typeof fields !== 'object' || fields === null) return false;
    const row = fields as Readonly<Record<string, Value>>;
    return this.#fields.every(([name, values]) => Object.hasOwn(row, name) && values.has(row[name]!));
  }
}

/** Attributes of a record; empty where there are none or they are no object. */
export function parseAttributes(record: MessageRecord): Readonly<Record<string, unknown>> {
  if (record.attributes.length === 0) return {};
  try {
    const value: unknown = JSON.parse(Buffer.from(record.attributes).toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Distinct filters that are kept for sharing; beyond it a filter is its own. */
const FILTERS_MAX = 4096;

/** The filters of a gateway, by text. */
export class Filters {
  readonly #known = new Map<string, Filter>();

  /** The same filter for the same text; null: everything. Cost for a new one: one JSON.parse. */
  of(text: string | null): Filter | null {
    if (text === null) return null;
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const filter = new Filter(text);
    if (this.#known.size >= FILTERS_MAX) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(text, filter);
    return filter;
  }
}
