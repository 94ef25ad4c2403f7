// The schema of a message to push, and of a batch of them: request.ts checks requests with it, openapi.ts publishes it. JSON Schema; where
// more than a schema can say is checked, the description tells.
import { LIMITS } from '../../../protocol/limits.ts';
import { LANES } from '../../../protocol/streams.ts';
import type { Schema } from './schema.ts';

export const BATCH_MESSAGES_MAX = 1000;
export const ATTRIBUTE_FIELDS_MAX = 32;
/** A live message to a list has a look-up for each and no job: a screen's worth of a group, not a campaign. */
export const LIVE_RECIPIENTS_MAX = 1000;
/** A message is scheduled at most so far ahead. */
export const SCHEDULE_MS_MAX = 30 * 24 * 3600_000;
export const KEY_CHARS_MAX = 128;

const names = (description: string): Schema => ({
  type: 'array',
  minItems: 1,
  maxItems: LIMITS.recipientsMax,
  items: { type: 'string' },
  description,
});

const TARGETS = {
  device: { type: 'string', description: 'One device. Stored for it until it acks, or sent if it is online (live).' },
  account: { type: 'string', description: 'All devices of an account, each with a delivery of its own.' },
  topic: {
    type: 'string',
    description: 'Everyone who hears the topic, which must be within allowedTopics of the PushApp.',
  },
  everyone: { const: true, description: 'Everyone of the app who is or comes online.' },
  devices: names(
    `Up to ${LIMITS.recipientsMax} devices (live: ${LIVE_RECIPIENTS_MAX}); each once, those that never registered are passed over.`,
  ),
  accounts: names(`Up to ${LIMITS.recipientsMax} accounts (live: ${LIVE_RECIPIENTS_MAX}), with all their devices.`),
  group: { type: 'string', description: 'The members that the group has now, with all their devices.' },
  satisfiedBy: {
    enum: ['all', 'any'],
    default: 'all',
    description:
      "With account, accounts and group. any: one device's ack settles those of the account's other devices.",
  },
} as const;

const attributes: Schema = {
  type: 'object',
  description: `What receivers can filter by; at most ${LIMITS.attributesBytesMax} bytes as JSON.`,
  additionalProperties: false,
  properties: {
    type: { type: 'string', minLength: 1, maxLength: 64, description: 'What kind of message it is.' },
    level: { type: 'integer', minimum: 0, maximum: 9, description: 'How important, 9 most.' },
    fields: {
      type: 'object',
      description: 'Fields of your business.',
      maxProperties: ATTRIBUTE_FIELDS_MAX,
      propertyNames: { maxLength: 64 },
      additionalProperties: { type: ['string', 'number', 'boolean'] },
    },
  },
};

const deliver: Schema = {
  type: 'object',
  description: 'How it is delivered. What is left out: as the PushApp says, else by default.',
  additionalProperties: false,
  properties: {
    attemptsMax: {
      type: 'integer',
      minimum: 1,
      maximum: 100,
      description: `Deliveries to one device before it becomes a dead letter. Default: ${LIMITS.attemptsMax}.`,
    },
    ackTimeoutMs: {
      type: 'integer',
      minimum: 100,
      maximum: 600_000,
      description: 'A delivery that is not acked by then is made again.',
    },
    idOnly: {
      type: 'boolean',
      default: false,
      description: 'Clients get the id and fetch the body when they want it.',
    },
  },
};

const key = (description: string): Schema => ({ type: 'string', minLength: 1, maxLength: KEY_CHARS_MAX, description });

export const messageSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['target'],
  properties: {
    target: {
      type: 'object',
      description: 'Exactly one of device, account, topic, everyone, devices, accounts and group.',
      additionalProperties: false,
      properties: TARGETS,
    },
    class: {
      enum: ['durable', 'live'],
      default: 'durable',
      description:
        'durable: stored before the answer, sent again until acked. live: not stored; the late and the slow miss it.',
    },
    lane: { enum: [...LANES], default: 'normal', description: 'Priority; not for topics and everyone.' },
    ttlMs: {
      type: 'integer',
      minimum: 1,
      maximum: LIMITS.ttlMaxMs,
      description:
        'Not delivered once this old, counted from when it is sent. Default: ttlMs of the PushApp, else 7 days; live: as long as it travels.',
    },
    body: { description: `Any JSON, at most ${LIMITS.bodyBytesMax} bytes as text, nested at most 64 deep.` },
    text: { type: 'string', description: `Instead of body: a text, at most ${LIMITS.bodyBytesMax} bytes in UTF-8.` },
    bytes: { type: 'string', description: `Instead of body: base64 of at most ${LIMITS.bodyBytesMax} bytes.` },
    attributes,
    deliver,
    collapseKey: key(
      'Durable: while an earlier message with this key waits in a stream, this one takes its place there; it counts as cancelled.',
    ),
    conflationKey: key('Live: a slow client gets only the newest message of a key and stream.'),
    deliverAtMs: {
      type: 'integer',
      minimum: 0,
      description: 'Durable: sent then, ms since 1970, at most 30 days ahead; what lies in the past is sent at once.',
    },
    delayMs: {
      type: 'integer',
      minimum: 0,
      maximum: SCHEDULE_MS_MAX,
      description: 'Instead of deliverAtMs: so long after it was accepted.',
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
