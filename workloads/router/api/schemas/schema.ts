// A piece of JSON Schema, and the shapes that many schemas of answers are made of. The files beside it have the schemas by resource.

export type Schema = Readonly<Record<string, unknown>>;

/** An object with these fields and no others; all of them are there but the optional ones. */
export function objectOf(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  return {
    type: 'object',
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
    additionalProperties: false,
    properties,
  };
}
export function listOf(items: Schema, description?: string): Schema {
  return { type: 'array', items, ...(description === undefined ? {} : { description }) };
}
export function refTo(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}
export function textOf(description?: string): Schema {
  return { type: 'string', ...(description === undefined ? {} : { description }) };
}
export function countOf(description?: string): Schema {
  return { type: 'integer', minimum: 0, ...(description === undefined ? {} : { description }) };
}
/** ISO 8601; null where it never came to be. */
export function timeOf(description: string): Schema {
  return { type: ['string', 'null'], description: `${description}, ISO 8601.` };
}
/** The cursor of the next page. */
export const NEXT: Schema = {
  type: ['string', 'null'],
  description: 'The cursor of the next page; null: the last one.',
};
