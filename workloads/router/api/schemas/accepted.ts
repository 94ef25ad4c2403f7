// What a push is answered: one message, or a batch of them; and the form of every refusal.
import { ERRORS } from '../../../protocol/codes.ts';
import { countOf, listOf, objectOf, refTo, textOf, timeOf } from './schema.ts';
import type { Schema } from './schema.ts';

export const ID: Schema = { type: 'string', pattern: '^[0-9A-HJKMNP-TV-Z]{26}$', description: 'Sortable by time.' };
export const POSITION_FIELDS: Readonly<Record<string, Schema>> = {
  stream: textOf('@high, @normal or @low of the device, or the topic.'),
  epoch: textOf(),
  offset: { type: 'integer', minimum: 1 },
};

const accepted = objectOf(
  {
    id: ID,
    state: {
      enum: ['stored', 'accepted', 'scheduled', 'journalled', 'sent', 'offline'],
      description:
        'stored: durable, each stream has it. accepted: a list or a group, stored and being expanded. scheduled: stored, sent when due. ' +
        'journalled: the store is away; the bus has it, and it is stored later. sent: live, on its way to gateways. offline: live, and ' +
        'nobody there to get it.',
    },
    duplicate: { type: 'boolean', description: 'Durable: true when this idempotency key was used before.' },
    recipients: countOf(
      'Streams it is in (devices, or 1 for a topic); of a list its distinct names; live: devices sent to.',
    ),
    positions: listOf(objectOf({ device: textOf(), ...POSITION_FIELDS }, ['device']), 'Where it lies in each stream.'),
    online: countOf('Of the devices, how many seem to be online; left out where the router does not know.'),
    gateways: countOf('Gateways it was sent to (topic, everyone, live).'),
    refused: listOf(
      objectOf({ device: textOf(), code: { enum: ['stream-full', 'device-unknown'] } }),
      'Devices of the account that did not take it; the others did.',
    ),
    dueAt: timeOf('Of a scheduled one: when it is sent'),
  },
  ['duplicate', 'positions', 'online', 'gateways', 'refused', 'dueAt'],
);

export const ACCEPTED_SCHEMAS = {
  Accepted: accepted,
  BatchResults: objectOf({
    accepted: countOf(),
    refused: countOf(),
    results: listOf(
      { oneOf: [refTo('Accepted'), objectOf({ error: refTo('ErrorObject') })] },
      'One for each message, in their order.',
    ),
  }),
  ErrorObject: objectOf(
    {
      code: { enum: Object.keys(ERRORS) },
      message: textOf('What was expected and what came.'),
      field: textOf(
        'Path of the field at fault, such as messages[3].target.device; of a quota its name in the PushApp, such as quotas.bytesPerSecond.',
      ),
      retryAfterMs: countOf('Come back after this; as Retry-After too.'),
      traceId: textOf(),
    },
    ['field', 'retryAfterMs', 'traceId'],
  ),
  Error: objectOf({ error: refTo('ErrorObject') }),
} as const satisfies Readonly<Record<string, Schema>>;
