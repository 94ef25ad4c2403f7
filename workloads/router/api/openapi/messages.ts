// Operations on one message, and on dead letters, in the document.
import { PAGE_PARAMETERS, answerOf, inPath, inQuery, operation } from './parts.ts';

/** An id that no message has: the tests put a real one in its place. */
export const EXAMPLE_ID = '01JD9Z6Y4M8Q0V2X4B6D8F0H2K';
const LETTER = 'the-id-of-a-letter';

export const MESSAGE_PATHS = {
  '/v1/messages/{id}': {
    get: operation({
      id: 'messageOf',
      summary: 'What a message is, and how many of its deliveries are in which state',
      parameters: [inPath('id', EXAMPLE_ID)],
      answers: { '200': answerOf('Known for a day; a scheduled one for a day after it was due.', 'MessageStatus') },
      refused: ['message-unknown'],
    }),
    delete: operation({
      id: 'cancelMessage',
      summary: 'Take a message back: what has not ended ends as cancelled',
      parameters: [inPath('id', EXAMPLE_ID)],
      answers: {
        '200': answerOf('Cancelled; repeated: the same, with nothing left to cancel.', 'Cancelled'),
        '202': answerOf('A large list: it is being cancelled.', 'Cancelled'),
      },
      refused: ['message-unknown', 'not-cancellable'],
    }),
  },
  '/v1/messages/{id}/deliveries': {
    get: operation({
      id: 'deliveriesOf',
      summary: 'What became of a message for each recipient',
      parameters: [inPath('id', EXAMPLE_ID), ...PAGE_PARAMETERS],
      answers: { '200': answerOf('A page; of a topic none.', 'Deliveries') },
      refused: ['message-unknown'],
    }),
  },
  '/v1/messages/{id}/trace': {
    get: operation({
      id: 'traceMessage',
      summary: 'Everything that happened to a message, with time and gateway',
      parameters: [
        inPath('id', EXAMPLE_ID),
        inQuery('device', { type: 'string' }, 'Only what concerns it; else the first 100 recipients.'),
      ],
      answers: { '200': answerOf('What the store and the gateways know.', 'MessageTrace') },
      refused: ['message-unknown'],
    }),
  },
  '/v1/dead-letters': {
    get: operation({
      id: 'deadLetters',
      summary: 'Deliveries that were given up',
      parameters: [
        ...PAGE_PARAMETERS,
        inQuery('device', { type: 'string' }, 'Only those of this device.'),
        inQuery('state', { enum: ['dead', 'held'] }, 'Only those in this state.'),
      ],
      answers: { '200': answerOf('A page, without bodies.', 'DeadLetters') },
      refused: [],
    }),
  },
  '/v1/dead-letters/{id}': {
    get: operation({
      id: 'deadLetterOf',
      summary: 'One dead letter with its body',
      parameters: [inPath('id', LETTER)],
      answers: { '200': answerOf('The letter.', 'DeadLetter') },
      refused: ['dead-letter-unknown'],
    }),
  },
  '/v1/dead-letters/actions': {
    post: operation({
      id: 'actOnDeadLetters',
      summary: 'Send dead letters again, drop them, set them aside or take them back: some, or all at a pace',
      body: {
        schema: 'LetterAction',
        examples: {
          some: { summary: 'Some of them', value: { action: 'hold', ids: [LETTER] } },
          all: { summary: 'All of them, fifty a second', value: { action: 'redrive', all: true, ratePerSecond: 50 } },
        },
      },
      answers: {
        '200': answerOf('Of some: what became of each.', 'LetterResults'),
        '202': answerOf('Of all: begun; its id tells how far it is.', 'LetterActionStatus'),
      },
      refused: [],
    }),
  },
  '/v1/dead-letters/actions/{id}': {
    get: operation({
      id: 'deadLetterActionOf',
      summary: 'How far an action over all dead letters is',
      parameters: [inPath('id', EXAMPLE_ID)],
      answers: { '200': answerOf('Known for a day.', 'LetterActionStatus') },
      refused: ['message-unknown'],
    }),
    delete: operation({
      id: 'stopDeadLetterAction',
      summary: 'Stop an action over all dead letters; what is done is done',
      parameters: [inPath('id', EXAMPLE_ID)],
      answers: { '200': answerOf('Stopped.', 'LetterActionStatus') },
      refused: ['message-unknown', 'not-cancellable'],
    }),
  },
} as const;
