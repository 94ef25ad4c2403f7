// Pieces that the document's operations are made of: parameters, answers, refusals. openapi/*.ts beside it have the operations by resource.
import { ERRORS } from '../../../protocol/codes.ts';
import type { ErrorCode } from '../../../protocol/codes.ts';
import { PAGE } from '../commands/answers.ts';

type Part = Readonly<Record<string, unknown>>;

export const HEADERS = {
  'X-Trace-Id': { description: 'Of the request, or new; on each log line about it.', schema: { type: 'string' } },
  'Retry-After': { description: 'Seconds, where the answer says to come back.', schema: { type: 'integer' } },
} as const;

export function jsonOf(schema: string, more: Part = {}): Part {
  return { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` }, ...more } };
}
export function answerOf(description: string, schema: string): Part {
  return { description, headers: HEADERS, content: jsonOf(schema) };
}

/** Refusals by their status, each with the codes that it can have; those that every operation has are added. */
export function refusals(...codes: readonly ErrorCode[]): Readonly<Record<string, Part>> {
  const all: readonly ErrorCode[] = [
    'invalid-request',
    'unauthenticated',
    ...codes,
    'overloaded',
    'store-unavailable',
    'internal',
  ];
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of all) byStatus.set(ERRORS[code].status, [...(byStatus.get(ERRORS[code].status) ?? []), code]);
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => [
      String(status),
      answerOf(of.map((code) => `${code}: ${ERRORS[code].when}; ${ERRORS[code].remedy}.`).join(' '), 'Error'),
    ]),
  );
}

export function inPath(name: string, example: string): Part {
  const description = 'Percent-encoded where it has a slash.';
  return { name, in: 'path', required: true, schema: { type: 'string' }, example, description };
}
export function inQuery(name: string, schema: Part, description: string): Part {
  return { name, in: 'query', required: false, schema, description };
}
/** Of every page. */
export const PAGE_PARAMETERS: readonly Part[] = [
  inQuery('cursor', { type: 'string' }, 'The next of the page before.'),
  inQuery(
    'limit',
    { type: 'integer', minimum: PAGE.min, maximum: PAGE.max, default: PAGE.fallback },
    'Rows of a page.',
  ),
];

export interface OperationOptions {
  readonly id: string;
  readonly summary: string;
  readonly parameters?: readonly Part[];
  readonly body?: { readonly schema: string; readonly examples: Part };
  readonly answers: Readonly<Record<string, Part>>;
  readonly refused: readonly ErrorCode[];
}
export function operation(options: OperationOptions): Part {
  const { id, summary, parameters, body, answers, refused } = options;
  return {
    operationId: id,
    summary,
    ...(parameters === undefined ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: jsonOf(body.schema, { examples: body.examples }) } }),
    responses: { ...answers, ...refusals(...refused) },
  };
}
