// Commands about dead letters: listed, shown, acted on.
import { RefusedError } from '../../../protocol/codes.ts';
import { parseDeviceId, parseMessageId } from '../../../protocol/ids.ts';
import type { DeadLetter, Message } from '../../../store/port.ts';
import type { CommandAsk, CommandTable } from '../commands.ts';
import {
  LETTERS_MAX,
  RATE_DEFAULT,
  RATE_MAX,
  actOnAll,
  actOnSome,
  actionOf,
  letterOf,
  stopAction,
} from '../../results/dead-letters.ts';
import type { DeadLettersOptions } from '../../results/dead-letters.ts';
import { Input } from '../input.ts';
import { ACTIONS } from '../../results/redrive.ts';
import { CURSOR_CHARS_MAX, PAGE, bodyOf, isoOf } from './answers.ts';

const STATES = ['dead', 'held'] as const;
const LETTER_ID_CHARS_MAX = 512;

export function deadLetterCommands(deps: DeadLettersOptions): CommandTable {
  return {
    async 'dead-letters'({ app, input }) {
      const fields = new Input(input, ['cursor', 'limit', 'device', 'state']);
      const { letters, next } = await deps.store.deadLetters(app.name, {
        cursor: fields.optionalText('cursor', CURSOR_CHARS_MAX),
        limit: fields.whole('limit', PAGE),
        ...filterOf(fields),
      });
      return { status: 200, body: { letters: letters.map(describeLetter), next } };
    },
    async 'dead-letter'({ app, input }) {
      const id = new Input(input, ['id']).text('id', LETTER_ID_CHARS_MAX);
      const { letter, record, body } = await letterOf(deps, app.name, id);
      const attributes = Buffer.from(record.attributes).toString();
      return {
        status: 200,
        body: {
          ...describeLetter(letter),
          publishedAt: isoOf(record.publishedAtMs),
          expiresAt: isoOf(record.expiresAtMs),
          ...(attributes === '' ? {} : { attributes: JSON.parse(attributes) as unknown }),
          content: record.content,
          body: body === null ? null : bodyOf(record.content, body),
          bodyGone: body === null,
        },
      };
    },
    'dead-letters-act': async (ask) => await act(deps, ask),
    async 'dead-letters-action'({ app, input }) {
      const id = new Input(input, ['id']).name('id', parseMessageId);
      return { status: 200, body: describeAction(await actionOf(deps, app.name, id)) };
    },
    async 'dead-letters-stop'({ app, input }) {
      const id = new Input(input, ['id']).name('id', parseMessageId);
      return { status: 200, body: describeAction(await stopAction(deps, app.name, id)) };
    },
  };
}

async function act(deps: DeadLettersOptions, { app, input }: CommandAsk) {
  const fields = new Input(input, ['action', 'ids', 'all', 'ratePerSecond', 'device', 'state']);
  const action = fields.choice('action', ACTIONS);
  const all = fields.flag('all');
  if (all === fields.has('ids'))
    throw new RefusedError('invalid-request', 'ids: expected either ids or all: true', { field: 'ids' });
  if (all) {
    const ratePerSecond = fields.whole('ratePerSecond', { min: 1, max: RATE_MAX, fallback: RATE_DEFAULT });
    const row = await actOnAll(deps, app.name, { action, ratePerSecond, filter: filterOf(fields) });
    return { status: 202, body: describeAction(row) };
  }
  for (const name of ['ratePerSecond', 'device', 'state'])
    if (fields.has(name)) throw new RefusedError('invalid-request', `${name}: expected only with all`, { field: name });
  const ids = fields.names('ids', { min: 1, max: LETTERS_MAX }, parseLetterId);
  const results = await actOnSome(deps, app.name, { action, ids });
  return { status: 200, body: { action, done: results.filter(({ outcome }) => outcome === 'done').length, results } };
}

function parseLetterId(value: unknown, field: string): string {
  if (typeof value === 'string' && value.length >= 1 && value.length <= LETTER_ID_CHARS_MAX) return value;
  throw new RefusedError('invalid-request', `${field}: expected the id of a dead letter`, { field });
}

function filterOf(fields: Input) {
  const device = fields.optionalName('device', parseDeviceId);
  const state = fields.optionalChoice('state', STATES);
  return { ...(device === null ? {} : { device }), ...(state === null ? {} : { state }) };
}

function describeLetter(letter: DeadLetter) {
  const { id, device, account, stream, messageId, epoch, offset, reason, attempts, atMs, state } = letter;
  return {
    id,
    state,
    device,
    account,
    messageId,
    position: { stream, epoch, offset },
    reason,
    attempts,
    at: isoOf(atMs),
  };
}

function describeAction(row: Message) {
  const action = row.target.kind === 'dead-letters' ? row.target.action : null;
  const state = {
    accepted: 'running',
    expanding: 'running',
    expanded: 'done',
    cancelled: 'stopped',
    scheduled: 'running',
  }[row.state];
  return {
    id: row.id,
    action,
    state,
    letters: row.recipients,
    done: row.chunksDone,
    startedAt: isoOf(row.acceptedAtMs),
  };
}
