// The push API as an OpenAPI document, served at GET /v1/openapi.json. Its schemas are those that requests are checked with (schemas.ts);
// openapi.test.ts sends every example of it to a running router and checks the answers against it.
import { ERRORS } from '../protocol/codes.ts';
import type { ErrorCode } from '../protocol/codes.ts';
import { SCHEMAS } from './schemas.ts';

const json = (schema: string, more: Readonly<Record<string, unknown>> = {}) => ({
  'application/json': { schema: { $ref: `#/components/schemas/${schema}` }, ...more },
});

/** Refusals by their status, each with the codes that it can have. */
function refusals(...codes: readonly ErrorCode[]): Readonly<Record<string, unknown>> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) byStatus.set(ERRORS[code].status, [...(byStatus.get(ERRORS[code].status) ?? []), code]);
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => [
      String(status),
      {
        description: of.map((code) => `${code}: ${ERRORS[code].when}; ${ERRORS[code].remedy}.`).join(' '),
        content: json('Error'),
        headers: HEADERS,
      },
    ]),
  );
}

const HEADERS = {
  'X-Trace-Id': { description: 'Of the request, or new; on each log line about it.', schema: { type: 'string' } },
  'Retry-After': { description: 'Seconds, where the answer says to come back.', schema: { type: 'integer' } },
} as const;

/** Requests that the tests send as they are, in this order, to an app that has device phone-1 of account ada and topic news. */
const MESSAGE_EXAMPLES = {
  device: {
    summary: 'A durable message to one device',
    value: { target: { device: 'phone-1' }, body: { hello: 'Ada' } },
  },
  account: {
    summary: 'All devices of an account, ahead of other messages, for ten minutes',
    value: { target: { account: 'ada' }, lane: 'high', ttlMs: 600_000, text: 'Your taxi is here' },
  },
  topic: {
    summary: 'A topic, with what receivers filter by',
    value: {
      target: { topic: 'news' },
      body: { title: 'Rain' },
      attributes: { type: 'weather', level: 3, fields: { region: 'north', urgent: false } },
    },
  },
  everyone: { summary: 'Everyone of the app', value: { target: { everyone: true }, text: 'Back at noon' } },
  live: {
    summary: 'A live message: whoever is not there misses it',
    value: { target: { topic: 'news' }, class: 'live', bytes: 'AAEC/w==' },
  },
  once: {
    summary: 'With an idempotency key, safe to send again',
    value: { target: { device: 'phone-1' }, body: ['paid', 1], idempotencyKey: 'order-7-paid' },
  },
  batch: {
    summary: 'Several at once; each is accepted or refused by itself (this one answers 207)',
    value: {
      messages: [
        { target: { device: 'phone-1' }, text: 'one' },
        { target: { device: 'nobody-1' }, text: 'two' },
      ],
    },
  },
} as const;

const POST_MESSAGES = {
  operationId: 'pushMessages',
  summary: 'Push one message, or up to 1,000 in one request',
  parameters: [
    {
      name: 'Idempotency-Key',
      in: 'header',
      schema: { type: 'string', minLength: 1, maxLength: 128 },
      description: 'The same as idempotencyKey; not with a batch.',
    },
  ],
  requestBody: {
    required: true,
    content: {
      'application/json': {
        schema: { oneOf: [{ $ref: '#/components/schemas/Message' }, { $ref: '#/components/schemas/Batch' }] },
        examples: MESSAGE_EXAMPLES,
      },
    },
  },
  responses: {
    '202': {
      description: 'Accepted: a durable message is stored, a live one on its way. A batch: all of it.',
      headers: HEADERS,
      content: {
        'application/json': {
          schema: { oneOf: [{ $ref: '#/components/schemas/Accepted' }, { $ref: '#/components/schemas/BatchResults' }] },
        },
      },
    },
    '207': {
      description: 'A batch of which some or all were refused: see results.',
      headers: HEADERS,
      content: json('BatchResults'),
    },
    ...refusals(
      'invalid-request',
      'unauthenticated',
      'forbidden',
      'device-unknown',
      'idempotency-conflict',
      'stream-full',
      'too-large',
      'rate-limited',
      'overloaded',
      'store-unavailable',
      'internal',
    ),
  },
} as const;

function getOf(options: {
  operationId: string;
  summary: string;
  parameter: string;
  example: string;
  answer: string;
}): Readonly<Record<string, unknown>> {
  const { operationId, summary, parameter, example, answer } = options;
  return {
    operationId,
    summary,
    parameters: [
      {
        name: parameter,
        in: 'path',
        required: true,
        schema: { type: 'string' },
        example,
        description: 'Percent-encoded where it has a slash.',
      },
    ],
    responses: {
      '200': { description: 'Where it is now.', headers: HEADERS, content: json(answer) },
      ...refusals(
        'invalid-request',
        'unauthenticated',
        'device-unknown',
        'overloaded',
        'store-unavailable',
        'internal',
      ),
    },
  };
}

export const openApiDocument = {
  openapi: '3.1.0',
  info: {
    title: 'PushCluster push API',
    version: '1.0.0',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    description:
      'For business services. The credential decides the app: an API key whose SHA-256 is in the PushApp, or a JWT signed by one of ' +
      'its public keys (EdDSA, ES256 or RS256) with iss the name of the app, aud pushcluster and an exp. Anything accepted as durable ' +
      'is in the store before the answer. When an answer does not come, or is 503 store-unavailable, send the same message again with ' +
      'the same idempotency key: it is stored once.',
  },
  security: [{ apiKey: [] }],
  paths: {
    '/v1/messages': { post: POST_MESSAGES },
    '/v1/devices/{device}': {
      get: getOf({
        operationId: 'deviceOf',
        summary: 'Whether a device is online, and where',
        parameter: 'device',
        example: 'phone-1',
        answer: 'Presence',
      }),
    },
    '/v1/accounts/{account}/devices': {
      get: getOf({
        operationId: 'devicesOf',
        summary: 'The devices of an account, and where they are',
        parameter: 'account',
        example: 'ada',
        answer: 'AccountDevices',
      }),
    },
    '/v1/openapi.json': {
      get: {
        operationId: 'openApi',
        summary: 'This document',
        security: [],
        responses: {
          '200': { description: 'OpenAPI 3.1.', content: { 'application/json': { schema: { type: 'object' } } } },
        },
      },
    },
  },
  components: {
    securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'An API key or a signed token.' } },
    schemas: SCHEMAS,
  },
} as const;
