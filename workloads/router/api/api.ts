// The API over HTTP: who asks, and which command (commands.ts) a method and a path stand for. Parameters, query and body become the
// command's one input. openapi.ts is the contract; openapi.test.ts holds the two together.
import { RefusedError } from '../../protocol/codes.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { parseJsonBody } from '../../runtime/http-body.ts';
import type { HttpAnswer, HttpRequest, HttpRoute } from '../../runtime/http.ts';
import type { Authorizer } from './authorize.ts';
import type { Commands } from './commands.ts';
import { parseExactJson } from './exact-json.ts';
import { openApiDocument } from './openapi.ts';
import { headerKeyOf } from './request.ts';

export interface ApiDeps {
  readonly authorizer: Authorizer;
  readonly commands: Commands;
}

type Row = readonly [method: HttpRoute['method'], path: string, op: string];

/** Every path but the document's. */
export const API_ROUTES: readonly Row[] = [
  ['GET', '/v1/messages/{id}', 'message'],
  ['DELETE', '/v1/messages/{id}', 'cancel'],
  ['GET', '/v1/messages/{id}/deliveries', 'deliveries'],
  ['GET', '/v1/messages/{id}/trace', 'message-trace'],
  ['GET', '/v1/devices/{device}', 'device'],
  ['GET', '/v1/devices/{device}/waiting', 'device-waiting'],
  ['GET', '/v1/devices/{device}/trace', 'device-trace'],
  ['GET', '/v1/accounts/{account}/devices', 'account-devices'],
  ['GET', '/v1/topics/{topic}/subscribers', 'topic-subscribers'],
  ['GET', '/v1/dead-letters', 'dead-letters'],
  ['POST', '/v1/dead-letters/actions', 'dead-letters-act'],
  ['GET', '/v1/dead-letters/actions/{id}', 'dead-letters-action'],
  ['DELETE', '/v1/dead-letters/actions/{id}', 'dead-letters-stop'],
  ['GET', '/v1/dead-letters/{id}', 'dead-letter'],
  ['PUT', '/v1/groups/{group}', 'group-put'],
  ['GET', '/v1/groups/{group}', 'group'],
  ['DELETE', '/v1/groups/{group}', 'group-delete'],
  ['GET', '/v1/groups/{group}/members', 'group-members'],
  ['POST', '/v1/groups/{group}/members', 'group-change'],
  ['GET', '/v1/ledger', 'ledger'],
];

export function apiRoutes(deps: ApiDeps): readonly HttpRoute[] {
  const document = JSON.stringify(openApiDocument);
  return [
    {
      method: 'POST',
      path: '/v1/messages',
      bodyBytesMax: LIMITS.pushRequestBytesMax,
      handler: (request) => push(deps, request),
    },
    ...API_ROUTES.map(([method, path, op]): HttpRoute => ({
      method,
      path,
      handler: (request) => ask(deps, request, op),
    })),
    {
      method: 'GET',
      path: '/v1/openapi.json',
      handler: () => ({ status: 200, body: document, headers: { 'content-type': 'application/json' } }),
    },
  ];
}

async function push({ authorizer, commands }: ApiDeps, request: HttpRequest): Promise<HttpAnswer> {
  const app = await authorizer.authorize(request.headers.authorization);
  const input = parseJsonBody(request.bytes, request.headers, parseExactJson);
  const headerKey = headerKeyOf(request.headers['idempotency-key']);
  return await commands.ask('push', { app, input, origin: null, headerKey, log: request.log });
}

async function ask({ authorizer, commands }: ApiDeps, request: HttpRequest, op: string): Promise<HttpAnswer> {
  const app = await authorizer.authorize(request.headers.authorization);
  return await commands.ask(op, { app, input: inputOf(request), origin: null, headerKey: null, log: request.log });
}

/** What stands in the path wins over the query and the body; a name given twice is refused. */
function inputOf({ params, query, bytes, headers }: HttpRequest): Readonly<Record<string, unknown>> {
  const body = parseJsonBody(bytes, headers, parseExactJson) ?? {};
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new RefusedError('invalid-request', 'body: expected a JSON object', { field: 'body' });
  const input: Record<string, unknown> = { ...body };
  for (const [name, value] of [...query, ...Object.entries(params)]) {
    if (Object.hasOwn(input, name))
      throw new RefusedError('invalid-request', `${name}: expected once, in the path, the query or the body`, {
        field: name,
      });
    input[name] = value;
  }
  return input;
}
