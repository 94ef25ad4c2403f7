// The upstream role's part of the admin port: dead letters, listed by page, shown whole, driven again (one, some, all of a kind, at a pace)
// and dropped. The bearer secret of the admin key is asked for by runtime/admin-http.ts.
import { RefusedError } from '../protocol/codes.ts';
import type { HttpRequest, HttpRoute } from '../runtime/http.ts';
import type { DeadLetter } from './dead-record.ts';
import type { DeadLetters, LetterFilter } from './dead-letters.ts';

const LIMIT = { fallback: 100, max: 1000 } as const;
const PACE = { fallback: 100, max: 10_000 } as const;
const IDS_MAX = 1000;

export function adminRoutes(letters: DeadLetters): HttpRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/dead-letters',
      handler({ query }) {
        const limit = numberOf(query.get('limit'), 'limit', LIMIT);
        const page = letters.list({ ...filterOf(query), after: query.get('after'), limit });
        const next = page.length === limit ? page[page.length - 1]!.id : null;
        return { status: 200, body: { held: letters.size, letters: page.map(describe), next } };
      },
    },
    {
      method: 'GET',
      path: '/v1/dead-letters/{id}',
      handler({ params }) {
        const letter = letters.one(params['id']!);
        if (letter === undefined)
          throw new RefusedError('not-found', `id: no dead letter ${params['id']!.slice(0, 60)}`);
        return { status: 200, body: { ...describe(letter), ...contentOf(letter) } };
      },
    },
    {
      method: 'POST',
      path: '/v1/dead-letters/redrive',
      handler(request) {
        const perSecond = numberOf(fieldsOf(request)['perSecond'], 'perSecond', PACE);
        return { status: 202, body: { redriving: letters.redrive(chosen(letters, request), perSecond) } };
      },
    },
    {
      method: 'POST',
      path: '/v1/dead-letters/drop',
      async handler(request) {
        const dropped = chosen(letters, request);
        await letters.drop(dropped);
        return { status: 200, body: { dropped: dropped.length } };
      },
    },
  ];
}

function describe(letter: DeadLetter): object {
  const { record, ...shown } = letter;
  return { ...shown, bytes: record.value.length };
}

/** The body as JSON where it is JSON; a malformed one as base64. */
function contentOf({ record }: DeadLetter): object {
  const text = Buffer.from(record.value).toString();
  try {
    return { body: JSON.parse(text) as unknown };
  } catch {
    return { base64: Buffer.from(record.value).toString('base64') };
  }
}

/** `{"ids": […]}`, or `{"all": true}` with app, kind and device to narrow it. Throws RefusedError. */
function chosen(letters: DeadLetters, request: HttpRequest): readonly DeadLetter[] {
  const { ids, all, app, kind, device } = fieldsOf(request);
  if (all === true) {
    const filter = { ...textOf('app', app), ...textOf('kind', kind), ...textOf('device', device) };
    return letters.list({ ...filter, after: null, limit: Infinity });
  }
  if (!Array.isArray(ids) || ids.length === 0 || ids.length > IDS_MAX)
    throw refused('ids', `expected 1–${IDS_MAX} ids, or all: true`);
  return ids.map((id) => {
    const letter = typeof id === 'string' ? letters.one(id) : undefined;
    if (letter === undefined) throw refused('ids', `no dead letter ${JSON.stringify(id)?.slice(0, 60)}`);
    return letter;
  });
}

function fieldsOf(request: HttpRequest): Record<string, unknown> {
  const { body } = request;
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  throw refused('body', 'expected a JSON object');
}

function filterOf(query: URLSearchParams): LetterFilter {
  return {
    ...textOf('app', query.get('app') ?? undefined),
    ...textOf('kind', query.get('kind') ?? undefined),
    ...textOf('device', query.get('device') ?? undefined),
  };
}

function textOf(name: keyof LetterFilter, value: unknown): LetterFilter {
  if (value === undefined) return {};
  if (typeof value !== 'string') throw refused(name, 'expected a text');
  return { [name]: value };
}

function numberOf(value: unknown, name: string, { fallback, max }: { fallback: number; max: number }): number {
  if (value === undefined || value === null) return fallback;
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1 && number <= max) return number;
  throw refused(name, `expected a whole number from 1 to ${max}`);
}

function refused(field: string, problem: string): RefusedError {
  return new RefusedError('invalid-request', `${field}: ${problem}`, { field });
}
