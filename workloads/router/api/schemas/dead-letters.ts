// Dead letters: as they are listed and shown, and what can be done with them.
import { LETTERS_MAX, RATE_DEFAULT, RATE_MAX } from '../../results/dead-letters.ts';
import { ACTIONS } from '../../results/redrive.ts';
import { ID, POSITION_FIELDS } from './accepted.ts';
import { NEXT, countOf, listOf, objectOf, textOf, timeOf } from './schema.ts';
import type { Schema } from './schema.ts';

const LETTER_ID = textOf('Opaque: names device, stream and place.');
const STATE: Schema = { enum: ['dead', 'held'], description: 'held: set aside for a person.' };
const ACTION: Schema = {
  enum: [...ACTIONS],
  description:
    'redrive: delivered again, as a new message with the lifetime it had. drop: gone for good. hold: set aside for a person. ' +
    'release: back from there.',
};
const letterFields = {
  id: LETTER_ID,
  state: STATE,
  device: textOf(),
  account: textOf(),
  messageId: ID,
  position: objectOf(POSITION_FIELDS),
  reason: textOf('Of the client that would not take it, or ours: attempts, stream-full.'),
  attempts: countOf(),
  at: timeOf('When it died'),
};

export const DEAD_LETTER_SCHEMAS = {
  DeadLetters: objectOf({ letters: listOf(objectOf(letterFields), 'In no special order.'), next: NEXT }),
  DeadLetter: objectOf(
    {
      ...letterFields,
      publishedAt: timeOf('When it was sent'),
      expiresAt: timeOf('When it would have expired'),
      attributes: { type: 'object' },
      content: { enum: ['json', 'text', 'bytes'] },
      body: { description: 'JSON, a text, or base64, as content says.' },
      bodyGone: { type: 'boolean', description: 'The body was kept once for many recipients and is there no more.' },
    },
    ['attributes'],
  ),
  LetterAction: {
    type: 'object',
    required: ['action'],
    additionalProperties: false,
    properties: {
      action: ACTION,
      ids: {
        type: 'array',
        minItems: 1,
        maxItems: LETTERS_MAX,
        items: { type: 'string' },
        description: 'These letters, at once.',
      },
      all: { type: 'boolean', description: 'Instead of ids: all there are now, as a job.' },
      ratePerSecond: {
        type: 'integer',
        minimum: 1,
        maximum: RATE_MAX,
        default: RATE_DEFAULT,
        description: 'With all: letters a second.',
      },
      device: textOf('With all: only those of this device.'),
      state: { ...STATE, description: 'With all: only those in this state.' },
    },
  },
  LetterResults: objectOf({
    action: ACTION,
    done: countOf(),
    results: listOf(
      objectOf(
        {
          id: LETTER_ID,
          outcome: { enum: ['done', 'unknown', 'refused'] },
          reason: { enum: ['stream-full', 'device-unknown', 'body-gone'] },
          messageId: { ...ID, description: 'Of one that was sent again: its new id.' },
        },
        ['reason', 'messageId'],
      ),
      'In the order asked.',
    ),
  }),
  LetterActionStatus: objectOf({
    id: ID,
    action: ACTION,
    state: { enum: ['running', 'done', 'stopped'] },
    letters: countOf('Letters there were when it began.'),
    done: countOf('Letters acted on.'),
    startedAt: timeOf('When it began'),
  }),
} as const satisfies Readonly<Record<string, Schema>>;
