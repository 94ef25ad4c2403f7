// The schemas of the push API: request.ts checks requests with the ones for requests, openapi.ts publishes all of them, and
// openapi.test.ts checks answers with the ones for answers. JSON Schema; where more than a schema can say is checked, the description tells.
import { ERRORS } from '../protocol/codes.ts';
import { LIMITS } from '../protocol/limits.ts';
import { LANES } from '../protocol/streams.ts';

export const BATCH_MESSAGES_MAX = 1000;
export const ATTRIBUTE_FIELDS_MAX = 32;

type Schema = Readonly<Record<string, unknown>>;

const TARGETS = {
  device: { type: 'string', description: 'One device. Stored for it until it acks, or sent if it is online (live).' },
  account: { type: 'string', description: 'All devices of an account, each with a stored copy of its own.' },
  topic: {
    type: 'string',
    description: 'Everyone who hears the topic, which must be within allowedTopics of the PushApp.',
  },
  everyone: { const: true, description: 'Everyone of the app who is or comes online.' },
} as const;

const fields: Schema = {
  type: 'object',
  description: 'Fields of your business.',
  maxProperties: ATTRIBUTE_FIELDS_MAX,
  propertyNames: { maxLength: 64 },
  additionalProperties: { type: ['string', 'number', 'boolean'] },
};

export const messageSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['target'],
  properties: {
    target: {
      type: 'object',
      description: 'Exactly one of device, account, topic and everyone.',
      additionalProperties: false,
      minProperties: 1,
      maxProperties: 1,
      properties: TARGETS,
    },
    class: {
      enum: ['durable', 'live'],
      default: 'durable',
      description:
        'durable: stored before the answer, sent again until acked. live: not stored; the late and the slow miss it.',
    },
    lane: { enum: [...LANES], default: 'normal', description: 'Priority; only for device and account.' },
    ttlMs: {
      type: 'integer',
      minimum: 1,
      maximum: LIMITS.ttlMaxMs,
      description:
        'Not delivered once this old. Default: ttlMs of the PushApp, else 7 days; live: as long as it travels.',
    },
    body: { description: `Any JSON, at most ${LIMITS.bodyBytesMax} bytes as text, nested at most 64 deep.` },
    text: { type: 'string', description: `Instead of body: a text, at most ${LIMITS.bodyBytesMax} bytes in UTF-8.` },
    bytes: { type: 'string', description: `Instead of body: base64 of at most ${LIMITS.bodyBytesMax} bytes.` },
    attributes: {
      type: 'object',
      description: `What receivers can filter by; at most ${LIMITS.attributesBytesMax} bytes as JSON.`,
      additionalProperties: false,
      properties: {
        type: { type: 'string', minLength: 1, maxLength: 64, description: 'What kind of message it is.' },
        level: { type: 'integer', minimum: 0, maximum: 9, description: 'How important, 9 most.' },
        fields,
      },
    },
    idempotencyKey: {
      type: 'string',
      minLength: 1,
      maxLength: LIMITS.idempotencyKeyCharsMax,
      description:
        'Only for durable messages: the same key and message again within a day answers with the same id and stores nothing twice.',
    },
  },
} as const satisfies Schema;

export const batchSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['messages'],
  properties: {
    messages: {
      type: 'array',
      minItems: 1,
      maxItems: BATCH_MESSAGES_MAX,
      description: 'Taken in order; each is accepted or refused by itself.',
      items: { $ref: '#/components/schemas/Message' },
    },
  },
} as const satisfies Schema;

const accepted: Schema = {
  type: 'object',
  required: ['id', 'state', 'recipients'],
  additionalProperties: false,
  properties: {
    id: { type: 'string', pattern: '^[0-9A-HJKMNP-TV-Z]{26}$', description: 'Sortable by time.' },
    state: {
      enum: ['stored', 'sent', 'offline'],
      description:
        'stored: durable, the store has it. sent: live, on its way to gateways. offline: live, and nobody there to get it.',
    },
    duplicate: { type: 'boolean', description: 'Durable: true when this idempotency key was used before.' },
    recipients: {
      type: 'integer',
      minimum: 0,
      description: 'Streams it is in (devices, or 1 for a topic); live: devices sent to.',
    },
    positions: {
      type: 'array',
      description: 'Where it lies in each stream.',
      items: {
        type: 'object',
        required: ['stream', 'epoch', 'offset'],
        additionalProperties: false,
        properties: {
          device: { type: 'string' },
          stream: { type: 'string', description: '@high, @normal or @low of the device, or the topic.' },
          epoch: { type: 'string' },
          offset: { type: 'integer', minimum: 1 },
        },
      },
    },
    online: {
      type: 'integer',
      minimum: 0,
      description: 'Of the devices, how many seem to be online; left out where the router does not know.',
    },
    gateways: { type: 'integer', minimum: 0, description: 'Gateways it was sent to (topic, everyone, live).' },
    refused: {
      type: 'array',
      description: 'Devices of the account that did not take it; the others did.',
      items: {
        type: 'object',
        required: ['device', 'code'],
        additionalProperties: false,
        properties: { device: { type: 'string' }, code: { enum: ['stream-full', 'device-unknown'] } },
      },
    },
  },
};

const errorObject: Schema = {
  type: 'object',
  required: ['code', 'message'],
  additionalProperties: false,
  properties: {
    code: { enum: Object.keys(ERRORS) },
    message: { type: 'string', description: 'What was expected and what came.' },
    field: { type: 'string', description: 'Path of the field at fault, such as messages[3].target.device.' },
    retryAfterMs: { type: 'integer', minimum: 0, description: 'Come back after this; as Retry-After too.' },
    traceId: { type: 'string' },
  },
};

const presence: Schema = {
  type: 'object',
  required: ['device', 'online', 'gateway', 'since'],
  additionalProperties: false,
  properties: {
    device: { type: 'string' },
    account: { type: 'string' },
    online: { type: 'boolean' },
    gateway: { type: ['string', 'null'] },
    since: { type: ['string', 'null'], description: 'When it connected, ISO 8601.' },
  },
};

/** By the name under which components/schemas has them. */
export const SCHEMAS = {
  Message: {
    ...messageSchema,
    description: 'With exactly one of body, text and bytes.',
    oneOf: [{ required: ['body'] }, { required: ['text'] }, { required: ['bytes'] }],
  },
  Batch: batchSchema,
  Accepted: accepted,
  BatchResults: {
    type: 'object',
    required: ['accepted', 'refused', 'results'],
    additionalProperties: false,
    properties: {
      accepted: { type: 'integer', minimum: 0 },
      refused: { type: 'integer', minimum: 0 },
      results: {
        type: 'array',
        description: 'One for each message, in their order.',
        items: {
          oneOf: [
            { $ref: '#/components/schemas/Accepted' },
            {
              type: 'object',
              required: ['error'],
              additionalProperties: false,
              properties: { error: { $ref: '#/components/schemas/ErrorObject' } },
            },
          ],
        },
      },
    },
  },
  Presence: presence,
  AccountDevices: {
    type: 'object',
    required: ['account', 'devices'],
    additionalProperties: false,
    properties: {
      account: { type: 'string' },
      devices: { type: 'array', items: { $ref: '#/components/schemas/Presence' } },
    },
  },
  ErrorObject: errorObject,
  Error: {
    type: 'object',
    required: ['error'],
    additionalProperties: false,
    properties: { error: { $ref: '#/components/schemas/ErrorObject' } },
  },
} as const satisfies Readonly<Record<string, Schema>>;
