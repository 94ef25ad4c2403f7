// What is answered about one message: what it is, what became of it, its deliveries, its trace.
import { LANES } from '../../../protocol/streams.ts';
import { RESULT_STATES } from '../../results/results.ts';
import { ID, POSITION_FIELDS } from './accepted.ts';
import { NEXT, countOf, listOf, objectOf, refTo, textOf, timeOf } from './schema.ts';
import type { Schema } from './schema.ts';

const STATE: Schema = {
  enum: [...RESULT_STATES],
  description:
    'waiting: in the stream, not acked. pending: not in its stream yet. satisfied: another device of the account acked. ' +
    'unknown: it never registered, or the stream has forgotten (a day after it ended).',
};

const trace: Schema = objectOf(
  {
    at: timeOf('When'),
    event: textOf(
      'accepted, appended, ended-<state>, dead-letter, waiting, route; of gateways: connected, written, acked …',
    ),
    device: textOf(),
    gateway: textOf(),
    stream: textOf(),
    epoch: { type: ['string', 'null'] },
    offset: countOf(),
    messageId: { type: ['string', 'null'] },
    attempt: countOf('Which delivery of it this was.'),
    detail: textOf(),
  },
  ['device', 'gateway', 'stream', 'epoch', 'offset', 'messageId', 'attempt', 'detail'],
);

const traceFields = {
  events: listOf(
    refTo('TraceEvent'),
    'Oldest first. Gateways keep their part for some seconds of load or hours of quiet.',
  ),
  silent: listOf(textOf(), 'Gateways that did not answer: their part is missing.'),
};

export const MESSAGE_SCHEMAS = {
  MessageStatus: objectOf(
    {
      id: ID,
      target: { type: 'object', description: 'As it was asked; of a list how many names.' },
      lane: { enum: [...LANES] },
      state: {
        enum: ['accepted', 'scheduled', 'expanding', 'expanded', 'cancelled'],
        description: 'expanding, expanded: of a list and a group.',
      },
      acceptedAt: timeOf('When it was accepted'),
      dueAt: timeOf('Of a scheduled one: when it is sent'),
      expiresAt: timeOf('When what still waits expires'),
      recipients: countOf('Names of a list, members of a group, devices; of a topic 1.'),
      expansion: objectOf({
        chunks: countOf(),
        done: countOf('Chunks of at most 500 names that are in their streams.'),
      }),
      deliveries: {
        oneOf: [
          objectOf(Object.fromEntries(RESULT_STATES.map((state) => [state, countOf()]))),
          { type: 'null', description: "Of a topic: its deliveries are counted in the app's ledger." },
        ],
        description: 'How many deliveries are in which state now. Of lists at most a second old.',
      },
    },
    ['expansion'],
  ),
  Deliveries: objectOf({
    id: ID,
    deliveries: listOf(
      objectOf(
        {
          device: textOf(),
          account: textOf(),
          state: STATE,
          at: timeOf('When it ended'),
          gateway: { type: ['string', 'null'], description: 'Where it ended.' },
          position: { oneOf: [objectOf(POSITION_FIELDS), { type: 'null' }] },
        },
        ['account'],
      ),
      'In the order of the names; an account has a row for each device.',
    ),
    next: NEXT,
  }),
  Cancelled: objectOf({
    id: ID,
    state: { const: 'cancelled' },
    cancelled: {
      type: ['integer', 'null'],
      minimum: 0,
      description:
        'Deliveries that this ended (of a topic 1; of a scheduled message those it would have had). null: many, it is under way; ' +
        'the message tells.',
    },
  }),
  TraceEvent: trace,
  MessageTrace: objectOf({ id: ID, ...traceFields }),
  DeviceTrace: objectOf({ device: textOf(), ...traceFields }),
} as const satisfies Readonly<Record<string, Schema>>;
