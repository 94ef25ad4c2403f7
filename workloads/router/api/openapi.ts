// The push API as an OpenAPI document, served at GET /v1/openapi.json. Its schemas are those that requests are checked with (schemas/),
// its operations stand in openapi/; openapi.test.ts sends every example of it to a running router and checks the answers against it.
import { MESSAGE_PATHS } from './openapi/messages.ts';
import { POST_MESSAGES } from './openapi/push.ts';
import { HEADERS } from './openapi/parts.ts';
import { QUERY_PATHS } from './openapi/queries.ts';
import { ACCEPTED_SCHEMAS } from './schemas/accepted.ts';
import { DEAD_LETTER_SCHEMAS } from './schemas/dead-letters.ts';
import { batchSchema, messageSchema } from './schemas/message.ts';
import { MESSAGE_SCHEMAS } from './schemas/messages.ts';
import { QUERY_SCHEMAS } from './schemas/queries.ts';

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
      'the same idempotency key: it is stored once. Texts must be Unicode: half of a surrogate pair is refused.',
  },
  security: [{ apiKey: [] }],
  paths: {
    ...MESSAGE_PATHS,
    '/v1/messages': { post: POST_MESSAGES },
    ...QUERY_PATHS,
    '/v1/keys': {
      get: {
        operationId: 'webhookKeys',
        summary: 'Public keys that webhooks are signed with',
        description:
          'A webhook carries pushcluster-signature: t=<ms since 1970>,kid=<key id>,v1=<base64url of Ed25519 over "<t>.<body>">, and ' +
          'pushcluster-id, the same in each try. Check the signature, refuse what is older than some minutes, and take an id once.',
        security: [],
        responses: {
          '200': {
            description: 'A JSON Web Key Set; newest first.',
            headers: HEADERS,
            content: {
              'application/json': {
                schema: {
                  type: 'object',
                  required: ['keys'],
                  properties: { keys: { type: 'array', items: { type: 'object' } } },
                },
              },
            },
          },
        },
      },
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
    schemas: {
      Message: {
        ...messageSchema,
        description: 'With exactly one of body, text and bytes.',
        oneOf: [{ required: ['body'] }, { required: ['text'] }, { required: ['bytes'] }],
      },
      Batch: batchSchema,
      ...ACCEPTED_SCHEMAS,
      ...MESSAGE_SCHEMAS,
      ...DEAD_LETTER_SCHEMAS,
      ...QUERY_SCHEMAS,
    },
  },
} as const;
