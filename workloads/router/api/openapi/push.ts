// POST /v1/messages in the document. Its examples are requests that openapi.test.ts sends as they are.
import { HEADERS, jsonOf, refusals } from './parts.ts';

/** To an app that has device phone-1 of account ada, topic news and group friends. */
export const MESSAGE_EXAMPLES = {
  device: {
    summary: 'A durable message to one device',
    value: { target: { device: 'phone-1' }, body: { hello: 'Ada' } },
  },
  account: {
    summary: 'All devices of an account, ahead of other messages, for ten minutes; the first ack is enough',
    value: { target: { account: 'ada', satisfiedBy: 'any' }, lane: 'high', ttlMs: 600_000, text: 'Your taxi is here' },
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
  list: {
    summary: 'A list of devices, expanded after the answer',
    value: { target: { devices: ['phone-1', 'phone-2'] }, text: 'Sale', idempotencyKey: 'sale-7' },
  },
  accounts: {
    summary: 'A list of accounts',
    value: { target: { accounts: ['ada', 'bob'] }, text: 'Terms have changed' },
  },
  group: { summary: 'The members of a group', value: { target: { group: 'friends' }, text: 'Dinner at eight?' } },
  scheduled: {
    summary: 'In an hour; it can be taken back until then',
    value: { target: { device: 'phone-1' }, text: 'Take your pill', delayMs: 3_600_000 },
  },
  delivery: {
    summary:
      'At most three deliveries, ten seconds each; replaces the status that waits there; the client fetches the body',
    value: {
      target: { device: 'phone-1' },
      body: { status: 'shipped' },
      deliver: { attemptsMax: 3, ackTimeoutMs: 10_000, idOnly: true },
      collapseKey: 'order-7',
    },
  },
  live: {
    summary: 'A live message: whoever is not there misses it, and the slow get the newest of the key',
    value: { target: { topic: 'news' }, class: 'live', bytes: 'AAEC/w==', conflationKey: 'EURUSD' },
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

export const POST_MESSAGES = {
  operationId: 'pushMessages',
  summary: 'Push one message, or up to 1,000 in one request',
  description:
    'At most 8 MiB. A list is answered 202 with state accepted once it is stored; any router brings it to its recipients, also after a ' +
    'crash, each once. Quotas of the PushApp are for the app in all: each router gives its share.',
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
      content: jsonOf('BatchResults'),
    },
    ...refusals(
      'forbidden',
      'device-unknown',
      'group-unknown',
      'idempotency-conflict',
      'stream-full',
      'too-large',
      'rate-limited',
      'waiting-full',
    ),
  },
} as const;
